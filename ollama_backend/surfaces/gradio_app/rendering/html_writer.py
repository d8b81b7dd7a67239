"""Writes the events of the Markdown parser as HTML, one piece per top-level block."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pyromark.event import Event, Range

from .formulas import Formula
from .html_blocks import HtmlBlocks
from .inline_writer import DEEPEST, InlineWriter
from .links import REL, escaped
from .references import References
from .table_writer import TableWriter
from .text_direction import Directions

_INLINE = frozenset({"Emphasis", "Strong", "Strikethrough", "Link", "Image"})
_TABLE = frozenset({"Table", "TableHead", "TableRow", "TableCell"})
_CONTAINERS = frozenset({"BlockQuote", "List", "Item", "FootnoteDefinition"})

# Returns the HTML for code, the info string of its fence, and whether it is still being written.
CodeWriter = Callable[[str, str, bool], str]


@dataclass(slots=True)
class Block:
    """The HTML of a top-level block, and its range in the source, in bytes."""

    html: str
    start: int
    end: int


@dataclass(slots=True)
class _Piece:
    """A top-level block whose HTML is the output from `first` to that of the next piece."""

    first: int
    start: int
    end: int


class HtmlWriter:
    """Processes the events without recursion. Containers nested deeper than `DEEPEST` are shown as their source.

    `source` is the original text. The parser got filler in place of `formulas`, and commas at the offsets `replaced`.
    """

    def __init__(
        self,
        source: bytes,
        formulas: list[Formula],
        replaced: list[int],
        references: References,
        write_code: CodeWriter,
        *,
        final: bool,
    ) -> None:
        self._source, self._references, self._write_code, self._final = source, references, write_code, final
        self._out: list[str] = []
        self._directions = Directions(self._out, source.decode())
        self._inline = InlineWriter(self._out, self._directions, references, source, formulas, replaced)
        self._html = HtmlBlocks(self._out, self._inline, source)
        self._table = TableWriter(self._out, self._inline, self._directions, source)
        self._pieces: list[_Piece] = []
        self._depth = self._skipped = 0
        self._containers: list[int] = []
        self._verbatim: list[tuple[str, int]] | None = None
        self._info = self._heading = ""

    @property
    def formulas_written(self) -> list[Formula]:
        """The formulas that have been written."""
        return self._inline.written

    def write(self, events: Iterable[tuple[Event, Range]]) -> list[Block]:
        """Return the blocks that the events describe."""
        for event, span in events:
            if isinstance(event, str):
                self._bare(event, span)
            elif self._skipped:
                self._skipped += ("Start" in event) - ("End" in event)
            elif "Text" in event:
                self._text(event["Text"], span)
            elif "Start" in event:
                tag: Any = event["Start"]
                name, value = (tag, None) if isinstance(tag, str) else next(iter(tag.items()))
                self._start(name, value, span)
            elif "End" in event:
                closed: Any = event["End"]
                self._end(closed if isinstance(closed, str) else next(iter(closed)), span)
            elif "Html" in event:
                self._text(event["Html"], span)
            elif "Code" in event:
                self._inline.code(event["Code"])
            elif "InlineHtml" in event:
                self._inline.raw(event["InlineHtml"])
            elif "FootnoteReference" in event:
                self._inline.footnote(event["FootnoteReference"])
            elif "TaskListMarker" in event:
                self._task(event["TaskListMarker"])
        return self._blocks()

    def _bare(self, event: str, span: Range) -> None:
        """Write a line break or a thematic break."""
        if self._skipped:
            return
        if event == "SoftBreak":
            self._inline.soft_break()
        elif event == "HardBreak":
            self._inline.hard_break()
        else:
            self._begin_block(span)
            self._out.append("<hr>")

    def _text(self, text: str, span: Range) -> None:
        """Write text, or collect it until the end of a block of code or HTML."""
        if self._verbatim is None:
            self._inline.text(text, span["start"], span["end"])
        else:
            self._verbatim.append((text, span["start"]))

    def _begin_block(self, span: Range) -> None:
        """End the text before a block. A top-level block begins a new piece."""
        self._inline.finish()
        if not self._depth:
            self._pieces.append(_Piece(len(self._out), span["start"], span["end"]))

    def _start(self, name: str, value: Any, span: Range) -> None:
        """Open an element."""
        if name in _INLINE:
            self._inline.start(name, value, span["start"])
            return
        self._begin_block(span)
        if name in _CONTAINERS and len(self._containers) >= DEEPEST:
            self._skip(span)
            return
        self._depth += 1
        if name in _TABLE:
            self._table.start(name, value, span)
        elif name in _CONTAINERS:
            self._start_container(name, value)
        elif name == "Paragraph":
            self._out.append('<p dir="auto">')
        elif name == "Heading":
            self._heading = value["level"].lower()
            self._out.append(f'<{self._heading} dir="auto">')
        elif name == "CodeBlock":
            self._info = value["Fenced"] if isinstance(value, dict) else ""
            self._verbatim = []
        else:
            self._verbatim = []

    def _start_container(self, name: str, value: Any) -> None:
        """Open a quote, a list, an item or a footnote, with the direction of its text."""
        place = len(self._out)
        self._containers.append(place)
        if name == "List":
            start = "" if value in (None, 1) else f' start="{value}"'
            self._out.append("<ul" if value is None else f"<ol{start}")
        elif name == "FootnoteDefinition":
            number = self._references.number(value)
            # Two definitions of one label must not get the same id.
            identity = "" if number in self._references.described else f' id="{self._references.prefix}-note-{number}"'
            self._references.described.add(number)
            self._out.append(f'<div class="footnote"{identity}')
        else:
            self._out.append("<li" if name == "Item" else "<blockquote")
        self._out.append(' dir="')
        self._directions.open()
        self._out.append('">')
        if name == "FootnoteDefinition":
            self._out.append(f"<sup>{self._back_link(number)}</sup>")

    def _back_link(self, number: int) -> str:
        """Return the number of a footnote, as a link back to its reference if there is one."""
        if number not in self._references.referenced:
            return str(number)
        return f'<a href="#{self._references.prefix}-ref-{number}" rel="{REL}">{number}</a>'

    def _task(self, checked: bool) -> None:
        """Write the checkbox of a task. It has no text, so its accessible name is a symbol that screen readers read."""
        # The parser reports the checkbox only after the list item's opening tag was written.
        self._out[self._containers[-1]] = '<li class="task"'
        state, sign = ("true", "☑") if checked else ("false", "☐")
        attributes = f'role="checkbox" aria-checked="{state}" aria-disabled="true" aria-label="{sign}"'
        self._out.append(f'<span class="task" {attributes}></span>')

    def _end(self, name: str, span: Range) -> None:
        """Close an element."""
        if name in _INLINE:
            self._inline.end(name)
            return
        self._inline.finish()
        self._depth -= 1
        if name in _TABLE:
            self._table.end(name, span)
        elif name in _CONTAINERS:
            self._html.leave(len(self._containers))
            place = self._containers.pop()
            self._directions.close(place)
            self._out.append(f"</{self._out[place].split()[0][1:]}>")
        elif name == "Paragraph":
            self._out.append("</p>")
        elif name == "CodeBlock":
            self._end_code(span)
        elif name == "HtmlBlock":
            lines, self._verbatim = self._verbatim or [], None
            self._merge(self._html.write(lines, len(self._containers), len(self._pieces) - 1))
        else:
            self._out.append(f"</{self._heading}>")

    def _end_code(self, span: Range) -> None:
        """Write a block of code. If it reaches the end of a text that is not final, it is still being written."""
        code = "".join(text for text, _ in self._verbatim or [])
        self._verbatim = None
        is_open = not self._final and span["end"] == len(self._source)
        self._out.append(self._write_code(code, self._info, is_open))

    def _skip(self, span: Range) -> None:
        """Write a container as its source, and skip its events."""
        source = self._source[span["start"] : span["end"]].decode()
        self._out.append(f'<p class="raw" dir="auto">{escaped(source)}</p>')
        self._inline.skip(span["end"])
        self._skipped = 1

    def _merge(self, first: int | None) -> None:
        """Merge the pieces from `first` on, such as those of one `details`."""
        if first is not None and first < len(self._pieces) - 1:
            self._pieces[first].end = self._pieces[-1].end
            del self._pieces[first + 1 :]

    def _blocks(self) -> list[Block]:
        """Return the pieces as blocks."""
        if not self._final:  # in a final text, elements that are still open remain text
            self._merge(self._html.close(self._source.rfind(b"\n") + 1))
        firsts = [piece.first for piece in self._pieces] + [len(self._out)]
        return [
            Block("".join(self._out[first:after]), piece.start, piece.end)
            for piece, first, after in zip(self._pieces, firsts, firsts[1:], strict=False)
        ]
