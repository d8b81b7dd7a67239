"""Each block reads from the side of its first strong letter; code and formulas read from the left."""

import pytest

from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from tests.support.html_tree import parse

ARABIC, HEBREW, PERSIAN = "مرحبا بالعالم", "שלום עולם", "سلام دنیا"


@pytest.mark.parametrize("source", ["{}", "# {}", "> {}", "- {}", "| {} |\n|--|\n| a |", "*{}*", "<b>\n{}"])
def test_blocks_of_text_find_their_direction(source: str) -> None:
    """Paragraphs, headings and cells leave it to the browser."""
    tree = parse("".join(render(source.format(ARABIC))))
    assert all(e.attributes["dir"] == "auto" for e in tree.all() if e.tag in ("p", "h1", "th", "td", "summary"))


@pytest.mark.parametrize("word", [ARABIC, HEBREW, PERSIAN, f"12. {ARABIC}", f"`code` {HEBREW}", f"$x$ {PERSIAN}"])
@pytest.mark.parametrize("source", ["> {} a", "- {} a", "- {} a\n\n- b", "| {} | a |\n|--|--|", "[^1]\n\n[^1]: {} a"])
def test_containers_follow_their_first_strong_letter(source: str, word: str) -> None:
    """A browser does not look into the blocks of a list, a quote, a table or a note, so that it is decided here."""
    tree = parse("".join(render(source.format(word))))
    containers = [
        e for e in tree.all() if e.tag in ("ul", "blockquote", "table") or "footnote" in e.attributes.values()
    ]
    assert [element.attributes["dir"] for element in containers] == ["rtl"]


def test_each_item_has_its_own_direction() -> None:
    """A list goes the way of its first letter, each item that of its own; what has none goes left to right."""
    tree = parse("".join(render(f"- {HEBREW}\n- a {HEBREW}\n  - {ARABIC}\n- 1 2\n\nz\n\n- b\n- {ARABIC}\n\n> 5")))
    assert [e.attributes["dir"] for e in tree.all("li")] == ["rtl", "ltr", "rtl", "ltr", "ltr", "rtl"]
    assert [e.attributes["dir"] for e in tree.all("ul")] == ["rtl", "rtl", "ltr"]
    assert tree.one("blockquote").attributes["dir"] == "ltr"


def test_code_and_formulas_read_from_the_left() -> None:
    """They are islands in the text, and do not count for the direction around them."""
    tree = parse("".join(render(f"`{ARABIC}` $x$\n\n```\n{ARABIC}\n```")))
    assert [code.attributes.get("dir") for code in tree.all("code")] == ["ltr", None]
    assert tree.one("span").attributes["dir"] == tree.one("div").attributes["dir"] == "ltr"
