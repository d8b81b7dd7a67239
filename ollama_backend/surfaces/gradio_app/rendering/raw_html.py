"""Raw HTML in Markdown: the tags that are allowed, without attributes. All others are shown as text.

Allowed in a paragraph are `br` and the pairs in `PAIRS`; in a table cell also lists, because Markdown has no lists
there; between blocks `hr`, and `details` with a `summary`. Tags that are not paired within their block are text.
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

# Splits text into tags and what is between them.
PIECES = re.compile(r"<[^<>]*>|[^<]+|<")


class HtmlTag(NamedTuple):
    """An allowed tag and the HTML to write for it."""

    name: str
    closing: bool
    html: str


def parse_tag(source: str, *, lists: bool = False) -> HtmlTag | None:
    """Return a tag that is allowed in a paragraph, or with `lists` in a table cell, or None."""
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
        return None  # HTML ignores the slash, so that `<b/>` would make the rest bold
    title = _TITLE.search(match["rest"]) if name == "abbr" else None
    if title:
        return HtmlTag(name, False, f'<abbr title="{attribute(unescape(title[1] or title[2] or ""))}">')
    return HtmlTag(name, False, f"<{name}>")
