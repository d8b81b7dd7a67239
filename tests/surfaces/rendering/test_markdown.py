"""Markdown becomes the HTML that the page styles; nothing of the text is lost, and nothing is added."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from tests.support.html_tree import Element, parse, text_of
from tests.support.markdown_pieces import MARKS


def p(inner: str) -> str:
    """A paragraph."""
    return f'<p dir="auto">{inner}</p>'


def ul(*items: str, kind: str = "") -> str:
    """A list."""
    return '<ul dir="ltr">' + "".join(f'<li{kind} dir="ltr">{item}</li>' for item in items) + "</ul>"


def box(state: str, sign: str) -> str:
    """The box of a task."""
    described = f'aria-checked="{state}" aria-disabled="true" aria-label="{sign}"'
    return f'<span class="task" role="checkbox" {described}></span>'


def link(attributes: str, text: str) -> str:
    """A link to elsewhere."""
    return f'<a {attributes} target="_blank" rel="noopener noreferrer nofollow">{text}</a>'


SHAPES = {
    "paragraphs": ("a *b* **c** ~~d~~\n\ne", p("a <em>b</em> <strong>c</strong> <del>d</del>") + p("e")),
    "headings": ("# a\n\nb\n---", '<h1 dir="auto">a</h1><h2 dir="auto">b</h2>'),
    "a rule": ("***", "<hr>"),
    "soft and hard breaks": ("a\nb  \nc\\\nd", p("a\nb<br>c<br>d")),
    "a quote": ("> a", f'<blockquote dir="ltr">{p("a")}</blockquote>'),
    "a numbered list": (
        "7. a\n   - b\n8. c",
        f'<ol start="7" dir="ltr"><li dir="ltr">a{ul("b")}</li><li dir="ltr">c</li></ol>',
    ),
    "a loose list": ("- a\n\n- b", ul(p("a"), p("b"))),
    "tasks": ("- [x] a\n- [ ] b", ul(box("true", "☑") + "a", box("false", "☐") + "b", kind=' class="task"')),
    "code": ("`a  <b>`", p('<code dir="ltr">a  &lt;b&gt;</code>')),
    "a link": (
        '[a](https://b.c/d?e=1&f="g" "t&quot;")',
        p(link('href="https://b.c/d?e=1&amp;f=%22g%22" title="t&quot;"', "a")),
    ),
    "a reference": ("[a]\n\n[A]: http://b.c", p(link('href="http://b.c"', "a"))),
    "a mail address": ("<a@b.cd>", p(link('href="mailto:a@b.cd"', "a@b.cd"))),
    "a relative link": ("[a *b*](/c)", p("a <em>b</em>")),
    "what looks like an address": ("<xsl:template>", p("&lt;xsl:template&gt;")),
    "an image": (
        '![a *b*](http://c.d/e.png "f")',
        p(link('class="image" href="http://c.d/e.png" title="f"', "a b")),
    ),
    "an image without words": (
        "![](http://c.d/e%20f.png?g)",
        p(link('class="image" href="http://c.d/e%20f.png?g"', "e f.png")),
    ),
    "an image of data": ("![](data:image/png;base64,AAAA)", p('<span class="image">data:image/png</span>')),
    "an image in a link": (
        "[![a](http://b.c/d.png)](http://e.f)",
        p(link('href="http://e.f"', '<span class="image">a</span>')),
    ),
    "inline HTML": ("H<sub>2</sub>O <kbd class=x>Esc</kbd><BR/>", p("H<sub>2</sub>O <kbd>Esc</kbd><br>")),
    "an abbreviation": (
        "<abbr title='a \"b\"' onclick=x>c</abbr>",
        p('<abbr title="a &quot;b&quot;">c</abbr>'),
    ),
    "tags that cross": ("<b>a *c</b> d*", p("&lt;b&gt;a <em>c&lt;/b&gt; d</em>")),
    "tags that do not pair": ("</b><i>a", p("&lt;/b&gt;&lt;i&gt;a")),
    "entities and blanks": ("&lt;&nbsp;\xa0&copy;", p("&lt;&nbsp;&nbsp;©")),
    "one tilde": ("~a~ 1~2", p("~a~ 1~2")),
}


@pytest.mark.parametrize(("source", "html"), SHAPES.values(), ids=SHAPES)
def test_shapes(source: str, html: str) -> None:
    """Each construct has exactly this HTML."""
    assert "".join(render(source)) == html


def test_tables_keep_alignment_breaks_lists_and_surplus_cells() -> None:
    """A table scrolls in itself; its cells are aligned, may hold breaks and lists, and none is dropped."""
    (html,) = render("| a | b |\n|--:|:-:|\n| x<br>y | <ul><li>1</li><li>2</li></ul> |\n| z | | more | yet |")
    table = parse(html)
    assert html.startswith('<div class="scroll"><table dir="ltr"><thead><tr><th dir="auto" align="right">a</th>')
    assert [cell.attributes.get("align") for cell in table.all("td")] == ["right", "center"] * 2 + [None]
    assert [cell.text for cell in table.all("td")] == ["xy", "12", "z", "", "more | yet"]
    assert len(list(table.all("li"))) == 2 and len(list(table.all("br"))) == 1


def test_a_wide_header_does_not_multiply() -> None:
    """Empty cells that a row lacks are written up to a limit, and what is there is written beyond it."""
    columns = 2000
    source = "|a" * columns + "|\n" + "|-" * columns + "|\n" + "|x\n" * 100 + "|y" * columns
    cells = list(parse("".join(render(source))).all("td"))
    assert sum(cell.text == "y" for cell in cells) == columns and len(cells) < columns + 100 * 65


def test_footnotes_link_both_ways() -> None:
    """References are numbered as they appear; the notes stay where they are, and ids begin with the prefix."""
    first, note, _, last = render("a[^x] b[^x] c[^y]\n\n[^x]: d\n\n[^y]: e\n\n[^z]: f", "m7")
    assert [link.attributes["href"] for link in parse(first).all("a")] == ["#m7-note-1", "#m7-note-1", "#m7-note-2"]
    assert [reference.attributes.get("id") for reference in parse(first).all("sup")] == ["m7-ref-1", None, "m7-ref-2"]
    assert parse(note).one("div").attributes == {"class": "footnote", "id": "m7-note-1", "dir": "ltr"}
    assert parse(note).one("a").attributes["href"] == "#m7-ref-1" and text_of(note) == "1d"
    assert not list(parse(last).all("a")) and text_of(last) == "3f"
    assert render("[^1] and [^abc]") == ['<p dir="auto">[^1] and [^abc]</p>']


@pytest.mark.parametrize("prefix", ["", "1", "a b", 'a"', "a_b", "é"])
def test_a_prefix_is_checked(prefix: str) -> None:
    """A prefix that could not be part of an id is refused."""
    with pytest.raises(ValueError, match="prefix"):
        render("a", prefix)


def test_details_hold_markdown() -> None:
    """`details` with blocks of Markdown inside is one block; its summary has inline HTML and entities."""
    source = "<details open>\n<summary>a &amp; <b>c</b></summary>\n\n- **d**\n\n</details>\n\ne"
    assert render(source) == [
        '<details open=""><summary dir="auto">a &amp; <b>c</b></summary>'
        '<ul dir="ltr"><li dir="ltr"><strong>d</strong></li></ul></details>',
        '<p dir="auto">e</p>',
    ]
    nested = "".join(render("- <details>\n\n  <details>\n\n  a\n\n  </details>\n\n  </details>"))
    assert len(list(parse(nested).all("details"))) == 2


@pytest.mark.parametrize(
    "source",
    [
        "<details>\n\na",
        "a\n\n</details>",
        "- <details>\n\na\n\n</details>",
        "<details>\n\n" + "a\n\n" * 9000 + "</details>",
    ],
    ids=["unclosed", "unopened", "across a list", "too long"],
)
def test_details_that_do_not_pair_are_text(source: str) -> None:
    """Tags that would swallow or end what stands around them are shown."""
    html = "".join(render(source))
    assert not list(parse(html).all("details"))
    assert "".join(re.findall(r"</?details>", source)) == "".join(re.findall(r"</?details>", text_of(html)))


CJK = {
    "**注意：**请保存。": "<strong>注意：</strong>请保存。",
    "这是**「重点」**内容": "这是<strong>「重点」</strong>内容",
    '**"단어"**는 **API(f)**가': '<strong>"단어"</strong>는 <strong>API(f)</strong>가',
    "**`npm`**を ***はい！***と": '<strong><code dir="ltr">npm</code></strong>を <em><strong>はい！</strong></em>と',
    "**甲（$y$）**乙": '<strong>甲（<span class="formula" data-display="0" dir="ltr">y</span>）</strong>乙',
    "`）**是` \\**是 a)**b": '<code dir="ltr">）**是</code> **是 a)**b',
    "2*（3）*是": "2*（3）*是",
}


@pytest.mark.parametrize(("source", "html"), CJK.items())
def test_emphasis_without_blanks_between_words(source: str, html: str) -> None:
    """In Chinese, Japanese and Korean strong emphasis may end behind punctuation, and begin before it."""
    assert render(source) == [p(html)]
    assert render(f"|a|\n|-|\n|{source}|")[0].count(html) == 1


ADDRESSES = {
    "https://a.b/c_d_e?x=1&y=2": "https://a.b/c_d_e?x=1&y=2",
    "(see https://en.wikipedia.org/wiki/A_(b)).": "https://en.wikipedia.org/wiki/A_(b)",
    "www.a.com, x": "http://www.a.com",
    "http://localhost:7860/#key=x!": "http://localhost:7860/#key=x",
    "见https://a.b/c。好": "https://a.b/c",
    "„https://a.b/c“": "https://a.b/c",
    "mail a.b+c@d.example.org.": "mailto:a.b+c@d.example.org",
    "**https://a.b/**": "https://a.b/",
    "https://a.b/c?d&amp;e": "https://a.b/c?d&e",
    "https://münchen.de/ü": "https://m%C3%BCnchen.de/%C3%BC",
}


@pytest.mark.parametrize(("source", "href"), ADDRESSES.items())
def test_addresses_in_text_are_links(source: str, href: str) -> None:
    """A bare address is a link, without the punctuation around it, and its text stays."""
    (html,) = render(source)
    assert parse(html).one("a").attributes["href"] == href
    assert (
        text_of(html) == text_of(render(source.replace("://", "&#58;//").replace("@", "&#64;"))[0]) or "www" in source
    )


@pytest.mark.parametrize(
    "source", ["www.a", "http://", "xhttp://a.b", "a@b", "`http://a.b`", "http://a|b", "http://[x]/"]
)
def test_what_is_no_address_is_no_link(source: str) -> None:
    """Neither code nor what no browser could open is a link."""
    assert not list(parse("".join(render(source))).all("a"))


def test_line_endings_and_what_html_cannot_carry() -> None:
    """CR and CRLF are line feeds; NUL and half a surrogate pair become U+FFFD; separators, joiners, isolates stay."""
    assert render("a\r\nb\rc") == ['<p dir="auto">a\nb\nc</p>']
    assert render("a\0b\ud800c") == ['<p dir="auto">a\ufffdb\ufffdc</p>']
    kept = "a\u2028b\u2029c\u2066d\u2069e\u200d\u200cf\u00adg\x0bh👩‍💻i\ufeffj"
    assert render(kept) == [f'<p dir="auto">{kept}</p>']


@pytest.mark.parametrize("around", ["{}", "> {}", "- {}", "    {}", "`{}`", "```\n{}\n```", "| |\n|-|\n|{}|", "# {}"])
def test_nothing_is_taken_for_a_placeholder(around: str) -> None:
    """`vec![1]`, marks of formulas and control characters are what they are, wherever they stand."""
    for text in ("vec![1]", "%%%LATEX_BLOCK_0%%%", "\x01\x02", "@@1@@", "a\u2060b"):
        assert text_of("".join(render(around.format(text)))).rstrip("\n") == text


@given(st.lists(st.sampled_from(MARKS), max_size=40))
@settings(max_examples=500, deadline=None)
def test_no_word_is_lost(pieces: list[str]) -> None:
    """Between any marks, each word of the text appears once, in order."""
    words = [f"w{number}w" for number in range(len(pieces) + 1)]
    source = words[0] + "".join(piece + word for piece, word in zip(pieces, words[1:], strict=True))
    assert re.findall(r"w\d+w", visible(parse("".join(render(source))))) == words


def visible(element: Element | str) -> str:
    """The text inside, and the language where the first word of a fence is taken for one."""
    if isinstance(element, str):
        return element
    return element.attributes.get("data-language", "") + "".join(visible(child) for child in element.children)
