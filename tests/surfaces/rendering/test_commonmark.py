"""CommonMark's own examples (spec.commonmark.org, 0.31.2), but for what is different on purpose."""

import json
import re

import pytest

from ollama_backend.surfaces.gradio_app.rendering.links import safe_href
from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from tests.conftest import FETCHED
from tests.support.html_tree import VOID, Element, parse

# Numbers of examples that come out otherwise, and why. Links that lead nowhere, images and the attributes that are
# added do not count: `expected` and `got` take them out.
DIFFERENT = {
    "raw HTML is text": [
        21, 31, *range(148, 168), *range(169, 192), 201, 308, 309, 344, 475, 476, 477, 491, 494, 524, 536,
        *range(613, 618), 623, *range(625, 632), 642, 643,
    ],
    r"`\[…\]` is a formula": [12],
    "`<a+b:c>` keeps its brackets": [596, 598, 599, 601],
    "a bare address is a link": [602, 606, 608, 611, 612],
    "an info string that is no name gives no class": [144],
}  # fmt: skip
BLOCKS = "p|ul|ol|li|blockquote|h[1-6]|hr|pre|br"


def canonical(element: Element, *, verbatim: bool = False) -> str:
    """HTML as a text that can be compared: links that lead nowhere are text, images their descriptions."""
    pieces = []
    for child in element.children:
        if isinstance(child, str):
            pieces.append(child if verbatim else re.sub(r"\s+", " ", child))
            continue
        inner = canonical(child, verbatim=verbatim or child.tag == "pre")
        if child.tag in ("div", "span") or (child.tag == "a" and not safe_href(child.attributes.get("href", ""))):
            pieces.append(inner)
        elif child.tag == "img":
            pieces.append(child.attributes.get("alt") or child.attributes["src"].rpartition("/")[2])
        else:
            names = sorted(child.attributes.keys() & {"href", "title", "start", "class"})
            attributes = "".join(f" {name}={child.attributes[name]!r}" for name in names)
            pieces.append(f"<{child.tag}{attributes}>{inner}" + ("" if child.tag in VOID else f"</{child.tag}>"))
    return "".join(pieces)


def compared(html: str) -> str:
    """A fragment without the blanks around its blocks."""
    return re.sub(rf"\s*(</?(?:{BLOCKS})[^>]*>)(?!\n)\s*", r"\1", canonical(parse(html))).strip()


def examples() -> list[dict[str, str | int]]:
    """The examples, where tests/run has fetched them."""
    path = FETCHED / "commonmark.json"
    return json.loads(path.read_text()) if path.is_file() else []


@pytest.mark.needs("commonmark.json")
def test_the_examples() -> None:
    """All examples come out as the specification says but those that are listed, which do not."""
    different = set()
    for example in examples():
        got = compared("".join(render(str(example["markdown"]))))
        try:
            expected = compared(str(example["html"]))
        except ValueError:
            expected = "HTML that does not pair"
        if got != expected:
            different.add(example["example"])
    assert len(examples()) > 600
    assert different == {number for numbers in DIFFERENT.values() for number in numbers}
