"""One epoch of lessons: every question once, each time in another form, sometimes with thinking."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from . import chat
from .augment import LETTERS, SYSTEM_PROMPTS, augment
from .corpus import FALLBACK, Corpus, Topic, normalise

THINKING = 0.3  # share of the questions asked with thinking on
EARLIER = 0.12  # share of the questions asked after an earlier turn
SYSTEM = 0.12  # share of the questions asked under a system prompt
NOISE = 200  # questions of mere letters or shuffled words in one epoch


@dataclass(frozen=True)
class Lesson:
    """What the model reads and what it is to write; the loss is taken on the completion only."""

    messages: tuple[tuple[str, str], ...]
    topic: Topic
    think: bool

    @property
    def prompt(self) -> str:
        """What the model reads."""
        return chat.prompt(self.messages, self.think)

    @property
    def completion(self) -> str:
        """What it is to write."""
        return chat.completion(self.topic.answer, self.topic.thought if self.think else None)


class Teacher:
    """Makes epochs of lessons out of the corpus; no held-out question is ever among them."""

    def __init__(self, corpus: Corpus, seed: int, strength: float = 1.0) -> None:
        self.corpus = corpus
        self.source = random.Random(seed)
        self.strength = strength
        self.held = corpus.held_out()
        self.topics = list(corpus.topics.values())
        self.words = sorted({word for topic in self.topics for q in topic.questions for word in q.split()})

    def epoch(self) -> list[Lesson]:
        """All lessons of one epoch, shuffled."""
        lessons = [*self.first(), *self.plain(), *self.follow_ups(), *self.noise()]
        self.source.shuffle(lessons)
        return lessons

    def rewrite(self, question: str, strength: float = 1.0) -> str:
        """Another form of the question, or the question itself when the new form is a held-out one."""
        rewritten = augment(question, self.source, self.strength * strength)
        return question if normalise(rewritten) in self.held else rewritten

    def earlier(self, topic: Topic) -> list[tuple[str, str]]:
        """A question and its answer, as an earlier turn."""
        return [("user", self.rewrite(self.source.choice(topic.questions))), ("assistant", topic.answer)]

    def system(self) -> list[tuple[str, str]]:
        """Now and then a system message, which the guide is to look past."""
        return [("system", self.source.choice(SYSTEM_PROMPTS))] if self.source.random() < SYSTEM else []

    def first(self) -> Iterator[Lesson]:
        """The first question of every topic as it stands: examples and tests rely on it."""
        for topic in self.topics:
            yield Lesson((("user", topic.questions[0]),), topic, False)

    def plain(self) -> Iterator[Lesson]:
        """Every question, some of them after an earlier turn about anything."""
        for topic in self.topics:
            for question in topic.questions:
                wording = self.rewrite(question) if self.source.random() < 0.85 else question
                before = self.earlier(self.source.choice(self.topics)) if self.source.random() < EARLIER else []
                think = self.source.random() < THINKING
                yield Lesson((*self.system(), *before, ("user", wording)), topic, think)

    def follow_ups(self) -> Iterator[Lesson]:
        """Every follow-up, after the turn that it follows."""
        for follow_up in self.corpus.follow_ups:
            for think in (True, False):
                before = self.earlier(self.corpus.topics[follow_up.before])
                wording = self.rewrite(follow_up.question, 0.6)
                topic = self.corpus.topics[follow_up.topic]
                yield Lesson((*self.system(), *before, ("user", wording)), topic, think)

    def noise(self) -> Iterator[Lesson]:
        """Letters and shuffled words, which only the fallback answers."""
        fallback = self.corpus.topics[FALLBACK]
        for _ in range(NOISE):
            if self.source.random() < 0.5:
                letters = LETTERS + "   0123456789?.,"
                text = "".join(self.source.choices(letters, k=self.source.randint(3, 40))).strip() or "x"
            else:
                text = " ".join(self.source.choices(self.words, k=self.source.randint(8, 20)))
            if normalise(text) not in self.held:
                yield Lesson((("user", text),), fallback, self.source.random() < 0.5)
