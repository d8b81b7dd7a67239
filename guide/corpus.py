"""What the guide knows: topics with one answer each, questions that lead to it, and held-out paraphrases."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
FALLBACK = "fallback"
MARKS = ("A: ", "T: ", "Q: ", "H: ")


@dataclass(frozen=True)
class Topic:
    """One thing that the guide can say; `thought` is what it writes first when thinking is on."""

    name: str
    about: str
    answer: str
    thought: str
    questions: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True)
class FollowUp:
    """A second question that is understood only after the first one's answer."""

    before: str
    topic: str
    question: str


@dataclass(frozen=True)
class Corpus:
    """All topics by name, in the order of the files, and the follow-ups."""

    topics: dict[str, Topic]
    follow_ups: tuple[FollowUp, ...]

    def held_out(self) -> frozenset[str]:
        """The held-out questions, normalised."""
        return frozenset(normalise(question) for topic in self.topics.values() for question in topic.held_out)


def normalise(question: str) -> str:
    """The question without case, punctuation and spacing: what counts as the same question."""
    return " ".join(re.findall(r"[\w/]+", question.lower())) or question.strip()


def read_topic(text: str) -> Topic:
    """One topic from its block of a corpus file (see README.md, The corpus)."""
    head, *lines = text.strip().splitlines()
    name, about = head.split(" | ", 1)
    parts: dict[str, list[str]] = {mark: [] for mark in MARKS}
    mark = ""
    for line in lines:
        if line[:3] in MARKS:
            mark = line[:3]
            parts[mark].append(line[3:])
        elif mark == "A: ":
            parts[mark][-1] += "\n" + line
        elif line.strip():
            raise ValueError(f"{name}: a line without a mark: {line!r}")
    if len(parts["A: "]) != 1 or not parts["Q: "]:
        raise ValueError(f"{name}: needs one answer and at least one question")
    thought = (parts["T: "] or [f"This is about {about}."])[0]
    return Topic(name, about, parts["A: "][0].strip(), thought, tuple(parts["Q: "]), tuple(parts["H: "]))


def read_follow_up(line: str) -> FollowUp:
    """One follow-up from its line `before | topic | question`."""
    before, topic, question = (part.strip() for part in line.split("|"))
    return FollowUp(before, topic, question)


def load(folder: Path = FOLDER) -> Corpus:
    """Read the corpus; a question that is also held out anywhere is left out of the trained ones."""
    follow_ups = (folder / "follow_ups.txt").read_text("utf-8").splitlines()
    blocks = [
        block
        for path in sorted(folder.glob("[0-9]*.txt"))
        for block in re.split(r"^# ", path.read_text("utf-8"), flags=re.MULTILINE)[1:]
    ]
    topics = {topic.name: topic for topic in map(read_topic, blocks)}
    if len(topics) != len(blocks):
        raise ValueError("a topic is named twice")
    whole = Corpus(topics, tuple(read_follow_up(line) for line in follow_ups if line.strip()))
    held = whole.held_out()
    kept = {
        topic.name: replace(topic, questions=tuple(q for q in topic.questions if normalise(q) not in held))
        for topic in topics.values()
    }
    return replace(whole, topics=kept)
