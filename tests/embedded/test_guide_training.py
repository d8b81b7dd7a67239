"""The committed guide: what it says, how often it is right, and that nobody taught it the held-out questions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from guide import chat, corpus, evaluate
from guide.corpus import FALLBACK, Corpus, normalise
from guide.lessons import Teacher
from tests.support.embedded_engine import GUIDE

ROOM = Path(corpus.__file__).parent


@pytest.fixture(scope="module")
def known() -> Corpus:
    """The corpus as it is committed."""
    return corpus.load()


@pytest.fixture(scope="module")
def guide() -> Iterator[evaluate.Guide]:
    """The committed model in llama.cpp."""
    with evaluate.opened(GUIDE) as opened:
        yield opened


@pytest.fixture(scope="module")
def verified() -> list[dict[str, str]]:
    """The questions that other tests and the page's examples build on."""
    loaded: list[dict[str, str]] = json.loads((ROOM / "questions.json").read_text("utf-8"))
    return loaded


def test_file_is_small() -> None:
    """The model is smaller than 4 MB."""
    assert 0 < GUIDE.stat().st_size < 4_000_000


def test_corpus_is_well_formed(known: Corpus) -> None:
    """Every topic has many questions, held-out ones, an answer of its own, and balanced code blocks."""
    answers = [topic.answer for topic in known.topics.values()]
    assert len(set(answers)) == len(answers)
    for topic in known.topics.values():
        assert len(topic.questions) >= 15, topic.name
        assert len(topic.held_out) >= 3, topic.name
        assert topic.answer.count("```") in (0, 2), topic.name
        assert len(topic.answer) < 500, topic.name
        assert all(len(question) < chat.LONGEST for question in topic.questions), topic.name
    assert all(each.before in known.topics and each.topic in known.topics for each in known.follow_ups)


def test_no_question_belongs_to_two_topics(known: Corpus) -> None:
    """A question has one right answer."""
    owners: dict[str, str] = {}
    for topic in known.topics.values():
        for question in (*topic.questions, *topic.held_out):
            assert owners.setdefault(normalise(question), topic.name) == topic.name, question


def test_files_hold_no_held_out_question_to_be_trained(known: Corpus) -> None:
    """Nothing has to be filtered: no line that is trained repeats a held-out one."""
    held = known.held_out()
    lines = [line for path in corpus.FOLDER.glob("[0-9]*.txt") for line in path.read_text("utf-8").splitlines()]
    assert not [line for line in lines if line.startswith("Q: ") and normalise(line[3:]) in held]
    assert not [each for each in known.follow_ups if normalise(each.question) in held]


def test_no_lesson_asks_a_held_out_question(known: Corpus) -> None:
    """In whole epochs, rewritten questions and earlier turns included, no held-out question is ever asked."""
    held, teacher = known.held_out(), Teacher(known, seed=7)
    questions = {
        normalise(content)
        for _ in range(3)
        for lesson in teacher.epoch()
        for role, content in lesson.messages
        if role == "user"
    }
    assert len(questions) > 5000
    assert not questions & held


def test_rewrites_would_reach_held_out_questions(known: Corpus) -> None:
    """The filter of the lessons is needed: without it some rewrites are held-out questions."""
    unfiltered = Teacher(known, seed=7)
    unfiltered.held = frozenset()
    questions = {normalise(lesson.messages[-1][1]) for _ in range(3) for lesson in unfiltered.epoch()}
    assert questions & known.held_out()


def test_template_is_what_was_trained() -> None:
    """The template in the model cuts and orders messages as the lessons do."""
    assert f"content[:{chat.LONGEST}]" in chat.TEMPLATE
    assert f"content[:{chat.LONGEST_OTHER}]" in chat.TEMPLATE
    assert chat.TEMPLATE.encode() in GUIDE.read_bytes()
    text = chat.prompt([("user", "x" * 1000)], think=False)
    assert re.fullmatch(
        r"<\|im_start\|>user\nx{400}<\|im_end\|>\n<\|im_start\|>assistant\n<think>\n\n</think>\n\n", text
    )


def test_questions_are_answered_word_for_word(guide: evaluate.Guide, verified: list[dict[str, str]]) -> None:
    """Every verified question gets its answer at temperature 0 with thinking off."""
    for each in verified:
        answer, thinking = guide.ask(evaluate.user(each["question"]), think=False)
        assert answer == each["answer"], each["question"]
        assert thinking == ""


def test_questions_cover_the_corpus(known: Corpus, verified: list[dict[str, str]]) -> None:
    """The verified questions are the first ones of all topics, with the corpus's answers."""
    listed = [(each["topic"], each["question"], each["answer"]) for each in verified]
    assert listed == [(topic.name, topic.questions[0], topic.answer) for topic in known.topics.values()]


def test_thinking_obeys_the_switch(guide: evaluate.Guide, known: Corpus) -> None:
    """With thinking on, the topic's thought comes apart from the answer."""
    topic = known.topics["key"]
    answer, thinking = guide.ask(evaluate.user(topic.questions[0]), think=True)
    assert (answer, thinking) == (topic.answer, topic.thought)


def test_long_conversations_are_survived(guide: evaluate.Guide, known: Corpus) -> None:
    """After ten foreign turns and a long system message it still answers, a third of the questions rightly."""
    system = {"role": "system", "content": "You are a careful assistant of a large company. " * 200}
    turns = (
        {"role": "user", "content": "Tell me about Rome."},
        {"role": "assistant", "content": "Rome is old. " * 500},
    )
    topics = list(known.topics.values())
    conversations = ((*turns * 10, *evaluate.user(topic.questions[0])) for topic in topics)
    answers = [guide.ask((system, *messages), think=False)[0] for messages in conversations]
    assert all(answers)
    assert sum(answer == topic.answer for answer, topic in zip(answers, topics, strict=True)) >= len(topics) * 0.3


def test_trained_questions(guide: evaluate.Guide, known: Corpus) -> None:
    """Of the trained questions (every eighth is asked) at least 93 % are answered right, and none is garbled."""
    score = evaluate.measure(guide, known, "trained", evaluate.plain(known, False, False, False)[::8])
    assert score.share >= 0.93, score
    assert score.garbled == 0, score.wrong


def test_held_out_paraphrases(guide: evaluate.Guide, known: Corpus) -> None:
    """Of the paraphrases that never entered training at least 75 % are answered right."""
    score = evaluate.measure(guide, known, "held-out", evaluate.plain(known, False, True, False))
    assert score.share >= 0.75, score
    assert score.garbled <= 1, score.wrong


def test_off_topic_questions(guide: evaluate.Guide, known: Corpus) -> None:
    """Of the held-out questions about anything else at least 85 % get the answer that the guide does not know."""
    cases = evaluate.plain(known, False, True, True)
    assert {case.topic.name for case in cases} == {FALLBACK}
    score = evaluate.measure(guide, known, "off-topic", cases)
    assert score.share >= 0.85, score
