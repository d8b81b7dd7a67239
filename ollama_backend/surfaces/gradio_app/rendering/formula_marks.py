"""Finds the delimiters of formulas in the ordinary text of Markdown source, outside code."""

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from pyromark.event import Event, Range

_MARK = re.compile(
    rb"\\[()\[\]]|\\(?:begin|end)\{(?:equation|align|alignat|aligned|gather|gathered|array|split|cases"
    rb"|[bBpvV]?matrix|CD)\*?\}|\\.|\$+",
    re.DOTALL,
)
_INLINE_TAGS = {"Emphasis", "Strong", "Strikethrough", "Link", "Image"}
_DELIMITERS = (b"$$", b"\\(", b"\\)", b"\\[", b"\\]")


class TextPlace(NamedTuple):
    """A range of source that a first parse treats as text.

    `leaf` is the number of its leaf block, `quotes` the depth of block quotes around it, `in_row` whether it is in a
    table. Offsets are in bytes.
    """

    start: int
    end: int
    leaf: int
    quotes: int
    in_row: bool


class Mark(NamedTuple):
    """A delimiter in the source; offsets are in bytes."""

    start: int
    end: int
    kind: bytes
    place: TextPlace


def text_places(events: Iterable[tuple[Event, Range]]) -> tuple[list[TextPlace], list[int]]:
    """Return the ranges of text, and the offsets at which code spans begin.

    A row of a table counts as one range including its cells, because a formula may contain `|`.
    """
    places: list[TextPlace] = []
    holes: list[int] = []
    leaf = quotes = 0
    verbatim = False
    row = -1
    for event, span in events:
        if isinstance(event, str):
            continue
        if "Text" in event:
            if not verbatim and row < 0:
                places.append(TextPlace(span["start"], span["end"], leaf, quotes, False))
        elif "Code" in event or "InlineHtml" in event:
            if "Code" in event:
                holes.append(span["start"])
            if row >= 0:
                places.append(TextPlace(row, span["start"], leaf, quotes, True))
                row = span["end"]
        elif "Start" in event:
            tag = event["Start"]
            name = tag if isinstance(tag, str) else next(iter(tag))
            if name == "CodeBlock" or (
                not isinstance(tag, str) and "Link" in tag and tag["Link"]["link_type"] in ("Autolink", "Email")
            ):
                verbatim = True
            if name in ("TableRow", "TableHead"):
                row = span["start"]
            quotes += name == "BlockQuote"
            leaf += row < 0 and name not in _INLINE_TAGS
        elif "End" in event:
            closed = event["End"]
            name = closed if isinstance(closed, str) else next(iter(closed))
            if name in ("CodeBlock", "Link"):
                verbatim = False
            if name in ("TableRow", "TableHead"):
                places.append(TextPlace(row, span["end"], leaf, quotes, True))
                row = -1
            quotes -= name == "BlockQuote"
            leaf += row < 0 and name not in _INLINE_TAGS
    return places, holes


def formula_marks(source: bytes, places: list[TextPlace]) -> list[Mark]:
    """Return the delimiters within the ranges, in order."""
    starts = [place.start for place in places]
    marks = []
    for match in _MARK.finditer(source):
        kind = match[0]
        if len(kind) == 2 and kind not in _DELIMITERS:
            continue
        # Compared by the last byte: the parser leaves the backslash of an escape such as `\(` out of the text.
        index = bisect_right(starts, match.end() - 1) - 1
        if index >= 0 and match.end() <= places[index].end:
            marks.append(Mark(match.start(), match.end(), kind, places[index]))
    return marks
