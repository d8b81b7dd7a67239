"""Nothing that a model writes loads, runs, submits, covers or leaves its place, and hostile text ends in time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_backend.surfaces.gradio_app.rendering import markdown
from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from ollama_backend.surfaces.gradio_app.rendering.sanitize import sanitize
from ollama_backend.surfaces.gradio_app.rendering.stream_renderer import StreamRenderer
from tests.support.html_tree import Element, parse, text_of
from tests.support.markdown_pieces import DEFINITIONS, MARKS

FALSE_SIGN_IN = (
    '<div style="position:fixed;inset:0;z-index:9999">The key has expired<form action="//e.example"><input></form>'
)
TAGS = {
    "a", "abbr", "b", "blockquote", "br", "code", "del", "details", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6",
    "hr", "i", "ins", "kbd", "li", "mark", "ol", "p", "pre", "q", "s", "samp", "small", "span", "strong", "sub",
    "summary", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul", "var",
}  # fmt: skip
ATTRIBUTES = {
    "align", "aria-checked", "aria-disabled", "aria-label", "class", "data-display", "data-language", "data-open",
    "data-pending", "dir", "href", "id", "open", "rel", "role", "start", "target", "title",
}  # fmt: skip

HOSTILE = [
    "a\u2028```\n![x](https://evil.example/q.png)",
    f"``` a`b\n{FALSE_SIGN_IN}\n```",
    FALSE_SIGN_IN,
    f"a {FALSE_SIGN_IN}",
    f"- {FALSE_SIGN_IN}\n\n> {FALSE_SIGN_IN}\n\n| {FALSE_SIGN_IN} |\n|--|\n| {FALSE_SIGN_IN} |",
    f"<details><summary>{FALSE_SIGN_IN}</summary>\n\n{FALSE_SIGN_IN}\n\n</details>",
    f"[^1]\n\n[^1]: {FALSE_SIGN_IN}",
    f"![{FALSE_SIGN_IN}](http://a.b) [{FALSE_SIGN_IN}](http://a.b)",
    f"$${FALSE_SIGN_IN}$$ \\({FALSE_SIGN_IN}\\)",
    f"~~~ {FALSE_SIGN_IN}\n~~~",
    "<img src=x onerror=alert(1)> <svg onload=alert(1)> <math><mtext></math> <iframe srcdoc=x> <object data=x>",
    "<script>alert(1)</script>\n\n<style>*{display:none}</style>\n\n<link rel=stylesheet href=//e.example>",
    '<b onclick=alert(1) style="position:fixed" class=code id=location>x</b> <kbd onfocus=alert(1) tabindex=0>',
    '<abbr title="&quot; onmouseover=alert(1) x=&quot;">a</abbr> <abbr title="<img src=x>">b</abbr>',
    "<details ontoggle=alert(1) open><summary onclick=alert(1) style=x>a</summary></details>",
    "</p></div></body></html><p>a\n\n</details></blockquote></ul>",
    "<table><tr><td><p></table><a href='http://a.b'>x</a> <base href=//e.example> <meta http-equiv=refresh>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<textarea><img title='</textarea><img src=x onerror=alert(1)>'></textarea> <title></title> <xmp></xmp>",
    "<!--><img src=x onerror=alert(1)>--> <!--a--!><img src=x onerror=alert(1)> <![CDATA[<img src=x>]]> <?x <img>?>",
    "<img src=x\nonerror=alert(1)\n> <im\0g src=x> <\u2028img src=x> <img/src=x/onerror=alert(1)> <IMG SRC=x>",
    "&lt;img src=x onerror=alert(1)&gt; &#60;script&#62;alert(1)&#60;/script&#62; `<img src=x>`",
    '[a](http://b.c "&quot; onclick=alert(1)") [a](<http://b.c/"onclick=alert(1)>) <http://b.c/"onclick=x>',
    "[a]: http://b.c '\" onclick=alert(1) \"'\n\n[a] ![a]",
    "http://b.c/\"onclick=alert(1) http://b.c/'><img src=x> http://b.c/<img src=x>",
    "- [x] <input type=checkbox> <button formaction=x>a</button> <select><option>",
    "| a |\n|--|\n| <ul><li onclick=x><ul><li>a</li></ul></ul></td></table><img src=x> <li>b |",
    '```"><img src=x onerror=alert(1)>\na\n```\n\n```a"onclick="x\nb\n```',
]


def elements(html: str) -> list[Element]:
    """All elements of a fragment that is well formed by itself."""
    return list(parse(html).all())


def check(html: str) -> None:
    """A block has only harmless elements and attributes, and links that lead to other sites or to its own notes."""
    for element in elements(html):
        assert element.tag in TAGS and element.attributes.keys() <= ATTRIBUTES
        if "href" in element.attributes:
            href = element.attributes["href"]
            assert re.match(r"https?://[^\s/]|mailto:[^\s]|#message-(?:note|ref)-\d+\Z", href)
            assert element.attributes["rel"] == "noopener noreferrer nofollow"
        assert re.fullmatch(r"message-(?:note|ref)-\d+", element.attributes.get("id", "message-note-1"))


@pytest.mark.parametrize("source", HOSTILE)
def test_hostile_text_is_only_shown(source: str) -> None:
    """What would load, run, submit or cover is text, also while it is being written."""
    renderer = StreamRenderer()
    blocks = render(source)
    for letter in source:
        update = renderer.feed(letter)
        blocks += [*update.finished, update.tail or ""]
    for html in blocks:
        check(html)


@pytest.mark.parametrize(
    "around", ["{}", "a {}", "- {}", "> {}", "| a |\n|--|\n| {} |", "<details>\n\n{}\n\n</details>"]
)
def test_hostile_text_can_be_read(around: str) -> None:
    """All of it is shown, tags and attributes included."""
    assert FALSE_SIGN_IN in text_of("".join(render(around.format(FALSE_SIGN_IN))))


SCHEMES = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "java&#10;script:alert(1)",
    "&#x6A;avascript:x", "javascript&colon;alert(1)", "\u2028javascript:alert(1)", "\x01javascript:alert(1)",
    "vbscript:x", "data:text/html,x", "data:image/svg+xml,<svg onload=x>", "file:///etc/passwd", "blob:a",
    "about:blank", "//evil.example/x", "/x", "x", "#x", "?x", "\\\\evil.example", "http:evil.example",
    "http:\\\\evil.example", "https:", "http://", "http:///x", "feed:javascript:x", "view-source:x", "intent://x",
    "ftp://a.b", "tel:1", "mailto:", "ws://a.b", "http ://a.b", "ht&#9;tp://a.b", "http&#10;://a.b",
    "https://[x", "http://a|b", "http://%00", "http://a:99999",
]  # fmt: skip


@pytest.mark.parametrize("url", SCHEMES)
@pytest.mark.parametrize(
    "form", ["[a](<{}>)", "[a]({})", "![a](<{}>)", "<{}>", "[a]\n\n[a]: <{}>", "[![a](<{}>)](<{}>)"]
)
def test_links_lead_to_the_web_or_nowhere(form: str, url: str) -> None:
    """No scheme but http, https and mailto, in any disguise, and no address without a host."""
    for html in render(form.replace("{}", url)):
        assert all("href" not in element.attributes for element in elements(html)), html


def test_links_to_the_web_stay() -> None:
    """Addresses that are allowed lead where they say."""
    for url in (
        "HTTP://A.b/c",
        "https://a.b:8080/?c#d",
        "mailto:a@b.c?subject=d",
        "http://127.0.0.1/",
        "https://user@a.b",
    ):
        assert [element.attributes.get("href") for element in elements(render(f"[x](<{url}>)")[0])] == [None, url]


SURROGATES = st.text(st.characters(), max_size=20)


@given(st.lists(st.sampled_from(MARKS + DEFINITIONS) | SURROGATES, max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_harmless(pieces: list[str]) -> None:
    """Every block of every text is well formed by itself and has nothing that is not allowed."""
    for html in render("".join(pieces)):
        check(html)


@given(st.lists(st.sampled_from(MARKS + DEFINITIONS + HOSTILE) | st.text(max_size=20), max_size=40))
@settings(max_examples=300, deadline=None)
def test_the_second_wall_changes_nothing(pieces: list[str]) -> None:
    """The sanitiser leaves what the writers write, and what it wrote itself, as it is."""
    written: list[str] = []

    def recording(html: str) -> str:
        written.append(html)
        return sanitize(html)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "sanitize", recording)
        blocks = render("".join(pieces))
    assert set(blocks) <= {sanitize(html) for html in written}
    assert all(sanitize(html) == html for html in [*written, *blocks])


UNCLEAN = {
    "<img src=x onerror=alert(1)><p>a</p>": "<p>a</p>",
    '<p style="position:fixed" onclick="x" class="evil raw" id="x">a</p>': '<p class="raw">a</p>',
    '<a href="javascript:x">a</a>': '<a rel="noopener noreferrer nofollow">a</a>',
    '<a href="/x" target="_top">a</a>': '<a rel="noopener noreferrer nofollow">a</a>',
    '<div class="footnote" id="location"><a href="#x">a</a></div>': (
        '<div class="footnote"><a rel="noopener noreferrer nofollow">a</a></div>'
    ),
    "<form><input></form><script>a</script>": "a",
}


@pytest.mark.parametrize(("html", "clean"), UNCLEAN.items())
def test_the_second_wall_stands_alone(html: str, clean: str) -> None:
    """Were the writers wrong, the sanitiser would take out what they let through."""
    assert sanitize(html) == clean


MANY = 10_000
DEEP = {
    "quotes": ">" * MANY, "quotes with blanks": "> " * MANY, "brackets": "[" * MANY, "stars": "*a " * MANY,
    "strong": "*a**" * MANY, "links": "[a](" * MANY, "images": "![" * MANY, "tags": "<b>" * MANY + "</i>" * MANY,
    "details": "<details>\n\n" * MANY, "details in a line": "<details><summary>" * MANY, "lists": "- " * MANY + "a",
    "nested lists": "\n".join("  " * depth + "- a" for depth in range(1000)),
    "cells": "|a|b|\n|-|-|\n" + "|x|y|\n" * 5000,
    "a wide table": "|a" * 500 + "|\n" + "|-" * 500 + "|\n" + "|x\n" * 2000, "dollars": "$a" * MANY,
    "pairs": "$$ a " * MANY, "display formulas": "\\[\n\n" * MANY + "\\]",
    "inline formulas": "\\( `" * MANY + "\\)", "addresses": "http://" * MANY,
    "brackets at the end": "http://a.b/" + ")" * MANY, "mail": "a." * MANY + "@", "one line": "word " * MANY * 10,
    "footnotes": "".join(f"[^{number}]: a\n\n" for number in range(2000)) + "[^1]" * MANY, "breaks": "\n" * MANY,
    "definitions": "".join(f"[a{number}]: http://u.v\n" for number in range(2000)) + "[a1] " * MANY,
    "tabs": "\t" * MANY, "attributes": "<a x='" * MANY, "escapes": "\\" * MANY, "entities": "&#x0;" * MANY,
    "comments": "<!--" * MANY, "lists in a cell": "|a|\n|-|\n|" + "<ul><li>" * MANY + "|",
    "right to left": "مرحبا\n\n- x\n\n" * 2000,
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("source", DEEP.values(), ids=DEEP)
def test_deep_and_long_text_ends(source: str) -> None:
    """Neither depth nor length overflows or takes the square of the time; elements are nested some dozens deep."""
    html = "".join(render(source))
    depth = deepest = 0
    for slash in re.findall(r"<(/?)(?!br|hr)[a-z]", html):
        depth += -1 if slash else 1
        deepest = max(deepest, depth)
    assert deepest < 120 and depth == 0 and len(html) < 100 * len(source)
    renderer = StreamRenderer()
    step = len(source) // 3 + 1
    sent = 0
    for start in range(0, len(source), step):
        update = renderer.feed(source[start : start + step])
        sent += len(update.tail or "") + len(update.append) + sum(map(len, update.finished))
    assert "".join(renderer.finish().finished) or sent
    assert sent < 40 * max(len(html), len(source))
