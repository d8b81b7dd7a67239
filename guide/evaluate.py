"""Measure a guide through llama.cpp: `python -m guide.evaluate GUIDE.gguf [--questions OUT]`.

An answer is right when it is, word for word, the answer of the topic that was asked for; garbled when it is no topic's.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xllamacpp

from . import corpus
from .corpus import FALLBACK, Corpus, Topic

Message = dict[str, str]
SEED = 99


@dataclass(frozen=True)
class Case:
    """A conversation, whether thinking is on, and the topic whose answer is right."""

    messages: tuple[Message, ...]
    think: bool
    topic: Topic


@dataclass
class Score:
    """How many cases were right, and what came instead: question, wanted topic, answered topic or garbled text."""

    name: str
    cases: int = 0
    right: int = 0
    garbled: int = 0
    seconds: float = 0.0
    wrong: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The share of right answers."""
        return self.right / self.cases

    def __str__(self) -> str:
        return f"{self.name}: {self.right} of {self.cases} = {self.share:.1%}, garbled {self.garbled}"


class Guide:
    """A GGUF file in llama.cpp, on one thread, reachable from this process only."""

    def __init__(self, path: Path, folder: Path) -> None:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx, parameters.n_parallel, parameters.cache_ram_mib = 2048, 1, 0
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        parameters.verbosity, parameters.warmup, parameters.ui = 1, False, False
        parameters.hostnames, parameters.api_keys = [str(folder / "llama.sock")], [secrets.token_hex()]
        self.server = xllamacpp.Server(parameters)

    def ask(self, messages: Sequence[Message], think: bool) -> tuple[str, str]:
        """The answer at temperature 0 and its thinking, both without leading newlines."""
        reply: Any = self.server.handle_chat_completions(
            {
                "messages": list(messages),
                "temperature": 0,
                "max_tokens": 300,
                "chat_template_kwargs": {"enable_thinking": think},
            }
        )
        message = reply["choices"][0]["message"]
        return (message["content"] or "").strip(), (message.get("reasoning_content") or "").strip()


@contextmanager
def opened(path: Path) -> Iterator[Guide]:
    """The guide, its socket in a folder that goes away afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Guide(path, Path(folder))


def user(question: str) -> tuple[Message, ...]:
    """A conversation that begins with the question."""
    return ({"role": "user", "content": question},)


def after(topic: Topic, question: str) -> tuple[Message, ...]:
    """The question after an earlier turn about the topic."""
    earlier = ({"role": "user", "content": topic.questions[0]}, {"role": "assistant", "content": topic.answer})
    return (*earlier, *user(question))


def measure(guide: Guide, known: Corpus, name: str, cases: Iterable[Case]) -> Score:
    """Ask every case and count."""
    names = {topic.answer: topic.name for topic in known.topics.values()}
    score, begun = Score(name), time.monotonic()
    for case in cases:
        answer, _ = guide.ask(case.messages, case.think)
        score.cases += 1
        score.right += answer == case.topic.answer
        score.garbled += answer not in names
        if answer != case.topic.answer:
            question = case.messages[-1]["content"]
            score.wrong.append((question, case.topic.name, names.get(answer, f"garbled: {answer[:80]!r}")))
    score.seconds = time.monotonic() - begun
    return score


def plain(known: Corpus, think: bool, held_out: bool, off_topic: bool) -> list[Case]:
    """Trained or held-out questions, about the subject or about anything else."""
    topics = [topic for topic in known.topics.values() if (topic.name == FALLBACK) == off_topic]
    return [
        Case(user(question), think, topic)
        for topic in topics
        for question in (topic.held_out if held_out else topic.questions)
    ]


def with_history(known: Corpus) -> list[Case]:
    """Held-out questions after an earlier turn about anything."""
    source, topics = random.Random(SEED), list(known.topics.values())
    return [
        Case(after(source.choice(topics), question), False, topic) for topic in topics for question in topic.held_out
    ]


def follow_ups(known: Corpus) -> list[Case]:
    """The follow-ups after the first question of the topic that they follow."""
    topics = known.topics
    return [Case(after(topics[each.before], each.question), False, topics[each.topic]) for each in known.follow_ups]


def all_scores(guide: Guide, known: Corpus) -> Iterator[Score]:
    """Everything that README.md reports."""
    for think in (False, True):
        switch = "thinking on" if think else "thinking off"
        for held_out in (False, True):
            questions = "held-out" if held_out else "trained"
            yield measure(guide, known, f"{questions}, {switch}", plain(known, think, held_out, False))
            yield measure(guide, known, f"{questions} off-topic, {switch}", plain(known, think, held_out, True))
    system = {"role": "system", "content": "You are Bob, a kind helper who loves trains and short replies."}
    held_out_cases = plain(known, False, True, False)
    cases = [Case((system, *case.messages), False, case.topic) for case in held_out_cases]
    yield measure(guide, known, "held-out, unseen system prompt", cases)
    cases = [
        Case(user(case.messages[0]["content"].lower().rstrip("?.!")), False, case.topic) for case in held_out_cases
    ]
    yield measure(guide, known, "held-out, lower case, no punctuation", cases)
    yield measure(guide, known, "held-out after an earlier turn", with_history(known))
    yield measure(guide, known, "follow-ups", follow_ups(known))


def verified_questions(guide: Guide, known: Corpus) -> list[dict[str, str]]:
    """The first question of every topic that is answered word for word at temperature 0 with thinking off."""
    return [
        {"topic": topic.name, "question": topic.questions[0], "answer": topic.answer}
        for topic in known.topics.values()
        if guide.ask(user(topic.questions[0]), False)[0] == topic.answer
    ]


def main() -> None:
    """Print the scores; with --wrong also what went wrong; with --questions write the verified first questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--wrong", action="store_true")
    settings = parser.parse_args()
    known = corpus.load()
    with opened(settings.model) as guide:
        verified = verified_questions(guide, known)
        print(f"first questions: {len(verified)} of {len(known.topics)}", flush=True)
        if settings.questions:
            settings.questions.write_text(json.dumps(verified, indent=1) + "\n", "utf-8")
        for score in all_scores(guide, known):
            print(f"{score} ({score.seconds:.0f} s)", flush=True)
            for question, wanted, came in score.wrong if settings.wrong else ():
                print(f"    {wanted} -> {came}: {question}")


if __name__ == "__main__":
    main()
