"""Blocks of raw HTML, shown as text except for `hr`, and `details` with a `summary`.

The parser yields the opening and the closing tag of `details` as two blocks with others in between. The opening tag is
written as text first, and replaced when the closing tag is found.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate

from .inline_writer import DEEPEST, InlineWriter
from .links import escaped

# The maximum distance in bytes between `<details>` and the line of `</details>`. A stream keeps the element open, and
# writes it again with every update, for this long.
FAR = 16384

_BLOCK_TAG = re.compile(r"<(?P<slash>/?)(?P<name>details|hr)(?P<rest>\s[^<>]*|/?)>", re.IGNORECASE)
_SUMMARY = re.compile(r"\s*<summary(?:\s[^<>]*)?>(?P<inner>.*?)</summary\s*>", re.IGNORECASE | re.DOTALL)
_IS_OPEN = re.compile(r"\sopen\b", re.IGNORECASE)


@dataclass(slots=True)
class _Details:
    """An opening tag: its offset in the source, its depth, its block, and the output that replaces its text."""

    start: int
    depth: int
    block: int
    parts: list[tuple[int, str]] = field(default_factory=list)


class HtmlBlocks:
    """Writes blocks of raw HTML."""

    def __init__(self, out: list[str], inline: InlineWriter, source: bytes) -> None:
        self._out, self._inline, self._source = out, inline, source
        self._open: list[_Details] = []

    def write(self, lines: list[tuple[str, int]], depth: int, block: int) -> int:
        """Write the lines of a block, given with their offsets; `depth` is the number of containers around it.

        `block` is the number of the top-level block. Returns the number of the first block that must be merged with it:
        a smaller one if `details` that began there end here.
        """
        text = "".join(line for line, _ in lines)
        ends = list(accumulate(len(line) for line, _ in lines))
        first, written, position = block, 0, 0
        while match := _BLOCK_TAG.search(text, position):
            position = match.end()
            start = lines[bisect_right(ends, match.start())][1]
            kind = match["slash"] + match["name"].lower()
            if kind == "details" and len(self._open) + depth < DEEPEST:
                self._text(text[written : match.start()])
                self._begin(match, start, depth, block)
                position = self._summary(text, position)
            elif kind == "/details" and (opened := self._closed_by(start, depth)):
                self._text(text[written : match.start()])
                first = min(first, self._honour(opened))
            elif kind == "hr":
                self._text(text[written : match.start()])
                self._out.append("<hr>")
            else:
                continue
            written = position
        self._text(text[written:])
        for details in self._open:
            details.block = min(details.block, first)
        return first

    def leave(self, depth: int) -> None:
        """End a container. Tags opened in it and not closed remain text."""
        while self._open and self._open[-1].depth >= depth:
            self._open.pop()

    def close(self, last_line: int) -> int | None:
        """Close, for display, the elements that later text may still close. Returns the block of the outermost one."""
        first = None
        while self._open:
            details = self._open[-1]
            if last_line > details.start + FAR:
                self._open.pop()
            else:
                first = self._honour(details)
        return first

    def _begin(self, match: re.Match[str], start: int, depth: int, block: int) -> None:
        """Write an opening tag as text, and remember its position in the output."""
        opening = '<details open="">' if _IS_OPEN.search(match["rest"]) else "<details>"
        self._open.append(_Details(start, depth, block, [(len(self._out), opening)]))
        self._out.append(f'<p class="raw" dir="auto">{escaped(match[0])}</p>')

    def _summary(self, text: str, position: int) -> int:
        """Write a following summary as text, and remember what replaces it. Returns the offset after it."""
        match = _SUMMARY.match(text, position)
        if not match:
            return position
        place = len(self._out)
        self._out.append('<summary dir="auto">')
        self._inline.raw_text(match["inner"].strip(), entities=True)
        self._inline.finish()
        self._out.append("</summary>")
        self._open[-1].parts.append((place, "".join(self._out[place:])))
        self._out[place:] = [f'<p class="raw" dir="auto">{escaped(match[0].strip())}</p>']
        return match.end()

    def _closed_by(self, start: int, depth: int) -> _Details | None:
        """Return the element that a closing tag at an offset ends, or None."""
        line = self._source.rfind(b"\n", 0, start) + 1
        if not self._open or self._open[-1].depth != depth or line > self._open[-1].start + FAR:
            return None
        return self._open[-1]

    def _honour(self, details: _Details) -> int:
        """Replace the text of an element's tags by the element. Returns the block in which it begins."""
        for place, html in details.parts:
            self._out[place] = html
        self._out.append("</details>")
        self._open.pop()
        return details.block

    def _text(self, source: str) -> None:
        """Write text, including tags that are not allowed between blocks."""
        if source.strip():
            self._out.append('<p class="raw" dir="auto">')
            self._inline.raw_text(source.strip("\n"))
            self._inline.finish()
            self._out.append("</p>")
