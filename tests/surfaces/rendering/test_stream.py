"""An answer that is rendered while it is written ends as if it were rendered whole, at a cost linear in its length."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ollama_backend.surfaces.gradio_app.rendering.markdown import normalized, render
from ollama_backend.surfaces.gradio_app.rendering.stream_renderer import SHORT, StreamRenderer, Update
from tests.support.html_tree import text_of
from tests.support.markdown_pieces import DEFINITIONS, MARKS


class Page:
    """What a page shows that does as the updates say."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.tail = self.appended = ""
        self.restarts = self.received = 0

    def apply(self, update: Update) -> None:
        """Change what is shown."""
        self.received += sum(map(len, update.finished)) + len(update.tail or "") + len(update.append)
        if update.restart:
            self.finished.clear()
            self.restarts += 1
        self.finished += update.finished
        if update.tail is not None:
            self.tail, self.appended = update.tail, ""
        if update.append:
            # Only closing tags follow the text of the last element that takes text.
            assert re.fullmatch(r"[^<]*(</\w+>)+", self.tail.rpartition('data-open="1">')[2])
            self.appended += update.append

    @property
    def text(self) -> str:
        """All text that is shown."""
        return text_of("".join(self.finished) + self.tail) + self.appended


def stream(source: str, sizes: list[int]) -> Page:
    """A page that has got a text in deltas of some sizes, which repeat."""
    page, renderer, start, turn = Page(), StreamRenderer(), 0, 0
    while start < len(source):
        size = sizes[turn % len(sizes)]
        page.apply(renderer.feed(source[start : start + size]))
        start, turn = start + size, turn + 1
    page.apply(renderer.finish())
    return page


SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=6)


@given(st.lists(st.sampled_from(MARKS + DEFINITIONS) | st.text(max_size=8), max_size=60), SIZES)
@settings(max_examples=600, deadline=None)
def test_the_end_is_that_of_the_whole(pieces: list[str], sizes: list[int]) -> None:
    """Whatever the text and wherever it is cut, the blocks in the end are those of `render`."""
    source = "".join(pieces)
    page = stream(source, sizes)
    assert page.finished == render(source) and not page.tail and not page.appended


@given(st.lists(st.sampled_from(MARKS), max_size=40), SIZES)
@settings(max_examples=300, deadline=None)
def test_what_has_come_is_shown(pieces: list[str], sizes: list[int]) -> None:
    """Every word is shown as soon as its line is there, in order, and stays."""
    words = [f"w{number}w" for number in range(len(pieces) + 1)]
    source = words[0] + "".join(piece + word for piece, word in zip(pieces, words[1:], strict=True))
    page, renderer, start = Page(), StreamRenderer(), 0
    for size in sizes * (len(source) // sum(sizes) + 1):
        start += size
        page.apply(renderer.feed(source[start - size : start]))
        lines = source[:start].rpartition("\n")[0]
        names = "".join(re.findall(r'data-language="(\w+)"', "".join(page.finished) + page.tail))
        shown = re.findall(r"w\d+w", page.text + names)
        assert sorted(set(re.findall(r"w\d+w", lines))) == sorted(set(shown) & set(re.findall(r"w\d+w", lines)))


REFERENCES = {
    "a link that is defined later": "see [a]\n\nb\n\n[a]: http://c.d\n\ne\n",
    "a note that is defined later": "see[^1]\n\nb\n\n[^1]: c\n\nd\n",
}


@pytest.mark.parametrize("source", REFERENCES.values(), ids=REFERENCES)
def test_definitions_that_come_late_draw_the_answer_again(source: str) -> None:
    """Once, in the end: what refers to them was finished as text."""
    page = stream(source, [5])
    assert page.restarts == 1 and page.finished == render(source) and "<a " in page.finished[0]


@pytest.mark.parametrize(
    "source",
    [
        "[a]: http://c.d\n\nb\n\nsee [a]\n\n[a]: http://e.f\n\ng\n",
        "[^1]: c\n\nb\n\nsee[^1]\n\n    d\n\n[^1]: e\n",
        "a [b] [^c]\n\nd\n\ne\n",
    ],
)
def test_definitions_that_come_first_are_known_later(source: str) -> None:
    """The first of a label holds, and nothing is drawn again."""
    page = stream(source, [3])
    assert page.restarts == 0 and page.finished == render(source)


CODE = "```python\n" + "def f(x):\n    return x  # ``\n" * 400 + "```\n\nafter\n"


def test_code_is_appended_and_highlighted_once() -> None:
    """While a fence is open its lines are appended, without colours; when it is closed, it has them."""
    page, renderer = Page(), StreamRenderer()
    for start in range(0, len(CODE) // 2, 7):
        page.apply(renderer.feed(CODE[start : start + 7]))
        code = CODE[10 : start + 7].rstrip(" `\n")
        assert page.text.startswith(code)
    assert "<span" not in page.tail and 'data-language="Python"' in page.tail
    assert page.received < len(CODE)
    page.apply(renderer.feed(CODE[start + 7 :]))
    page.apply(renderer.finish())
    assert page.finished == render(CODE) and "<span" in page.finished[0]


@pytest.mark.parametrize("fence", ["```", "~~~", "`````", "~~~ a`b", "``` {.x}"])
@pytest.mark.parametrize("size", [1, 2, 3, 11])
def test_fences_end_where_they_end(fence: str, size: int) -> None:
    """Shorter fences, indented ones, and other marks within do not end one, whatever the deltas are."""
    mark = re.match(r"[`~]+", fence)
    assert mark
    end = mark[0]
    source = f"a\n\n{fence}\n`` x\n    {end}\n{end[:-1]}\n{end} y\n\t~\n \n{end}{end[0]}  \nb\n\n{fence}\nc\n~~\n{end}"
    page = stream(source, [size])
    assert page.finished == render(source) and len(page.finished) == 4


LONG = {
    "a list": "- an item with **strong** words and `code`\n",
    "a paragraph": "words and *more* words in one long paragraph\n",
    "code in a list": "- a\n\n  ```\n" + "  x = 1\n" * 100 + "  ```\n",
    "a table": "| a | b |\n",
    "a fence": "~~~\n" + "line\n" * 100,
    "paragraphs": "A paragraph of **some** words, and `code`.\n\n",
}


@pytest.mark.parametrize("piece", LONG.values(), ids=LONG)
def test_the_cost_is_linear(piece: str) -> None:
    """What a page receives for an answer of twice the length is about twice as much, also where it is one block."""
    start = "| a | b |\n|--|--|\n" if piece.startswith("|") else ""
    one, two = (start + piece * (count * SHORT // len(piece)) for count in (6, 12))
    single, double = stream(one, [40]), stream(two, [40])
    assert double.received < 2.4 * single.received and double.finished == render(two)
    assert single.received < 25 * len("".join(single.finished))


HELD = {
    "Title:\n-": "<p dir=\"auto\">Title:\n</p>",
    "Title:\n--": "<p dir=\"auto\">Title:\n</p>",
    "a\n\n1": '<p dir="auto">a</p>',
    "a\n\n1.": '<p dir="auto">a</p>',
    "a\n``": '<p dir="auto">a\n</p>',
    "a\n> #": '<p dir="auto">a\n</p>',
    "| a |\n|--": '<p dir="auto">| a |\n</p>',
    "a **b": '<p dir="auto">a **b</p>',
    "a 1": '<p dir="auto">a 1</p>',
}  # fmt: skip


@pytest.mark.parametrize(("source", "tail"), HELD.items())
def test_a_line_waits_until_it_is_clear_what_it_is(source: str, tail: str) -> None:
    """A hyphen below a line is no title yet, a digit no text and no item, and bars are no table."""
    shown = StreamRenderer().feed(source).tail
    assert shown is not None and shown.replace("\n", "") == tail.replace("\n", "")


def test_an_update_says_what_changed() -> None:
    """Nothing for nothing; a tail that stays is not sent again; the end empties it."""
    renderer = StreamRenderer("m1")
    assert renderer.feed("") == Update()
    assert renderer.feed("a\n") == Update(tail='<p dir="auto">a</p>')
    assert renderer.feed("\n") == Update()
    assert renderer.feed("b\n") == Update(finished=['<p dir="auto">a</p>'], tail='<p dir="auto">b</p>')
    assert renderer.finish() == Update(finished=['<p dir="auto">b</p>'], tail="")
    with pytest.raises(ValueError, match="prefix"):
        StreamRenderer("<")


def test_details_open_and_close_while_they_are_written() -> None:
    """An element that is not closed yet is shown as if it were, and stays one block."""
    page, renderer = Page(), StreamRenderer()
    for line in ("<details>\n", "<summary>a</summary>\n", "\n", "- b\n", "\n", "c\n"):
        page.apply(renderer.feed(line))
        assert page.tail.startswith("<details>") and page.tail.endswith("</details>") and not page.finished
    page.apply(renderer.feed("\n</details>\n\nd\n"))
    assert len(page.finished) == 1 and text_of(page.finished[0]) == "abc"


@pytest.mark.parametrize("source", ["a\r\nb\r\n\r\nc\rd", "```\r\na\r\n\r\n```\r\n", "a\r", "\r\n\r"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_line_endings_may_be_cut_in_two(source: str, size: int) -> None:
    """A carriage return waits for the line feed that may follow."""
    assert stream(source, [size]).finished == render(source) == render(normalized(source))
