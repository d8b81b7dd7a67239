"""Code is shown as it was written, whatever its fence names and whatever a lexer does, with language and colours."""

import logging
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class, get_all_lexers

from ollama_backend.surfaces.gradio_app.rendering import highlight
from ollama_backend.surfaces.gradio_app.rendering.code_theme import (
    COLOURED,
    COLOURS,
    DARK_BACKGROUND,
    LIGHT_BACKGROUND,
    highlight_css,
)
from ollama_backend.surfaces.gradio_app.rendering.cpu_deadline import DeadlineExpired, cpu_deadline
from ollama_backend.surfaces.gradio_app.rendering.highlight import MAX_CODE_CHARACTERS, Highlighter
from ollama_backend.surfaces.gradio_app.rendering.languages import language, new_lexer
from ollama_backend.surfaces.gradio_app.rendering.markdown import render
from tests.support.html_tree import parse, text_of

# What models write behind a fence, and what the page shows.
NAMES = {
    "cpp": "C++", "c++": "C++", "C++20": "C++", "c": "C", "csharp": "C#", "c#": "C#", "js": "JavaScript",
    "jsx": "JSX", "javascript": "JavaScript", "ts": "TypeScript", "tsx": "TSX", "vue": "Vue", "sql": "SQL",
    "plpgsql": "PL/pgSQL", "postgresql": "PostgreSQL", "mysql": "MySQL", "sqlite": "SQLite", "php": "PHP",
    "bash": "Bash", "sh": "Bash", "shell": "Bash", "zsh": "Bash", "console": "Console",
    "powershell": "PowerShell", "ps1": "PowerShell", "bat": "Batch", "dockerfile": "Dockerfile", "yaml": "YAML",
    "yml": "YAML", "toml": "TOML", "ini": "INI", "json": "JSON", "jsonc": "JSON", "json5": "JSON5",
    "html": "HTML", "xml": "XML", "css": "CSS", "scss": "SCSS", "go": "Go", "golang": "Go", "rust": "Rust",
    "rs": "Rust", "kotlin": "Kotlin", "swift": "Swift", "scala": "Scala", "r": "R", "julia": "Julia",
    "matlab": "MATLAB", "lua": "Lua", "perl": "Perl", "ruby": "Ruby", "haskell": "Haskell", "elixir": "Elixir",
    "erlang": "Erlang", "clojure": "Clojure", "lisp": "Common Lisp", "ocaml": "OCaml", "fsharp": "F#",
    "dart": "Dart", "objc": "Objective-C", "objective-c": "Objective-C", "asm": "Assembly", "nasm": "NASM",
    "verilog": "Verilog", "vhdl": "VHDL", "makefile": "Makefile", "cmake": "CMake", "nginx": "Nginx",
    "diff": "Diff", "latex": "LaTeX", "tex": "TeX", "graphql": "GraphQL", "proto": "Protocol Buffer",
    "terraform": "Terraform", "hcl": "HCL", "http": "HTTP", "java": "Java", "groovy": "Groovy",
    "python": "Python", "py": "Python", "python3": "Python", "zig": "Zig", "solidity": "Solidity",
    "md": "Markdown", "{.python}": "Python", 'python title="a b"': "Python", "js:app.js": "JavaScript",
    "src/main.rs": "Rust", "language-go": "Go", "ts{1,3}": "TypeScript",
}  # fmt: skip
PLAIN = {"": "", "text": "", "plaintext": "", "txt": "", "mermaid": "Mermaid", "csv": "CSV", "No-Such": "No-Such"}

# Blank lines at both ends, tabs, a lone backslash, what looks like HTML, and no line feed at the end.
CODE = "\n\n\tif (a < b && c > d) { return \"x\\n\" + 'y'; } // é \u2028 🙂\n  <b>&amp;</b> $$ {% x %} # \\\n\n\n"


@pytest.mark.parametrize(("info", "name"), (NAMES | PLAIN).items())
def test_languages_are_named_and_code_stays(info: str, name: str) -> None:
    """The container carries the language's name, `code` its class, and the text is the source."""
    (html,) = render(f"~~~ {info}\n{CODE}~~~")
    assert parse(html).one("div").attributes == {"class": "code", "dir": "ltr"} | (
        {"data-language": name} if name else {}
    )
    assert text_of(html) == CODE
    assert bool(language(info).lexer) == (info in NAMES)


def test_blocks_of_code() -> None:
    """Fences of both kinds, open ones, indented code, and what a backtick in the info string makes of a fence."""
    assert render("```cpp\nint x;\n```") == [
        '<div class="code" data-language="C++" dir="ltr"><pre><code class="language-cpp">'
        '<span class="kt">int </span>x;\n</code></pre></div>'
    ]
    assert render("    a\n\n\tb\n") == ['<div class="code" dir="ltr"><pre><code>a\n\nb\n</code></pre></div>']
    assert [text_of(html) for html in render("~~~~\n```\n~~~\n\n<b>")] == ["```\n~~~\n\n<b>"]
    assert text_of(render("``` a`b\nc\n```\nd")[0]) == "``` a`b\nc"


LEXERS = {language(info).lexer: info for info in NAMES}
# Loses text behind a line separator, and is shown without colours then.
LOSES = {"Bash Session"}


@pytest.mark.parametrize("name", sorted(LEXERS))
def test_lexers_give_back_what_they_get(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Lexers that models ask for neither strip nor add nor change anything, so that none needs the fallback."""
    for code in (CODE, CODE.rstrip("\n"), "\n", " ", "a\tb", "\ufeffx = 1", "\x0c\x0b\x1c\x85", ""):
        tokens = "".join(value for _, _, value in new_lexer(name, code).get_tokens_unprocessed(code))
        assert tokens == code or name in LOSES
        assert text_of(Highlighter().block(code, LEXERS[name])) == code
    assert not caplog.records


@given(st.sampled_from(sorted(NAMES)), st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_is_shown(info: str, code: str) -> None:
    """Whatever a block holds, its text is that."""
    assert text_of(Highlighter().block(code.replace("\r", ""), info)) == code.replace("\r", "")


def test_every_lexer_of_pygments_is_known() -> None:
    """All names that Pygments has lead to a lexer; only names that mean plain text do not."""
    aliases = {alias for _, aliases, *_ in get_all_lexers(plugins=False) for alias in aliases}
    unknown = {alias for alias in aliases if not language(alias).lexer}
    assert len(aliases) > 800 and unknown <= {"text", "output", "none"}


class Failing(Lexer):
    """A lexer that fails in the middle."""

    def get_tokens_unprocessed(self, text: str):  # type: ignore[no-untyped-def]
        """Give one token and fail."""
        yield 0, next(iter(COLOURED)), text[:1]
        raise RuntimeError("no such state")


class Forgetful(Lexer):
    """A lexer that loses text."""

    def get_tokens_unprocessed(self, text: str):  # type: ignore[no-untyped-def]
        """Give one token and end."""
        yield 0, next(iter(COLOURED)), text[:1]


@pytest.mark.parametrize("lexer", [Failing, Forgetful])
def test_a_lexer_that_fails_leaves_the_code(
    lexer: type[Lexer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The code is shown without colours; a failure is logged."""
    monkeypatch.setattr(highlight, "new_lexer", lambda _name, _code: lexer())
    html = Highlighter().block(CODE, "python")
    assert text_of(html) == CODE and not list(parse(html).all("span"))
    assert [record.levelno for record in caplog.records] == ([logging.ERROR] if lexer is Failing else [])


def test_long_code_is_plain() -> None:
    """Above a limit no lexer is asked."""
    assert not list(parse(Highlighter().block("x = 1\n" * (MAX_CODE_CHARACTERS // 6 + 1), "python")).all("span"))
    assert list(parse(Highlighter().block("x = 1\n" * 100, "python")).all("span"))


# Exponential, cubic and quadratic in Pygments 2.21: without a limit the first never ends.
SLOW = {"fish": '"' + "\\\\" * 500, "c": "x" + " " * 15_000 + "y", "ini": "=" * 19_000, "cpp": "\n" * 19_000}


@pytest.mark.timeout(60)
def test_slow_lexers_are_ended() -> None:
    """A lexer that takes too long is ended, code stays, and a text has a limit for all its blocks."""
    highlighter = Highlighter()
    for language_name, code in list(SLOW.items()) * 5:
        assert text_of(highlighter.block(code, language_name)) == code
    assert not list(parse(highlighter.block("x = 1\n", "python")).all("span"))


def test_only_the_lexers_are_interrupted() -> None:
    """An exception within a finalizer or a callback that runs meanwhile would be lost, and reported in the log."""

    def work(seconds: float) -> None:
        end = time.thread_time() + seconds
        while time.thread_time() < end:
            pass

    with cpu_deadline(0.01, ("pygments",)):
        work(0.1)
    with pytest.raises(DeadlineExpired), cpu_deadline(0.01, ("tests",)):
        work(10)


def test_nothing_is_highlighted_in_other_threads() -> None:
    """Where a lexer could not be ended none is run."""
    blocks: list[str] = []
    thread = threading.Thread(target=lambda: blocks.append(Highlighter().block("x = 1\n", "python")))
    thread.start()
    thread.join()
    assert text_of(blocks[0]) == "x = 1\n" and not list(parse(blocks[0]).all("span"))


def test_php_needs_no_opening_tag() -> None:
    """Lines of PHP have colours with and without `<?php`, and so has HTML around it."""
    for code in ("echo $a;\n", "<?php echo $a; ?>\n", "<b><?= $a ?></b>\n"):
        spans = parse(Highlighter().block(code, "php")).all("span")
        assert [span.text.strip() for span in spans].count("$a") == 1


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_colours_can_be_read() -> None:
    """Every colour has a contrast of 4.5 on its background, and on white and black too; every class has a rule."""
    for light, dark, _ in COLOURS.values():
        assert min(contrast(light, LIGHT_BACKGROUND), contrast(light, "#ffffff")) >= 4.5
        assert min(contrast(dark, DARK_BACKGROUND), contrast(dark, "#1f2937")) >= 4.5
    css = highlight_css(scope=".answer .code", dark=".dark")
    html = "".join(
        Highlighter().block(code, info) for info, code in (("cpp", CODE), ("diff", "+a\n-b\n"), ("html", "<a b=c>"))
    )
    classes = {span.attributes["class"] for span in parse(html).all("span")}
    assert len(classes) > 4 and all(f".answer .code .{name}" in css for name in classes)
    assert css.count("{") == css.count("}") and ".dark .answer .code{" in css


def test_lexers_are_those_that_are_named() -> None:
    """Names of lexers are found by Pygments."""
    assert all(find_lexer_class(name) for name in LEXERS) and len(LEXERS) > 60
    with pytest.raises(LookupError):
        new_lexer("No such language", "")
