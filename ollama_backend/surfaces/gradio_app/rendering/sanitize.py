"""A second line of defence: an allow list for HTML, under which the writers' own HTML passes unchanged."""

import re

from nh3 import Cleaner
from pygments.token import STANDARD_TYPES

from .code_theme import COLOURED
from .links import REL
from .raw_html import LISTS, PAIRS

_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_CELLS = {"td", "th"}
_BLOCKS = {"blockquote", "div", "li", "ol", "p", "summary", "table", "ul"}
_TAGS = (
    PAIRS | LISTS | _HEADINGS | _CELLS | _BLOCKS | {"a", "br", "details", "hr", "pre", "span", "tbody", "thead", "tr"}
)
_ATTRIBUTES = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "code": {"class"},
    "details": {"open"},
    "div": {"data-language"},
    "ol": {"start"},
}
_DIRECTIONS = {"auto", "ltr", "rtl"}
_ALIGNMENTS = {"left", "center", "right"}
_VALUES: dict[str, dict[str, set[str]]] = {
    **{tag: {"dir": _DIRECTIONS} for tag in _BLOCKS | _HEADINGS | _CELLS},
    "a": {"target": {"_blank"}},
    "code": {"dir": _DIRECTIONS, "data-open": {"1"}},
    "p": {"dir": _DIRECTIONS, "data-open": {"1"}},
    "td": {"dir": _DIRECTIONS, "align": _ALIGNMENTS},
    "th": {"dir": _DIRECTIONS, "align": _ALIGNMENTS},
    "span": {
        "dir": _DIRECTIONS,
        "data-display": {"0", "1"},
        "data-pending": {"1"},
        "role": {"checkbox"},
        "aria-checked": {"true", "false"},
        "aria-disabled": {"true"},
        "aria-label": {"☐", "☑"},
    },
}
_CLASSES = {
    "a": {"image"},
    "div": {"code", "footnote", "scroll"},
    "li": {"task"},
    "p": {"raw"},
    "span": {"formula", "image", "task", *(STANDARD_TYPES[kind] for kind in COLOURED)},
    "sup": {"footnote-ref"},
}
_FOOTNOTE_ID = re.compile(r"[A-Za-z][A-Za-z0-9-]*-(?:note|ref)-\d+")


def _own_id(_tag: str, name: str, value: str) -> str | None:
    """Return an attribute's value unchanged, or None for an id that is not a footnote's."""
    return value if name != "id" or _FOOTNOTE_ID.fullmatch(value) else None


def _own_fragment(url: str) -> str | None:
    """Return a relative link unchanged if it leads to a footnote, else None."""
    return url if url.startswith("#") and _FOOTNOTE_ID.fullmatch(url[1:]) else None


_SCHEMES = {"http", "https", "mailto"}
_CLEANER = Cleaner(
    tags=_TAGS,
    clean_content_tags=set(),  # the text of a removed element stays
    attributes=_ATTRIBUTES,
    tag_attribute_values=_VALUES,
    allowed_classes=_CLASSES,
    url_schemes=_SCHEMES,
    url_relative="deny",
    link_rel=REL,
    generic_attribute_prefixes=set(),
)
# Only text with footnotes has ids. Other text avoids the filters, which are slow because they are written in Python.
_CLEANER_WITH_IDS = Cleaner(
    tags=_TAGS,
    clean_content_tags=set(),
    attributes=_ATTRIBUTES | {"div": {"data-language", "id"}, "sup": {"id"}},
    attribute_filter=_own_id,
    tag_attribute_values=_VALUES,
    allowed_classes=_CLASSES,
    url_schemes=_SCHEMES,
    url_relative=_own_fragment,
    link_rel=REL,
    generic_attribute_prefixes=set(),
)


def sanitize(html: str) -> str:
    """Return HTML with only the elements and attributes that the writers use."""
    return (_CLEANER_WITH_IDS if 'class="footnote' in html else _CLEANER).clean(html)
