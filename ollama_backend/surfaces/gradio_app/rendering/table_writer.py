"""Writes tables as HTML."""

from typing import Any

from pyromark.event import Range

from .inline_writer import InlineWriter
from .links import escaped
from .text_direction import Directions

# The parser pads short rows, so a header of a thousand columns would add a thousand empty cells to every row.
MAX_EMPTY_CELLS = 64


class TableWriter:
    """Appends tables to the output, each in an element that scrolls on its own."""

    def __init__(self, out: list[str], inline: InlineWriter, directions: Directions, source: bytes) -> None:
        self._out, self._inline, self._directions, self._source = out, inline, directions, source
        self._alignments: tuple[str, ...] = ()
        self._place = self._cells = self._cell_end = 0
        self._cell = "th"
        self._in_body = False
        self._hidden = False

    def start(self, name: str, value: Any, span: Range) -> None:
        """Open a table, a row or a cell."""
        if name == "Table":
            self._alignments, self._in_body = value, False
            self._place = len(self._out)
            self._out.append('<div class="scroll"><table dir="')
            self._directions.open()
            self._out.append('">')
        elif name == "TableCell":
            self._start_cell(span)
        else:
            self._cells = 0
            self._cell = "th" if name == "TableHead" else "td"
            group = "<thead>" if name == "TableHead" else "" if self._in_body else "<tbody>"
            self._in_body = name == "TableRow"
            self._out.append(f"{group}<tr>")

    def _start_cell(self, span: Range) -> None:
        """Open a cell. Cells that the parser has added beyond MAX_EMPTY_CELLS are left out."""
        alignment = self._alignments[self._cells].lower() if self._cells < len(self._alignments) else "none"
        self._cells += 1
        self._cell_end = span["end"]
        self._hidden = self._cells > MAX_EMPTY_CELLS and span["start"] == span["end"]
        if not self._hidden:
            align = "" if alignment == "none" else f' align="{alignment}"'
            self._out.append(f'<{self._cell} dir="auto"{align}>')
            self._inline.in_cell = True

    def end(self, name: str, span: Range) -> None:
        """Close a table, a row or a cell."""
        if name == "TableCell":
            self._inline.in_cell = False
            if not self._hidden:
                self._out.append(f"</{self._cell}>")
        elif name == "TableHead":
            self._out.append("</tr></thead>")
        elif name == "TableRow":
            self._surplus(span["end"])
            self._out.append("</tr>")
        else:
            self._directions.close(self._place)
            self._out.append(f"{'</tbody>' if self._in_body else ''}</table></div>")

    def _surplus(self, end: int) -> None:
        """Write the cells beyond the header's columns as one more cell. The parser drops them, which loses text."""
        rest = self._source[self._cell_end : end].decode().strip().strip("|").strip()
        if rest:
            self._out.append(f'<td dir="auto">{escaped(rest)}</td>')
            self._inline.skip(end)
