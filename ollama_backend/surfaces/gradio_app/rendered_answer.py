"""The HTML of an answer while it is written, rendered once for all pages that follow it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ollama_backend.chat.answer import Answer
from ollama_backend.chat.answer_state import KINDS
from ollama_backend.surfaces.gradio_app.rendering.stream_renderer import StreamRenderer, Update

Kind = Literal["thinking", "content"]
BEYOND_BMP = "\U00010000"
MAX_PLAIN_CHARACTERS = 500
_PLAIN = re.compile(r"(?:[^\W_]|[ ,])+")  # such text neither is nor ends markup
_END = "</p>"


class RenderedText:
    """The HTML of a growing text: finished blocks, a tail, and text to append to the open element at the tail's end.

    `restarts` counts how often everything was replaced, `tails` how often the tail was. Plain words that continue a
    paragraph are inserted without rendering it again, until text arrives that may be markup.
    """

    def __init__(self, prefix: str) -> None:
        self._renderer = StreamRenderer(prefix)
        self._finished = False
        self._paragraph = ""  # the rendered tail without `</p>`, if words can be inserted there
        self._words = ""  # text that the renderer has not received yet
        self.blocks: list[str] = []
        self.tail = ""
        self.appended: list[str] = []
        self.restarts = self.tails = 0

    def feed(self, text: str) -> None:
        """Add more text."""
        if self._paragraph and len(self._words) < MAX_PLAIN_CHARACTERS and _PLAIN.fullmatch(text):
            self._words += text
            self._replace_tail(self._paragraph + self._words + _END)
            return
        text = self._words + text
        visible = text.rstrip(" ")  # a paragraph is rendered without trailing spaces
        self._words = text[len(visible) :]
        self._apply(self._renderer.feed(visible))
        ends_in_text = self.tail.endswith(_END) and self.tail[-len(_END) - 1] != ">" and not self.appended
        self._paragraph = self.tail[: -len(_END)] if ends_in_text and self._renderer.is_within_line else ""

    def finish(self) -> None:
        """Render the rest of a complete text. May be called more than once."""
        if not self._finished:
            self._finished = True
            if self._words:
                self._apply(self._renderer.feed(self._words))
            self._apply(self._renderer.finish())

    def _apply(self, update: Update) -> None:
        if update.restart:
            self.blocks = []
            self.restarts += 1
        self.blocks += update.finished
        if update.tail is not None:
            self._replace_tail(update.tail)
        if update.append:
            self.appended.append(update.append)

    def _replace_tail(self, tail: str) -> None:
        self.tail, self.appended = tail, []
        self.tails += 1


class RenderedAnswer:
    """The HTML of an answer's thinking and content."""

    def __init__(self, name: str, answer: Answer) -> None:
        self._name = name
        self._answer = answer
        self._begin()

    def _begin(self) -> None:
        self._at = 0
        self._rewritten = self._answer.rewritten
        self.texts = {kind: RenderedText(f"{kind[0]}{self._name[:12]}") for kind in KINDS}

    def advance(self) -> None:
        """Render the text since the last call, or all of it after a rewrite."""
        if self._answer.rewritten != self._rewritten:
            self._begin()
        new = self._answer.deltas[self._at :]
        self._at += len(new)
        for kind in KINDS:
            if text := "".join(delta.text for delta in new if delta.kind == kind):
                self.texts[kind].feed(text)
        if self._answer.ended or any(delta.kind == "content" for delta in new):
            self.texts["thinking"].finish()
        if self._answer.ended:
            self.texts["content"].finish()


class RenderedAnswers:
    """Shares the HTML of an answer between its followers, as long as there are any."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[RenderedAnswer, int]] = {}

    @contextmanager
    def open(self, name: str, answer: Answer) -> Iterator[RenderedAnswer]:
        """Return the HTML of an answer, which is kept for the duration of the block."""
        rendered, followers = self._open.get(name) or (RenderedAnswer(name, answer), 0)
        self._open[name] = rendered, followers + 1
        try:
            yield rendered
        finally:
            followers = self._open[name][1] - 1
            if followers:
                self._open[name] = rendered, followers
            else:
                del self._open[name]


class SentText:
    """What a page has received of a text."""

    def __init__(self) -> None:
        self._blocks = self._appended = self._restarts = 0
        self._tails = -1
        self._tail = ""

    def changes(self, text: RenderedText) -> dict[str, object]:
        """Return the changes that the page must apply.

        `restart`: drop all blocks. `blocks`: add these. `tail`: keep this many UTF-16 units of the tail and add this
        HTML after them. `append`: add this text to the open element at the end of the tail.
        """
        changes: dict[str, object] = {}
        if text.restarts != self._restarts:
            self._restarts, self._blocks = text.restarts, 0
            changes["restart"] = True
        if blocks := text.blocks[self._blocks :]:
            self._blocks = len(text.blocks)
            changes["blocks"] = blocks
        if text.tails != self._tails:
            kept = common_prefix(self._tail, text.tail)
            if self._appended or not kept == len(text.tail) == len(self._tail):
                changes["tail"] = [utf16_length(text.tail[:kept]), text.tail[kept:]]
            self._tails, self._tail, self._appended = text.tails, text.tail, 0
        if appended := "".join(text.appended[self._appended :]):
            self._appended = len(text.appended)
            changes["append"] = appended
        return changes


def common_prefix(one: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def utf16_length(text: str) -> int:
    """Return the length of a text in UTF-16 units, as JavaScript counts it."""
    return len(text) if not text or max(text) < BEYOND_BMP else len(text.encode("utf-16-le")) // 2
