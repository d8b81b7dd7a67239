"""Finds formulas in Markdown source: `$…$`, `$$…$$`, `\\(…\\)`, `\\[…\\]` and `\\begin{align}…\\end{align}`.

CommonMark has no formulas: it treats `\\(` as an escape, `_` and `*` in them as emphasis, and a line of `=` as the
underline of a heading. So the text is parsed twice. The first parse shows where ordinary text is; formulas are searched
there, and the second parse gets the source with each formula masked by the same number of filler bytes.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple

from .formula_marks import Mark, TextPlace, formula_marks

# A control character cannot be part of a link's destination, and does not affect `*` and `_` beside it as a space or
# punctuation would.
FILLER = b"\x01"
# The maximum distance in bytes between the opening of a display formula that spans several blocks and the line that
# closes it. A stream shows everything after an opening mark as a formula for this long, even if none follows.
FAR = 4096
# The maximum length of a formula.
MAX_BYTES = 16384

OPENING = re.compile(rb"\$|\\[(\[]|\\begin\{")
_CLOSING = {b"$": b"$", b"$$": b"$$", b"\\(": b"\\)", b"\\[": b"\\]"}
_LINE_START = re.compile(rb"(?:[ \t>]|[-*+][ \t]|\d{1,9}[.)][ \t])*")
_BLANK_TO_END_OF_LINE = re.compile(rb"[ \t]*(?:\n|\Z)")
_END_OF_SENTENCE = re.compile(rb"[ \t]*[.,;:]?[ \t]*(?:\n|\Z)")
_BLANK_LINE = re.compile(rb"\n[ \t>]*\n")
_FENCE = re.compile(rb"\n[ \t>]*(?:```|~~~)")
# What follows a dollar that does not close a formula: `$5-$10`, `$HOME/bin:$PATH`, `${A}:${B}`.
_AFTER_A_PRICE_OR_NAME = re.compile(rb"[0-9{]|[A-Z_]{2}")
_PIPE_BETWEEN_BLANKS = re.compile(rb"\s\|\s")


class Formula(NamedTuple):
    """A formula: its range in the source, in bytes, and its TeX. `open`: its end has not been written yet."""

    start: int
    end: int
    tex: str
    display: bool
    open: bool = False


def find_formulas(source: bytes, places: list[TextPlace], holes: list[int], *, final: bool) -> list[Formula]:
    """Return the formulas in order; `places` and `holes` are those of `text_places`.

    Unless `final`, a formula that has no closing mark yet extends to the end of the source.
    """
    return _Search(source, formula_marks(source, places), holes, final).formulas()


def masked(source: bytes, formulas: Iterable[Formula]) -> bytes:
    """Return the source with filler in place of each formula. All offsets stay the same."""
    pieces, end = [], 0
    for formula in formulas:
        pieces += [source[end : formula.start], FILLER * (formula.end - formula.start)]
        end = formula.end
    return b"".join([*pieces, source[end:]])


class _Search:
    """Pairs delimiters, in linear time: marks are looked up by kind in sorted lists."""

    def __init__(self, source: bytes, marks: list[Mark], holes: list[int], final: bool) -> None:
        self._source, self._marks, self._holes, self._final = source, marks, holes, final
        self._last_line = source.rfind(b"\n") + 1
        self._of_kind: dict[bytes, list[Mark]] = {}
        for mark in marks:
            self._of_kind.setdefault(b"$" if mark.kind[:1] == b"$" else mark.kind, []).append(mark)
        self._starts = {kind: [mark.start for mark in found] for kind, found in self._of_kind.items()}

    def formulas(self) -> list[Formula]:
        """Return the formulas from left to right."""
        found: list[Formula] = []
        end = 0
        for mark in self._marks:
            if mark.start >= end and (formula := self._formula(mark)):
                found.append(formula)
                end = formula.end
        return found

    def _formula(self, opening: Mark) -> Formula | None:
        """Return the formula that begins at a mark, or None."""
        if opening.kind.startswith(b"\\begin"):
            closing_kind = b"\\end" + opening.kind[6:]
            if not self._at_line_start(opening.start):
                return None
        elif opening.kind in _CLOSING:
            closing_kind = _CLOSING[opening.kind]
        else:
            return None
        closing = self._next(closing_kind, opening.end)
        if closing and opening.kind == b"$$" and closing.kind == b"$" and closing.end == len(self._source):
            # At the end of an unfinished text, this `$` may be the first half of a `$$`.
            closing = closing if self._final else None
        if closing and self._pair(opening, closing):
            return self._of(opening, closing.start, closing.end)
        return None if closing or self._final else self._still_open(opening)

    def _next(self, kind: bytes, start: int) -> Mark | None:
        """Return the first mark of a kind from an offset on. For dollars, this is the next run of any length."""
        family = b"$" if kind[:1] == b"$" else kind
        index = bisect_left(self._starts.get(family, []), start)
        return self._of_kind[family][index] if index < len(self._starts.get(family, [])) else None

    def _pair(self, opening: Mark, closing: Mark) -> bool:
        """Return whether two marks enclose a formula."""
        source, start, end = self._source, opening.end, closing.start
        if opening.kind[:1] == b"$" and closing.kind != opening.kind:
            return False
        if not start < end <= opening.start + MAX_BYTES or self._has_code(start, end):
            return False
        same_leaf = opening.place.leaf == closing.place.leaf
        if opening.kind == b"$":
            return same_leaf and self._pandoc(opening, closing)
        if opening.kind == b"$$" and opening.place.in_row and _PIPE_BETWEEN_BLANKS.search(source, start, end):
            return False
        return same_leaf or (opening.kind != b"\\(" and self._across_blocks(opening, closing))

    def _has_code(self, start: int, end: int) -> bool:
        """Return whether a code span begins between two offsets."""
        index = bisect_left(self._holes, start)
        return index < len(self._holes) and self._holes[index] < end

    def _pandoc(self, opening: Mark, closing: Mark) -> bool:
        """Return whether two dollars enclose a formula by Pandoc's rule (pandoc.org/MANUAL, Math).

        No space just inside the dollars and no digit after them, so that prices stay text.
        """
        source, start, end = self._source, opening.end, closing.start
        if source[start : start + 1].isspace() or source[end - 1 : end].isspace():
            return False
        if _AFTER_A_PRICE_OR_NAME.match(source, closing.end):
            return False
        return not (opening.place.in_row and _PIPE_BETWEEN_BLANKS.search(source, start, end))

    def _across_blocks(self, opening: Mark, closing: Mark) -> bool:
        """Return whether two marks enclose a display formula that Markdown sees as several blocks, such as a list."""
        source, start, end = self._source, opening.end, closing.start
        line = source.rfind(b"\n", start, end) + 1
        if not line or line > opening.start + FAR or not self._may_cross(opening) or _FENCE.search(source, start, end):
            return False
        if not _BLANK_LINE.search(source, start, end):
            return True
        alone = not source[line:end].strip(b" \t>") and _END_OF_SENTENCE.match(source, closing.end)
        return bool(alone and self._may_hold_blank_lines(opening))

    def _still_open(self, opening: Mark) -> Formula | None:
        """Return a formula whose end has not been written yet, or None if the mark cannot open one."""
        source, start = self._source, opening.end
        # A single `$` is more often a price, and must not hide the rest of a text that is being written.
        if opening.kind == b"$" or self._last_line > opening.start + FAR or len(source) > opening.start + MAX_BYTES:
            return None
        if self._has_code(start, len(source)) or _FENCE.search(source, start):
            return None
        if _BLANK_LINE.search(source, start) and not self._may_hold_blank_lines(opening):
            return None
        if opening.kind == b"$$" and not self._may_cross(opening) and not source[start : start + 1].strip():
            # As in `echo $$ prints the process id`.
            return None
        return self._of(opening, len(source), len(source)) if source[start:].strip() else None

    def _of(self, opening: Mark, inner_end: int, end: int) -> Formula | None:
        """Return the formula from a mark to an offset, or None if a block quote ends in between."""
        tex = self._without_quote_marks(self._source[opening.end : inner_end], opening)
        if tex is None:
            return None
        if opening.kind.startswith(b"\\begin"):
            tex = opening.kind.decode() + tex + self._source[inner_end:end].decode()
        if opening.place.in_row:
            # Cells need the backslash, or `|` would end them (GitHub Flavored Markdown, "Tables"). TeX must not get it.
            tex = tex.replace("\\|", "|")
        is_open = inner_end == end
        return Formula(opening.start, end, tex, opening.kind not in (b"$", b"\\("), is_open)

    def _without_quote_marks(self, tex: bytes, opening: Mark) -> str | None:
        """Return TeX without the `>` at the start of its lines in a block quote; None if one is missing."""
        if not (quotes := opening.place.quotes) or b"\n" not in tex:
            return tex.decode()
        first, *lines = tex.split(b"\n")
        inner = []
        for line in lines:
            match = re.match(rb"(?:[ \t]*> ?){%d}" % quotes, line)
            if not match:
                return None
            inner.append(line[match.end() :])
        return b"\n".join([first, *inner]).decode()

    def _may_cross(self, opening: Mark) -> bool:
        """Return whether an opening mark is first or last in its line."""
        return self._at_line_start(opening.start) or bool(_BLANK_TO_END_OF_LINE.match(self._source, opening.end))

    def _may_hold_blank_lines(self, opening: Mark) -> bool:
        """Return whether an opening mark is alone in its line. Environments may not contain blank lines in TeX."""
        alone = self._at_line_start(opening.start) and _BLANK_TO_END_OF_LINE.match(self._source, opening.end)
        return bool(alone) and opening.kind in (b"$$", b"\\[")

    def _at_line_start(self, offset: int) -> bool:
        """Return whether only markers of quotes and lists precede an offset in its line."""
        # Bounded, so that a single line with many marks does not take quadratic time.
        line = self._source.rfind(b"\n", max(0, offset - 200), offset) + 1
        return (line > 0 or offset <= 200) and bool(_LINE_START.fullmatch(self._source, line, offset))
