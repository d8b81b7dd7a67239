"""The HTML of a growing text, and what of it a page is sent."""

from hypothesis import example, given
from hypothesis import strategies as st

from ollama_backend.surfaces.gradio_app.rendered_answer import RenderedText, SentText, common_prefix, utf16_length
from ollama_backend.surfaces.gradio_app.rendering.markdown import render

MARKUP = [
    "word ",
    " word",
    "word",
    "  ",
    ", ",
    "*",
    "**",
    "`",
    "```\n",
    "\n",
    "\n\n",
    "- ",
    "1. ",
    "# ",
    "| a |",
    "$x$",
]
MARKUP += ["https://a.example/", "&amp;", "<b>", "</b>", "[a]: /b\n", "[a]", "[^1]", "[^1]: n\n", "😀", "é", "ب", "_"]
PIECES = st.lists(st.one_of(st.sampled_from(MARKUP), st.text(max_size=6)), max_size=30)


class Shown:
    """What a page shows of a text."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.tail = self.appended = ""

    def change(self, changes: dict[str, object]) -> None:
        blocks, tail, appended = changes.get("blocks", []), changes.get("tail"), changes.get("append", "")
        if changes.get("restart"):
            self.blocks = []
        self.blocks = [*self.blocks, *blocks]  # type: ignore[misc]
        if isinstance(tail, list):
            kept = self.tail.encode("utf-16-le")[: 2 * tail[0]].decode("utf-16-le")
            self.tail, self.appended = kept + tail[1], ""
        self.appended += str(appended)


@given(PIECES, st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_page_has_what_was_rendered(pieces: list[str], sends: list[bool]) -> None:
    """However the text comes, and whenever a page is sent changes: it shows what is rendered, in the end all of it."""
    text, sent, shown = RenderedText("c0"), SentText(), Shown()
    for piece, is_sent in zip(pieces, sends, strict=False):
        text.feed(piece)
        if is_sent:
            shown.change(sent.changes(text))
            assert (shown.blocks, shown.tail) == (text.blocks, text.tail)
            assert shown.appended == "".join(text.appended)
    text.finish()
    text.finish()
    shown.change(sent.changes(text))
    assert shown.blocks == render("".join(pieces), "c0")
    assert (shown.tail, shown.appended) == ("", "")
    assert sent.changes(text) == {}


@given(st.lists(st.sampled_from(["word", "a", "7", " ", ", ", "  ", "*b*", ".", "`c`", "\n"]), max_size=40))
@example(["word", "\n", "7", "word"])
@example(["word", "\n", "\n", "  ", "word"])
def test_words_put_into_a_paragraph_are_what_rendering_makes_of_them(pieces: list[str]) -> None:
    """What is shown without rendering it again is, but for blanks, what a renderer shows that gets it at once."""
    text, source = RenderedText("c0"), ""
    for piece in pieces:
        text.feed(piece)
        source += piece
        at_once = RenderedText("c0")
        at_once.feed(source)
        parts = ("".join(text.blocks) + text.tail, "".join(at_once.blocks) + at_once.tail)
        one, other = ("".join(part.split()) for part in parts)
        assert one == other


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_what_two_texts_begin_with(start: str, one: str, other: str) -> None:
    """It is as long as it can be, and counted as JavaScript counts."""
    length = common_prefix(start + one, start + other)
    assert length >= len(start)
    assert (start + one)[:length] == (start + other)[:length]
    assert (start + one)[length : length + 1] != (start + other)[length : length + 1] or length == len(start + one)
    plain = start.encode("utf-16-le", "surrogatepass")
    assert utf16_length(start) == len(plain) // 2
