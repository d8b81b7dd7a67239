"""Formulas are found where a reader sees them, reach the page as they were written, and code and prices stay."""

import pytest

from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from ollama_backend.surfaces.gradio_app.rendering.stream_renderer import StreamRenderer
from tests.support.html_tree import Element, parse, text_of

INLINE, DISPLAY = "0", "1"

FOUND = {
    "$E = mc^2$": [(INLINE, "E = mc^2")],
    r"$\alpha_1$ and $a*b*c$, not $5 or $10": [(INLINE, r"\alpha_1"), (INLINE, "a*b*c")],
    "$x_{1}$ and $y_{2}$": [(INLINE, "x_{1}"), (INLINE, "y_{2}")],
    r"\(a_1 < b_2\) **and** \( x \)": [(INLINE, "a_1 < b_2"), (INLINE, " x ")],
    "the $n$th, **$x$**bold": [(INLINE, "n"), (INLINE, "x")],
    r"$a \$ b$": [(INLINE, r"a \$ b")],
    r"\[ x \] and $$y$$": [(DISPLAY, " x "), (DISPLAY, "y")],
    "$$\na\n=\nb\n$$": [(DISPLAY, "\na\n=\nb\n")],
    "so\n\\[\na\n+ b\n- c\n# d\n> e\n\\]\n.": [(DISPLAY, "\na\n+ b\n- c\n# d\n> e\n")],
    "\\[\na\n\nb\n\\]\n\nc": [(DISPLAY, "\na\n\nb\n")],
    "This is: \\[\na\n= b\n\\] yes": [(DISPLAY, "\na\n= b\n")],
    "1. a\n\n   $$\n   x\n   $$\n\n2. b": [(DISPLAY, "\n   x\n   ")],
    "- $$\nx\n$$": [(DISPLAY, "\nx\n")],
    "> \\[\n> a\n> > b\n> \\]": [(DISPLAY, "\na\n> b\n")],
    "\\[\\begin{aligned} a &= b \\\\[2pt]\n c &< d \\end{aligned}\\]": [
        (DISPLAY, "\\begin{aligned} a &= b \\\\[2pt]\n c &< d \\end{aligned}")
    ],
    "\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}": [
        (DISPLAY, "\\begin{align*}\na &= b \\\\\nc &= d\n\\end{align*}")
    ],
    "| a | b |\n|--|--|\n| $|x|$ | \\(P(A | B)\\) |": [(INLINE, "|x|"), (INLINE, "P(A | B)")],
    "| a |\n|--|\n| $\\|x\\|$ |": [(INLINE, "|x|")],
    "# $a$\n\n[$b$](http://c.d) *$e$*": [(INLINE, "a"), (INLINE, "b"), (INLINE, "e")],
    "函数$f(x)$是 مرحبا $x$": [(INLINE, "f(x)"), (INLINE, "x")],
    "$[a](b)$ $<b>$": [(INLINE, "[a](b)"), (INLINE, "<b>")],
    "[x](http://a.b/$c$)": [],
}


def formulas(html: str) -> list[Element]:
    """The formulas of a fragment."""
    return [span for span in parse(html).all("span") if span.attributes.get("class") == "formula"]


@pytest.mark.parametrize("source", FOUND)
def test_formulas_are_handed_on_as_written(source: str) -> None:
    """Each formula is an element with its TeX, set left to right, and says whether it stands alone."""
    found = formulas("".join(render(source)))
    assert [(span.attributes["data-display"], span.text) for span in found] == FOUND[source]
    assert all(span.attributes["dir"] == "ltr" and "data-pending" not in span.attributes for span in found)


TEXT = [
    "$5 and $10",
    "from US$5 to US$7",
    "$HOME and $PATH",
    "$HOME/bin:$PATH",
    "${A}:${B}",
    "$5-$10",
    "5$ or 6 $",
    "$ x$ and $x $",
    "$$",
    "$$$x$$$",
    "echo $$ and $!",
    "| a | b |\n|--|--|\n| $5 | 6$ |",
    "- 5$a\n- 6$b",
    "$a\n\nb$",
    "$a `b$` c",
    "`$a$`",
    "`\\(a\\)`",
    "    $$\n    a\n    $$",
    "```\n$$\na\n$$\n\\[b\\]\n```",
    "\\[\n```\na\n```\n\\]",
    "> $$\n> a\n\n$$",
    "\\begin{itemize}\n\\item a\n\\end{itemize}",
    "text \\begin{align}a\\end{align}",
    "$$ is a process\n\nand $$ too",
]


@pytest.mark.parametrize("source", TEXT)
def test_what_is_no_formula_stays(source: str) -> None:
    """Prices, variables, code and dollars that do not pair are text."""
    html = "".join(render(source))
    assert not formulas(html) and text_of(html).count("$") == source.count("$")


def test_code_with_dollars_is_as_written() -> None:
    """Bodies of functions in SQL, variables of variables in PHP, and process numbers in a shell."""
    for language, code in {
        "sql": "CREATE FUNCTION f() RETURNS int AS $$\nBEGIN RETURN 1; END;\n$$ LANGUAGE plpgsql;\n",
        "php": "$$name = 1; echo $$name;\n",
        "bash": "echo $$\n",
    }.items():
        html = "".join(render(f"\\(a\\)\n\n```{language}\n{code}```\n\n$b$\n\n```{language}\n{code}```"))
        assert [element.text for element in parse(html).all("code")] == [code, code]
        assert [formula.text for formula in formulas(html)] == ["a", "b"]


def test_a_long_formula_is_text() -> None:
    """Display formulas that contain blank lines end within some thousand bytes, other ones within some more."""
    assert not formulas("".join(render("\\[\n\n" + "x\n" * 3000 + "\\]")))
    assert not formulas("".join(render("$" + "x" * 20_000 + "$")))
    assert len(formulas("".join(render("\\[\n\n" + "x\n" * 300 + "\\]")))) == 1


@pytest.mark.parametrize("opening", ["\\[\na\n\nb_1*c", "$$\na\n- b", "so \\(a*b*", "\\begin{align}\na_1 &= b"])
def test_a_formula_that_is_being_written_is_shown_as_such(opening: str) -> None:
    """Until it is closed its source is shown, so that its signs are not taken for emphasis or lists."""
    tail = StreamRenderer().feed(opening + " ").tail
    (formula,) = formulas(tail or "")
    assert formula.attributes["data-pending"] == "1" and opening.lstrip("so \\[$(").strip() in formula.text


@pytest.mark.parametrize("opening", ["it costs $5 and", "echo $$ prints", "a \\[ b\n\nc", "`\\(` and\n```\n"])
def test_what_may_be_no_formula_is_text_while_it_is_written(opening: str) -> None:
    """Single dollars, and marks that nothing may close any more."""
    assert not formulas(StreamRenderer().feed(opening).tail or "")
