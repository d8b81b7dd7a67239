"""Raw HTML in Markdown: which tags are honoured, without attributes; all others stay visible as text.

Honoured in a paragraph: `br` and the pairs in `PAIRS`; in the cell of a table also lists, which Markdown cannot write
there; between blocks `hr`, and `details` with its `summary`. Tags that do not pair within their block are text.
"""

import re
from html import unescape
from typing import NamedTuple

from .links import attribute

PAIRS = frozenset(
    {"abbr", "b", "code", "del", "em", "i", "ins", "kbd", "mark", "q", "s", "samp", "small", "strong", "sub", "sup"}
) | {"u", "var"}
LISTS = frozenset({"ul", "ol", "li"})

_TAG = re.compile(r"<(?P<slash>/?)(?P<name>[A-Za-z]+)(?P<rest>\s[^<>]*|/?)>")
_TITLE = re.compile(r"\stitle\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)

# Tags and what is between them.
PIECES = re.compile(r"<[^<>]*>|[^<]+|<")


class HtmlTag(NamedTuple):
    """A tag that may be honoured."""

    name: str
    closing: bool
    html: str


def parse_tag(source: str, *, lists: bool = False) -> HtmlTag | None:
    """Return a tag that is honoured inside of a paragraph, or with `lists` in a cell; else None."""
    match = _TAG.fullmatch(source)
    if not match:
        return None
    name, closing = match["name"].lower(), bool(match["slash"])
    if name == "br":
        return None if closing else HtmlTag(name, False, "<br>")
    if name not in PAIRS and not (lists and name in LISTS):
        return None
    if closing:
        return HtmlTag(name, True, f"</{name}>")
    if match["rest"].endswith("/"):
        return None
    title = _TITLE.search(match["rest"]) if name == "abbr" else None
    if title:
        return HtmlTag(name, False, f'<abbr title="{attribute(unescape(title[1] or title[2] or ""))}">')
    return HtmlTag(name, False, f"<{name}>")
