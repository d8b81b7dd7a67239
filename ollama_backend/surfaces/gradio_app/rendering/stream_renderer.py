"""Renders an answer while it is being written, at a cost linear in its length.

Once the next block of Markdown has begun with a complete line, later text cannot change a block, except by defining
links and footnotes. So each block is finished once, and only the last one is rendered again with every delta. A long
last block is rendered again only when it has grown by a fraction of its length, and code in a fence is appended.
"""

import re
from dataclasses import dataclass, field

from .highlight import Highlighter
from .html_writer import Block
from .markdown import new_references, normalized, render, render_part, render_tail

# Up to this many characters, the unfinished part is rendered again with every delta. To a longer one, new text is
# appended unrendered until it has grown by 1/GROWTH.
SHORT = 4096
GROWTH = 16
# HTML is rarely longer than this many times its source. If it is, as in a table whose rows lack most of their cells,
# the length of the HTML decides, or short sources would send quadratic amounts of HTML.
USUAL_RATIO = 8

# An incomplete last line that may become a list item, a rule, an underline, a fence, or the row below a table's header.
# It is held back, because the text above it would change its appearance back and forth.
_UNDECIDED_LINE = re.compile(r"[ \t>]*(?:[-=_*+#~`|:$\\ \t]+|\d{1,9}[.)]?[ \t]*)\Z")
_UNDECIDED_CODE_LINE = re.compile(r"[ \t]*[`~]*[ \t]*\Z")
_FENCE = re.compile(r"(?P<fence>`{3,}(?=[^`\n]*\n)|~{3,})[^\n]*\n")
_OPEN_TEXT = '<p class="raw" dir="auto" data-open="1"></p>'


@dataclass(frozen=True, slots=True)
class Update:
    """The changes to the page after a delta, to be applied in this order.

    `restart`: remove everything shown so far. `finished`: HTML of blocks to insert before the tail, which never change.
    `tail`: HTML that replaces the tail, or None. `append`: text, not HTML, to append to the last element in the tail
    that has `data-open`.
    """

    finished: list[str] = field(default_factory=list)
    tail: str | None = None
    append: str = ""
    restart: bool = False


class StreamRenderer:
    """Renders the deltas of an answer. In the end, the finished blocks are those that `render` returns for the whole.

    Raises ValueError for an invalid prefix, like `render`.
    """

    def __init__(self, prefix: str = "message") -> None:
        self._prefix = prefix
        self._references = new_references(prefix)
        self._parts: list[str] = []
        self._ends_with_return = False
        # The unfinished part, its length, its length when it was last rendered, and the cost of rendering it.
        self._tail: list[str] = []
        self._length = self._rendered_length = self._weight = 0
        self._shown: str | None = ""
        # What new text is appended to: a fence that ends with this pattern, or raw text.
        self._fence_end: re.Pattern[str] | None = None
        self._is_raw = False
        # The end of the unfinished part that is held back, and whether the shown part ends within a line.
        self._held = ""
        self._within_line = False
        self._highlighter = Highlighter()
        self._code: dict[tuple[str, str], str] = {}

    @property
    def is_within_line(self) -> bool:
        """Whether all of the text so far is shown, and its last line has not ended."""
        ends = not self._parts or self._parts[-1].endswith("\n")
        return not (ends or self._held or self._ends_with_return)

    def feed(self, delta: str) -> Update:
        """Return the changes after a delta."""
        # A carriage return waits for the next delta, which may begin with the line feed that belongs to it.
        if self._ends_with_return:
            delta = "\r" + delta
        self._ends_with_return = delta.endswith("\r")
        text = normalized(delta[:-1] if self._ends_with_return else delta)
        if not text:
            return Update()
        self._parts.append(text)
        self._tail.append(text)
        self._length += len(text)
        if self._fence_end:
            return self._continue_code(text, self._fence_end)
        if self._is_raw and self._length - self._rendered_length < self._weight // GROWTH:
            text, self._held = self._held + text, ""
            return Update(append=text)
        return self._render()

    def finish(self) -> Update:
        """Return the last changes, after which the tail is empty."""
        if self._ends_with_return:
            self._parts.append("\n")
            self._tail.append("\n")
        finished = self._finished("".join(self._tail))
        if self._references.stale:  # finished blocks refer to a link or footnote that was defined after them
            return Update(finished=render("".join(self._parts), self._prefix), tail="", restart=True)
        return Update(finished=finished, tail="")

    def _render(self) -> Update:
        """Render the unfinished part, and finish the blocks in it that can no longer change."""
        source = "".join(self._tail)
        visible, blocks = self._unfinished(source)
        finished = []
        if cut := _end_of_finished(visible.encode(), blocks):
            encoded = source.encode()
            finished = self._finished(encoded[:cut].decode())
            source = encoded[cut:].decode()
            visible, blocks = self._unfinished(source)
        self._tail = [source]
        self._length = self._rendered_length = len(source)
        self._held = source[len(visible) :]
        self._fence_end = _end_of_open_fence(visible.encode(), blocks)
        tail = "".join(block.html for block in blocks)
        self._weight = max(len(source), len(tail) // USUAL_RATIO)
        self._is_raw = not self._fence_end and self._weight > SHORT
        self._within_line = not visible.endswith("\n")
        tail += _OPEN_TEXT if self._is_raw else ""
        is_same, self._shown = tail == self._shown, None if self._is_raw or self._fence_end else tail
        return Update(finished=finished, tail=None if is_same else tail)

    def _unfinished(self, source: str) -> tuple[str, list[Block]]:
        """Return the part of the source that can be shown, and its blocks."""
        line = source.rfind("\n") + 1
        visible = source[:line] if _UNDECIDED_LINE.match(source, line) else source
        return visible, render_tail(visible.encode(), self._references, self._write_code)

    def _finished(self, source: str) -> list[str]:
        """Return the HTML of a finished part, and add its definitions to the references."""
        blocks = render_part(source.encode(), self._references, self._write_code)
        self._code.clear()
        return [block.html for block in blocks]

    def _continue_code(self, text: str, fence_end: re.Pattern[str]) -> Update:
        """Append to the code that is shown, or render the block again once its fence is closed."""
        text = self._held + text
        first_line = text.find("\n") + 1 if self._within_line else 0
        if (first_line or not self._within_line) and fence_end.search(text, first_line):
            self._fence_end = None
            return self._render()
        last_line = text.rfind("\n") + 1
        starts_line = last_line > 0 or not self._within_line
        self._held = text[last_line:] if starts_line and _UNDECIDED_CODE_LINE.match(text, last_line) else ""
        text = text[: len(text) - len(self._held)]
        if text:
            self._within_line = not text.endswith("\n")
        return Update(append=text)

    def _write_code(self, code: str, info: str, is_open: bool) -> str:
        """Return the HTML of a block of code. Closed blocks in the unfinished part are highlighted only once."""
        if is_open:
            return self._highlighter.block(code, info, is_open)
        if (code, info) not in self._code:
            self._code[code, info] = self._highlighter.block(code, info)
        return self._code[code, info]


def _end_of_finished(source: bytes, blocks: list[Block]) -> int:
    """Return the end offset of the last block that can no longer change, or 0."""
    count = len(blocks) - 1
    while count > 0 and not _is_apart(source, blocks[count].start):
        count -= 1
    return blocks[count - 1].end if count > 0 else 0


def _is_apart(source: bytes, start: int) -> bool:
    """Return whether a block stays separate from the one before it, whatever follows.

    After a blank line its first character suffices, unless it may start HTML or a fence. Otherwise its first line must
    be complete: a fence with a backtick in its info string continues a paragraph. HTML without a blank line before it
    never counts, because the line before decides whether it continues the paragraph.
    """
    before = source[max(0, start - 200) : start].rstrip(b" \t")
    follows_blank_line = before[:-1].rstrip(b" \t")[-1:] == before[-1:] == b"\n"
    first = source[start : start + 1]
    if follows_blank_line:
        return first not in b"<`~" or source.find(b"\n", start) >= 0
    return first != b"<" and source.find(b"\n", start) >= 0


def _end_of_open_fence(source: bytes, blocks: list[Block]) -> re.Pattern[str] | None:
    """Return the pattern that closes the last block, if that is an open fence without indentation; else None."""
    if not blocks:
        return None
    block = source[blocks[-1].start :].decode()
    if source[: blocks[-1].start][-1:] not in (b"", b"\n") or not (opening := _FENCE.match(block)):
        return None
    fence = opening["fence"]
    end = re.compile(rf"^ {{0,3}}{fence[0]}{{{len(fence)},}}[ \t]*\n", re.MULTILINE)
    return None if end.search(block, opening.end()) else end
