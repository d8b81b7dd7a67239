"""Thinking that arrives as text: separating a leading `<think>…</think>` from streamed content."""

from collections.abc import Iterator
from enum import Enum
from typing import Literal

OPENING, CLOSING = "<think>", "</think>"
# After one of these a closing tag is part of a text about tags.
_QUOTES = ("`", '"', "'")
Piece = tuple[Literal["thinking", "content"], str]


class _State(Enum):
    LEADING = "only whitespace so far"
    THINKING = "inside the block"
    CLOSED = "between the block and the answer"
    UNOPENED = "content, unless its first tag is a closing one"
    CONTENT = "content to the end"


class ThinkingSplitter:
    """Splits content into thinking and content, as Ollama does for models that it knows to think (thinking/parser.go).

    `opened` means that the model's template has already opened the block; `may_close` means that a closing tag counts
    even without an opening one. `closed_unopened` is true after such a tag: all pieces before it were thinking.
    `unclosed` is the text in a block that the template opened and the model has not closed.
    """

    def __init__(self, *, opened: bool = False, may_close: bool = False) -> None:
        self._opened = opened
        self._may_close = may_close
        self._state = _State.LEADING
        self._held = ""
        self._last = ""
        self._unclosed: list[str] = []
        self.closed_unopened = False

    @property
    def passes(self) -> bool:
        """Whether all further text is content."""
        return self._state is _State.CONTENT and not self._held

    @property
    def unclosed(self) -> str:
        """The text in a block that the template opened, while it is not closed."""
        return "".join(self._unclosed) if self._state is _State.THINKING and self._opened else ""

    def skip(self) -> None:
        """Treat all further text as content: Ollama has already separated the thinking."""
        self._state = _State.CONTENT

    def feed(self, text: str) -> Iterator[Piece]:
        """Yield the pieces of new content; a possible beginning of a tag is held back."""
        if self._state is _State.CONTENT:
            yield "content", self._taken(text)
            return
        text = self._taken(text)
        if self._state is _State.LEADING:
            text = self._lead(text)
        if self._state is _State.UNOPENED:
            yield from self._unopened(text)
        elif self._state is _State.THINKING:
            yield from self._thinking(text)
        elif self._state is not _State.LEADING:
            yield from self._after(text)

    def finish(self) -> Iterator[Piece]:
        """Yield what was held back, at the end of the content."""
        held = self._taken("")
        if not held.strip():
            return
        if self._state is _State.THINKING:
            yield from self._inside(held)
        else:
            yield "content", held

    def _taken(self, text: str) -> str:
        text, self._held = self._held + text, ""
        return text

    def _lead(self, text: str) -> str:
        """Return the text after a leading opening tag, or all of it without one."""
        stripped = text.lstrip()
        if stripped.startswith(OPENING):
            # The tag is the model's own, so the text is thinking even if the block is never closed.
            self._state, self._opened = _State.THINKING, False
            return stripped[len(OPENING) :].lstrip()
        # Only white space so far, or the beginning of a tag.
        if OPENING.startswith(stripped):
            self._held = text
        elif self._opened:
            self._state = _State.THINKING
        else:
            self._state = _State.UNOPENED if self._may_close else _State.CONTENT
        return text

    def _thinking(self, text: str) -> Iterator[Piece]:
        before, closing, after = text.partition(CLOSING)
        if not closing:
            before, self._held = _without_half_tag(text, CLOSING)
        if before:
            yield from self._inside(before)
        if closing:
            self._state = _State.CLOSED
            self._unclosed.clear()
            yield from self._after(after)

    def _inside(self, text: str) -> Iterator[Piece]:
        if self._opened:
            self._unclosed.append(text)
        yield "thinking", text

    def _unopened(self, text: str) -> Iterator[Piece]:
        closing, opening = text.find(CLOSING), text.find(OPENING)
        if closing >= 0 and (opening < 0 or closing < opening) and not (self._last + text[:closing]).endswith(_QUOTES):
            self.closed_unopened = True
            self._state = _State.CLOSED
            if closing:
                yield "thinking", text[:closing]
            yield from self._after(text[closing + len(CLOSING) :])
        elif closing >= 0 or opening >= 0:
            self._state = _State.CONTENT  # the model writes about tags
            yield "content", text
        else:
            before, self._held = _without_half_tag(text, CLOSING, OPENING)
            if before:
                self._last = before[-1]
                yield "content", before

    def _after(self, text: str) -> Iterator[Piece]:
        # Models write blank lines between the block and the answer.
        text = text.lstrip() if self._state is _State.CLOSED else text
        if text:
            self._state = _State.CONTENT
            yield "content", text


def _without_half_tag(text: str, *tags: str) -> tuple[str, str]:
    """Split off the beginning of a tag at the end of a text."""
    for size in range(min(len(text), max(map(len, tags)) - 1), 0, -1):
        if any(tag.startswith(text[-size:]) for tag in tags):
            return text[:-size], text[-size:]
    return text, ""


def split_thinking(content: str) -> tuple[str, str]:
    """Return the thinking in the leading block of complete content, and the rest of the content."""
    splitter = ThinkingSplitter()
    pieces = [*splitter.feed(content), *splitter.finish()]
    thinking = "".join(text for kind, text in pieces if kind == "thinking")
    return thinking, "".join(text for kind, text in pieces if kind == "content")


def opens_thinking(template: str, modelfile: str) -> bool:
    """Return whether a model's template ends with an opening tag, so that the model itself writes only the closing one.

    Ollama's built-in renderers have no template; their names end in `-thinking` (model/renderers).
    """
    renderers = [line for line in modelfile.splitlines() if line.startswith(("RENDERER ", "PARSER "))]
    return template.rfind(OPENING) > template.rfind(CLOSING) or any(line.endswith("-thinking") for line in renderers)
