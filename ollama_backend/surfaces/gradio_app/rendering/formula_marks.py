"""Where in Markdown source the delimiters of formulas stand as ordinary text."""

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
    """Source that a first parse takes for text: its leaf block, the depth of its quotes, whether in a table."""

    start: int
    end: int
    leaf: int
    quotes: int
    in_row: bool


class Mark(NamedTuple):
    """A delimiter in the source."""

    start: int
    end: int
    kind: bytes
    place: TextPlace


def text_places(events: Iterable[tuple[Event, Range]]) -> tuple[list[TextPlace], list[int]]:
    """Return where text is, and where code spans begin. A row of a table counts as one place, cells and all."""
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
    """Return the delimiters that lie in one of the places."""
    starts = [place.start for place in places]
    marks = []
    for match in _MARK.finditer(source):
        kind = match[0]
        if len(kind) == 2 and kind not in _DELIMITERS:
            continue
        # The parser leaves the backslash of an escape out of the text.
        index = bisect_right(starts, match.end() - 1) - 1
        if index >= 0 and match.end() <= places[index].end:
            marks.append(Mark(match.start(), match.end(), kind, places[index]))
    return marks
