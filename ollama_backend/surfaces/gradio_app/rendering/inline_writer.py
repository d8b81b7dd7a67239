"""Writes inline content: text, emphasis, code, links, images, footnote references and formulas."""

from bisect import bisect_left
from dataclasses import dataclass
from html import unescape
from typing import Any

from .formulas import Formula
from .images import Image
from .links import REL, anchor, escaped, linked, safe_href
from .raw_html import LISTS, PIECES, parse_tag
from .references import References
from .text_direction import Directions

# The maximum nesting of elements; deeper ones are written without mark-up. Bounds hostile text, such as a thousand `>`.
DEEPEST = 24

_ELEMENTS = {"Emphasis": "em", "Strong": "strong", "Strikethrough": "del"}


@dataclass(slots=True)
class _Open:
    """An open element. `index` is the position of a raw tag in the output, where it is text until it is closed."""

    closing: str
    raw: str = ""
    index: int = -1
    opening: str = ""


class InlineWriter:
    """Appends HTML to the output. Every element it opens is closed by the end of its block."""

    def __init__(
        self,
        out: list[str],
        directions: Directions,
        references: References,
        source: bytes,
        formulas: list[Formula],
        replaced: list[int],
    ) -> None:
        self._out, self._directions, self._references = out, directions, references
        self._source, self._formulas, self._replaced = source, formulas, replaced
        self._next_formula = 0
        self.written: list[Formula] = []
        self.in_cell = False
        self._text: list[str] = []
        self._stack: list[_Open] = []
        self._links = 0
        self._image: Image | None = None

    def text(self, text: str, start: int, end: int) -> None:
        """Write the text between two offsets of the source, and the formulas in it.

        Where the parser got a comma in place of a letter, the text is taken from the source.
        """
        index = bisect_left(self._replaced, start)
        masked = index < len(self._replaced) and self._replaced[index] < end
        for formula in self._formulas_before(end):
            if formula.start >= start:
                self._append(self._source[start : formula.start].decode())
                self._formula(formula)
                self.written.append(formula)
                start, masked = formula.end, True
        self._append(self._source[start:end].decode() if masked else text)

    def skip(self, end: int) -> None:
        """Count the formulas before an offset as written: their source has been written elsewhere."""
        self.written += self._formulas_before(end)

    def _formulas_before(self, end: int) -> list[Formula]:
        """Return the next formulas that begin before an offset, and advance past them."""
        first = self._next_formula
        while self._next_formula < len(self._formulas) and self._formulas[self._next_formula].start < end:
            self._next_formula += 1
        return self._formulas[first : self._next_formula]

    def code(self, text: str) -> None:
        """Write a code span."""
        if self._image:
            self._image.alt.append(text)
            return
        self._flush()
        self._out.append(f'<code dir="ltr">{escaped(text)}</code>')

    def soft_break(self) -> None:
        """Write a line break of the source as a line feed. CSS decides whether it is shown."""
        self._append("\n")

    def hard_break(self) -> None:
        """Write a hard line break."""
        if self._image:
            self._image.alt.append("\n")
            return
        self._flush()
        self._out.append("<br>")

    def footnote(self, label: str) -> None:
        """Write a reference to a footnote. The first reference gets the id to which the footnote links back."""
        if self._image:
            self._image.alt.append(f"[^{label}]")
            return
        self._flush()
        number = self._references.number(label)
        prefix = self._references.prefix
        identity = "" if number in self._references.referenced else f' id="{prefix}-ref-{number}"'
        self._references.referenced.add(number)
        link = str(number) if self._links else f'<a href="#{prefix}-note-{number}" rel="{REL}">{number}</a>'
        self._out.append(f'<sup class="footnote-ref"{identity}>{link}</sup>')

    def start(self, name: str, value: Any, start: int) -> None:
        """Open emphasis, a link or an image."""
        if self._image:
            self._image.depth += name == "Image"
            return
        self._flush()
        if name == "Image":
            self._image = Image(*self._target(value))
        elif name == "Link":
            self._start_link(value)
        elif name == "Strikethrough" and self._source[start : start + 2] != b"~~":
            # GitHub strikes through with one tilde too, but models write `~5` for "about" and `5~10` for "to".
            self._append("~")
            self._stack.append(_Open("~"))
        elif len(self._stack) >= DEEPEST:
            self._stack.append(_Open(""))
        else:
            self._out.append(f"<{_ELEMENTS[name]}>")
            self._stack.append(_Open(f"</{_ELEMENTS[name]}>"))

    def end(self, name: str) -> None:
        """Close emphasis, a link or an image."""
        if self._image:
            self._image.depth -= name == "Image"
            if not self._image.depth:
                image, self._image = self._image, None
                self._directions.see(image.text())
                self._out.append(image.html(linked=not self._links))
            return
        self._flush()
        while (element := self._stack.pop()).raw:  # raw tags that are still open in here remain text
            pass
        self._out.append(element.closing)
        self._links -= element.closing == "</a>"

    def raw(self, source: str) -> None:
        """Write a tag if it is allowed here, else as text."""
        tag = None if self._image else parse_tag(source, lists=self.in_cell)
        if tag is None:
            self._append(source)
        elif tag.name == "br":
            self.hard_break()
        elif tag.closing:
            self._close_raw(tag.name, source)
        elif len(self._stack) < DEEPEST and self._fits(tag.name):
            self._flush()
            self._stack.append(_Open(f"</{tag.name}>", tag.name, len(self._out), tag.html))
            self._out.append(escaped(source))
        else:
            self._append(source)

    def raw_text(self, source: str, *, entities: bool = False) -> None:
        """Write text that contains tags; with `entities`, character references are replaced."""
        for piece in PIECES.findall(source):
            if piece[0] == "<":
                self.raw(piece)
            else:
                self._append(unescape(piece) if entities else piece)

    def finish(self) -> None:
        """End the block. Raw tags that were not closed in it remain text."""
        self._flush()
        self._stack.clear()

    def _append(self, text: str) -> None:
        (self._image.alt if self._image else self._text).append(text)

    def _flush(self) -> None:
        """Write the text since the last element, as a whole: the parser yields pieces that may split a URL."""
        if self._text:
            text = "".join(self._text)
            self._text.clear()
            self._directions.see(text)
            self._out.append(escaped(text) if self._links else linked(text))

    def _fits(self, name: str) -> bool:
        """Return whether an element may begin here: `li` only in a list, a list only in a cell or `li`."""
        around = self._stack[-1].raw if self._stack else None
        if name == "li":
            return around in ("ul", "ol")
        return name not in LISTS or around in (None, "li")

    def _close_raw(self, name: str, source: str) -> None:
        """Replace the text of a pair of raw tags by the element, unless a Markdown element is open in between."""
        for depth in range(len(self._stack) - 1, -1, -1):
            element = self._stack[depth]
            if not element.raw:
                break
            if element.raw == name:
                self._flush()
                self._out[element.index] = element.opening
                self._out.append(element.closing)
                del self._stack[depth:]
                return
        self._append(source)

    def _formula(self, formula: Formula) -> None:
        """Write TeX as text, which the page's script replaces by KaTeX's output."""
        if self._image:
            self._image.alt.append(self._source[formula.start : formula.end].decode())
            return
        self._flush()
        display = f'data-display="{int(formula.display)}"' + (' data-pending="1"' if formula.open else "")
        self._out.append(f'<span class="formula" {display} dir="ltr">{escaped(formula.tex)}</span>')

    def _target(self, value: Any) -> tuple[str, str]:
        """Return the destination and title of a link. A definition of its label in an earlier block comes first."""
        known = value["link_type"] not in ("Inline", "Autolink", "Email") and self._references.target(value["id"])
        return known or (value["dest_url"], value["title"])

    def _start_link(self, value: Any) -> None:
        """Open a link, or write only its text if its destination is not allowed."""
        url, title = self._target(value)
        automatic = value["link_type"] in ("Autolink", "Email")
        href = safe_href(f"mailto:{url}" if value["link_type"] == "Email" else url)
        if href:
            self._out.append(anchor(href, title=title))
            self._links += 1
            self._stack.append(_Open("</a>"))
        else:
            # An XML tag such as `<xsl:template>` has the form of an autolink.
            self._out.append("&lt;" if automatic else "")
            self._stack.append(_Open("&gt;" if automatic else ""))
