"""Which links lead anywhere, and the addresses that stand in text without any mark-up."""

import re
from html import escape
from urllib.parse import quote

from nh3 import Cleaner

REL = "noopener noreferrer nofollow"

# What a browser does to an address before it reads the scheme (blanks around it, line breaks in it) makes no other
# scheme of these.
_ALLOWED = re.compile(r"https?://[^\s/?#\\]|mailto:[^\s]", re.IGNORECASE)
# Others are checked by the sanitiser's parser, which knows what a host may be.
_PLAIN = re.compile(r"mailto:|https?://(?!xn--)(?:[a-z0-9-]+\.)*[a-z]{2,}(?:[/?#]|\Z)", re.IGNORECASE)
_URL_CHECK = Cleaner(tags={"a"}, attributes={"a": {"href"}}, url_schemes={"http", "https"}, link_rel=None)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# As cmark does: what is encoded already stays.
_SAFE = "-_.!~*'();/?:@&=+$,%#"

_ADDRESS = re.compile(
    r"(?<![A-Za-z0-9/])(?:https?://|www\.)"
    # Neither quotation marks nor the punctuation that CJK texts set without a blank after an address.
    r"[^\s<>\"`\u0000-\u0020\u2018-\u201f\u00ab\u00bb\u3000-\u303f\uff00-\uff65]+"
    r"|(?<![A-Za-z0-9.+_-])[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
    r"(?![A-Za-z0-9_-])",
    re.IGNORECASE,
)
_HOST = re.compile(r"https?://[^\W_]|www\.[\w-]+\.[\w-]", re.IGNORECASE)
_TRAILING = "?!.,:;*_~'"


def escaped(text: str) -> str:
    """Return text for the inside of an element, as an HTML serialiser writes it."""
    return escape(text, quote=False).replace("\xa0", "&nbsp;")


def attribute(text: str) -> str:
    """Return text for the inside of a quoted attribute."""
    return escaped(text).replace('"', "&quot;")


def safe_href(url: str) -> str | None:
    """Return the attribute value for an address that a link may lead to, or None: http, https and mailto are."""
    if not _ALLOWED.match(url) or _CONTROL.search(url):
        return None
    href = attribute(quote(url, safe=_SAFE))
    if not _PLAIN.match(url) and "href" not in _URL_CHECK.clean(f'<a href="{href}"></a>'):
        return None
    return href


def anchor(href: str, *, title: str = "", kind: str = "") -> str:
    """Return the opening tag of a link to another site. The sanitiser adds `rel`, and expects it last."""
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' href="{href}"'
    attributes += f' title="{attribute(title)}"' if title else ""
    return f'<a{attributes} target="_blank" rel="{REL}">'


def linked(text: str) -> str:
    """Return text as HTML, with links around the addresses in it (GitHub Flavored Markdown, "Autolinks")."""
    if "://" not in text and "@" not in text and "www." not in text.lower():
        return escaped(text)
    pieces, end = [], 0
    for match in _ADDRESS.finditer(text):
        address = match[0]
        is_mail = address[:4].lower() not in ("http", "www.")
        if not is_mail:
            address = _trimmed(address)
            if not _HOST.match(address):
                continue
        href = safe_href(f"mailto:{address}" if is_mail else address if "://" in address else f"http://{address}")
        if href:
            pieces += [escaped(text[end : match.start()]), anchor(href), escaped(address), "</a>"]
            end = match.start() + len(address)
    return "".join([*pieces, escaped(text[end:])])


def _trimmed(address: str) -> str:
    """Return an address without the punctuation of its sentence and brackets that it does not open."""
    surplus = address.count(")") - address.count("(")
    end = len(address)
    while end:
        if address[end - 1] in _TRAILING:
            end -= 1
        elif address[end - 1] == ")" and surplus > 0:
            surplus -= 1
            end -= 1
        else:
            break
    return address[:end]
