"""Renders Markdown as safe HTML.

Supports CommonMark with tables, task lists, footnotes, strikethrough (`~~`), bare URLs and formulas. Deliberate
differences: raw HTML is shown as text except for the tags in `raw_html` and `html_blocks`, images become links, links
may lead to http, https and mailto only, and surplus cells of a table row are kept. A single line break stays a line
feed, and CSS decides whether it is shown. Nothing else is added to or removed from the text.
"""

import re
from collections.abc import Iterator

from pyromark import Options, events_with_range, reference_definitions
from pyromark.event import Event, Range

from .cjk_emphasis import UNSPACED_EMPHASIS, letters_beside_emphasis, with_punctuation
from .formula_marks import text_places
from .formulas import OPENING, Formula, find_formulas, masked
from .highlight import Highlighter
from .html_writer import Block, CodeWriter, HtmlWriter
from .references import References
from .sanitize import sanitize

_OPTIONS = Options.ENABLE_TABLES | Options.ENABLE_FOOTNOTES | Options.ENABLE_STRIKETHROUGH | Options.ENABLE_TASKLISTS
_LINE_ENDING = re.compile(r"\r\n?")
_UNPRINTABLE = re.compile(r"[\x00\ud800-\udfff]")
_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9-]*")


def render(source: str, prefix: str = "message") -> list[str]:
    """Return the HTML of each top-level block.

    `prefix` starts the ids of footnotes and must be unique in the page. Raises ValueError unless it begins with a
    letter and has only letters, digits and hyphens.
    """
    return [
        block.html for block in render_part(normalized(source).encode(), new_references(prefix), Highlighter().block)
    ]


def normalized(source: str) -> str:
    """Return text with line feeds for all line endings, and U+FFFD for characters that HTML cannot contain."""
    return _UNPRINTABLE.sub("\ufffd", _LINE_ENDING.sub("\n", source))


def new_references(prefix: str) -> References:
    """Return empty references for a new text. Raises ValueError for an invalid prefix."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("A prefix must begin with a letter and have only letters, digits and hyphens.")
    return References(prefix)


def render_part(source: bytes, references: References, write_code: CodeWriter) -> list[Block]:
    """Return the blocks of a finished part of normalized text, and add its definitions to the references."""
    blocks, parsed = _render(source, references, write_code, final=True)
    text = parsed.decode()
    if b"]:" in parsed:
        references.learn(reference_definitions(text, options=_OPTIONS), _footnotes(parsed, references))
    references.expect(text)
    return blocks


def render_tail(source: bytes, references: References, write_code: CodeWriter) -> list[Block]:
    """Return the blocks of normalized text that is still being written. Open elements are closed for display."""
    return _render(source, references.copy(), write_code, final=False)[0]


def _render(source: bytes, references: References, write_code: CodeWriter, *, final: bool) -> tuple[list[Block], bytes]:
    """Return the blocks, and the source with formulas masked as it was parsed."""
    formulas: list[Formula] = []
    letters: list[int] = []
    # Most texts have neither, and need to be parsed only once.
    if OPENING.search(source) or UNSPACED_EMPHASIS.search(source.decode()):
        places, holes = text_places(_events(source, references))
        formulas = find_formulas(source, places, holes, final=final)
        letters = letters_beside_emphasis(masked(source, formulas), places)
    before = references.copy()
    while True:
        parsed = with_punctuation(masked(source, formulas), letters)
        writer = HtmlWriter(source, formulas, letters, references, write_code, final=final)
        blocks = writer.write(_events(parsed, references))
        if len(writer.formulas_written) == len(formulas):
            break
        # Masking a formula has moved another one into a place that is not written as text, such as code. That one is
        # left unmasked, since it is better to show its source than to lose it.
        formulas = writer.formulas_written
        references.return_to(before.copy())
    for block in blocks:
        block.html = sanitize(block.html)
    return blocks, parsed


def _footnotes(source: bytes, references: References) -> list[str]:
    """Return the labels of the footnotes that a part of the text defines."""
    labels = []
    for event, _ in _events(source, references) if b"[^" in source else ():
        tag = event["Start"] if not isinstance(event, str) and "Start" in event else ""
        if not isinstance(tag, str) and "FootnoteDefinition" in tag:
            labels.append(tag["FootnoteDefinition"])
    return labels


def _events(source: bytes, references: References) -> Iterator[tuple[Event, Range]]:
    """Parse a part of the text. References to footnotes of earlier parts are recognised."""
    # The parser only recognises references to footnotes in the same source, so earlier ones are prepended as stubs.
    text = source.decode()
    stubs = "".join(f"[^{label}]:\n\n" for label in references.known_footnotes(text))
    # The thematic break keeps an indented first block from becoming part of the last footnote.
    stubs += "***\n\n" if stubs else ""
    events = events_with_range(
        stubs + text, options=_OPTIONS, merge_text=False, broken_link_callback=references.resolve
    )
    return _shifted(events, len(stubs.encode())) if stubs else events


def _shifted(events: Iterator[tuple[Event, Range]], offset: int) -> Iterator[tuple[Event, Range]]:
    """Drop the events before an offset, and make the offsets of the others relative to it."""
    for event, span in events:
        if span["start"] >= offset:
            yield event, {"start": span["start"] - offset, "end": span["end"] - offset}
