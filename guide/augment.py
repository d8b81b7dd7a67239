"""Rewrites of a question that keep its meaning: other phrasings, politeness, sloppy typing."""

from __future__ import annotations

import random
import re

SWAPS = (
    (r"^how do i\b", "how can I|how to|what is the way to|how would I|how should I|tell me how to|how do we"),
    (r"^how do i\b", "what do I do to|how does one|I want to know how to|show me how to|I want to|I need to"),
    (r"^how can i\b", "how do I|how to|is there a way to|how could I|what do I do to"),
    (r"^how to\b", "how do I|how can I|what is the way to"),
    (r"^can i\b", "is it possible to|may I|could I|am I able to|I want to|is there a way to|am I allowed to|how can I"),
    (r"^can you\b", "could you|are you able to|would you|is it possible that you|do you know how to|will you"),
    (r"^do you support\b", "do you have|is there support for|does this app support|can I use"),
    (r"^what is\b", "what's|explain|tell me about|can you explain|could you explain what is|can you tell me what is"),
    (r"^what is\b", "do you know what is|what exactly is|I want to know what is|what does it mean,"),
    (r"^what are\b", "tell me about|explain|can you tell me|can you list|what exactly are"),
    (r"^what does (.*) mean\?", r"what is \1?|explain \1|what is meant by \1?|meaning of \1?"),
    (r"^explain\b", "what is|tell me about|please explain|can you explain"),
    (r"^show me\b", "give me|I need|can I see|can you give me|I want to see|where is"),
    (r"^give me\b", "show me|I need|can I have|I want|can you give me|could you give me"),
    (r"^where is\b", "where can I find|where do I find|how do I find|show me|I cannot find"),
    (r"^where do i\b", "where can I|how do I|where should I|in which place do I"),
    (r"^where can i\b", "where do I|how can I|how do I"),
    (r"^which\b", "what"),
    (r"^why is\b", "how come|what is the reason that"),
    (r"^why does\b", "how come|what is the reason that|why do"),
    (r"^is there\b", "do you have|does it have|can I find|is there possibly"),
    (r"^is this\b", "is it|is this thing"),
    (r"^does it\b", "does this app|does the app|will it|can it|does this"),
    (r"^do i need\b", "is it necessary to have|must I have|do we need|will I need|should I have"),
    (r"^i get\b", "I got|I am getting|I see|there is|why do I get|help, I get|what if I get"),
    (r"^how many\b", "what number of|tell me how many"),
    (r"^how much\b", "tell me how much|say how much"),
    (r"^tell me about\b", "explain|what is|describe"),
    (r"\bthis space\b", "this app|this page|this site|the Space|this demo|it|this"),
    (r"\bthis app\b", "this Space|the app|this program|this page|this thing"),
    (r"\bcreate\b", "make|generate|get"),
    (r"\bdelete\b", "remove|erase"),
    (r"\bpicture\b", "image|photo"),
    (r"\banswers?\b", "response|reply|output"),
    (r"\bdownload\b", "get|fetch"),
    (r"\bchange\b", "switch|modify|set"),
    (r"\bneed\b", "require"),
    (r"\bmessages?\b", "question|prompt|chat"),
    (r"\bconversations?\b", "chat|chats|dialogue"),
    (r"\bfast(er)?\b", "quick|quicker"),
    (r"\bapi key\b", "key|api token|access key|api-key"),
    (r"\bturn off\b", "disable|switch off|deactivate"),
    (r"\bturn on\b", "enable|switch on|activate"),
)
OPENINGS = [
    "please ",
    "Please, ",
    "hi, ",
    "hey, ",
    "hello, ",
    "ok, ",
    "so ",
    "and ",
    "sorry, ",
    "one more question: ",
    "quick question: ",
    "I wonder, ",
    "tell me, ",
    "um, ",
    "also, ",
    "well, ",
    "now, ",
    "question: ",
    "I have a question. ",
    "excuse me, ",
    "Dear guide, ",
    "can you tell me: ",
    "but ",
    "just ",
]
ENDINGS = [
    " please",
    " please?",
    " thanks",
    " here",
    "??",
    "!",
    " exactly?",
    " again?",
    " in this Space?",
    " in this app?",
    " now?",
    " then?",
    " :)",
    ", please help",
    " thank you",
    " actually?",
    " for me",
    " with this",
    " today?",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
SYSTEM_PROMPTS = (
    "You are a helpful assistant.",
    "You are a helpful assistant in a Space. Answer briefly.",
    "Answer in English.",
    "You are a friendly chatbot.",
    "Be concise.",
    "You are a pirate.",
    "You are an expert programmer.",
    "You are the assistant of this Space. Be polite and short.",
    "Always answer in one sentence.",
    "Today is Monday.",
    "Reply like a teacher who speaks to a child, and never use long words.",
    "Your name is Max. You work for a bakery and you help customers with their orders.",
    "Use Markdown. Cite your sources. If you do not know the answer, say so.",
)


def swap_phrases(question: str, source: random.Random) -> str:
    """Say one or two parts of the question in other words."""
    fitting = [swap for swap in SWAPS if re.search(swap[0], question, re.IGNORECASE)]
    source.shuffle(fitting)
    for pattern, others in fitting[: 1 + (source.random() < 0.4)]:
        question = re.sub(pattern, source.choice(others.split("|")), question, count=1, flags=re.IGNORECASE)
    return question[:1].upper() + question[1:]


def add_opening(question: str, source: random.Random) -> str:
    """Put a few polite words in front."""
    opening = source.choice(OPENINGS)
    first = question[:1].lower() if source.random() < 0.6 else question[:1]
    return opening[0].upper() + opening[1:] + first + question[1:]


def drop_word(question: str, source: random.Random) -> str:
    """Leave a word out of a question of five or more."""
    words = question.split()
    if len(words) > 4:
        words.pop(source.randrange(len(words)))
    return " ".join(words)


def mistype(question: str, source: random.Random) -> str:
    """Make one slip of the fingers."""
    if len(question) <= 5:
        return question
    at = source.randrange(len(question) - 1)
    before, letter, following, after = question[:at], question[at], question[at + 1], question[at + 2 :]
    slips = (
        before + following + after,
        before + following + letter + after,
        before + letter + letter + following + after,
        before + source.choice(LETTERS) + following + after,
    )
    return source.choices(slips, weights=(3, 3, 2, 2))[0]


def augment(question: str, source: random.Random, strength: float = 1.0) -> str:
    """One rewrite of the question; `strength` scales how likely each change is."""

    def happens(share: float) -> bool:
        return source.random() < share * strength

    if happens(0.5):
        question = swap_phrases(question, source)
    if happens(0.25):
        question = add_opening(question, source)
    if happens(0.15):
        question = question.rstrip("?.!") + source.choice(ENDINGS)
    if happens(0.3):
        question = question.rstrip("?.!")
    if happens(0.3):
        question = question.lower()
    elif happens(0.03):
        question = question.upper()
    if happens(0.15):
        question = drop_word(question, source)
    if happens(0.25):
        question = mistype(question, source)
        if happens(0.3):
            question = mistype(question, source)
    return question or "?"
