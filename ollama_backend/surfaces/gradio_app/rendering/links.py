"""Allowed link destinations, and links for bare URLs and e-mail addresses in text."""

import re
from html import escape
from urllib.parse import quote

from nh3 import Cleaner

REL = "noopener noreferrer nofollow"

# Browsers strip spaces around a URL and line breaks in it before they read the scheme (WHATWG URL). Neither can turn a
# URL that matches into another scheme.
_ALLOWED = re.compile(r"https?://[^\s/?#\\]|mailto:[^\s]", re.IGNORECASE)
# Plain URLs need no further check. Others go through the sanitiser, whose URL parser rejects invalid hosts.
_PLAIN = re.compile(r"mailto:|https?://(?!xn--)(?:[a-z0-9-]+\.)*[a-z]{2,}(?:[/?#]|\Z)", re.IGNORECASE)
_URL_CHECK = Cleaner(tags={"a"}, attributes={"a": {"href"}}, url_schemes={"http", "https"}, link_rel=None)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# The characters that cmark leaves unencoded, including `%`, so that nothing is encoded twice.
_SAFE = "-_.!~*'();/?:@&=+$,%#"

_ADDRESS = re.compile(
    r"(?<![A-Za-z0-9/])(?:https?://|www\.)"
    # Stops at quotation marks, and at the CJK punctuation that follows a URL without a space.
    r"[^\s<>\"`\u0000-\u0020\u2018-\u201f\u00ab\u00bb\u3000-\u303f\uff00-\uff65]+"
    r"|(?<![A-Za-z0-9.+_-])[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"
    r"(?![A-Za-z0-9_-])",
    re.IGNORECASE,
)
_HOST = re.compile(r"https?://[^\W_]|www\.[\w-]+\.[\w-]", re.IGNORECASE)
_TRAILING = "?!.,:;*_~'"


def escaped(text: str) -> str:
    """Return text escaped for an element, exactly as nh3 serialises it, so that sanitising changes nothing."""
    return escape(text, quote=False).replace("\xa0", "&nbsp;")


def attribute(text: str) -> str:
    """Return text escaped for a quoted attribute."""
    return escaped(text).replace('"', "&quot;")


def safe_href(url: str) -> str | None:
    """Return the escaped `href` for an http, https or mailto URL, or None for any other URL."""
    if not _ALLOWED.match(url) or _CONTROL.search(url):
        return None
    href = attribute(quote(url, safe=_SAFE))
    if not _PLAIN.match(url) and "href" not in _URL_CHECK.clean(f'<a href="{href}"></a>'):
        return None
    return href


def anchor(href: str, *, title: str = "", kind: str = "") -> str:
    """Return the opening tag of a link to another site. `rel` is last because the sanitiser writes it there."""
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' href="{href}"'
    attributes += f' title="{attribute(title)}"' if title else ""
    return f'<a{attributes} target="_blank" rel="{REL}">'


def linked(text: str) -> str:
    """Return text as HTML, with links for the addresses in it (GitHub Flavored Markdown, "Autolinks")."""
    # Most text has no address, and searching for one with the regular expression costs far more.
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
    """Return an address without trailing punctuation, and without closing brackets that it does not open."""
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
