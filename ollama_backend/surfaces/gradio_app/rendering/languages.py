"""The language of a code block: the one that the info string of a fence names, and its display name."""

import re
from functools import cache
from typing import NamedTuple

from pygments.lexer import Lexer
from pygments.lexers import find_lexer_class, get_all_lexers

# Aliases that models write and Pygments does not know. Languages without a lexer of their own get a related one.
_ALSO = {
    "asm": "gas",
    "assembly": "gas",
    "astro": "html",
    "bash-session": "console",
    "cmd": "batch",
    "delphi": "pascal",
    "dotenv": "bash",
    "ejs": "html",
    "env": "bash",
    "gradle": "groovy",
    "htaccess": "apacheconf",
    "ipython": "python",
    "jinja2": "jinja",
    "jsonc": "json",
    "jsonl": "json",
    "ksh": "bash",
    "kt": "kotlin",
    "ndjson": "json",
    "node": "javascript",
    "oracle": "sql",
    "plsql": "plpgsql",
    "shellsession": "console",
    "sh-session": "console",
    "sqlite": "sql",
    "svelte": "html",
    "svg": "xml",
    "vb": "vbnet",
    "viml": "vim",
    "wasm": "wat",
    "x86asm": "nasm",
}
# Display names, by alias or by Pygments' name, where Pygments' own is long, technical or wrong for the alias.
_NAMES = {
    "ApacheConf": "Apache",
    "Bash Session": "Console",
    "Batchfile": "Batch",
    "Docker": "Dockerfile",
    "GAS": "Assembly",
    "LessCss": "Less",
    "Matlab": "MATLAB",
    "Nginx configuration file": "Nginx",
    "PostgreSQL SQL dialect": "PostgreSQL",
    "S": "R",
    "csv": "CSV",
    "hcl": "HCL",
    "jsx": "JSX",
    "latex": "LaTeX",
    "mermaid": "Mermaid",
    "oracle": "Oracle SQL",
    "plsql": "PL/SQL",
    "sqlite": "SQLite",
    "svelte": "Svelte",
    "svg": "SVG",
    "tsx": "TSX",
    "verilog": "Verilog",
    "vhdl": "VHDL",
}
_PLAIN = frozenset({"", "text", "txt", "plain", "plaintext", "none", "output", "log", "ascii", "text/plain"})
_WORD = re.compile(r"\{?\s*\.?(?:lang(?:uage)?-)?([^\s:{},;=]*)", re.IGNORECASE)
_MAX_NAME_CHARACTERS = 40


class Language(NamedTuple):
    """The display name, the CSS class, and Pygments' name of the lexer; each may be empty."""

    name: str
    slug: str
    lexer: str


@cache
def _lexers() -> dict[str, str]:
    """Return the names of Pygments' own lexers by alias, in lower case."""
    return {alias.lower(): name for name, aliases, *_ in get_all_lexers(plugins=False) for alias in aliases}


def language(info: str) -> Language:
    """Return the language of an info string, such as `cpp`, `python title="x"`, `{.r}`, `js:app.js` or `main.rs`."""
    match = _WORD.match(info)
    word = match[1][:_MAX_NAME_CHARACTERS] if match else ""
    alias = word.lower()
    if alias in _PLAIN:
        return Language("", "", "")
    # The word itself, the suffix of a file name (`main.rs`), or the word without a version (`python3.12`, `c++20`).
    for candidate in (alias, alias.rpartition(".")[2], alias.rstrip("0123456789.")):
        lexer = _lexers().get(_ALSO.get(candidate, candidate), "")
        if lexer:
            break
    else:
        candidate = alias
    name = _NAMES.get(candidate) or _NAMES.get(lexer, lexer) or word
    return Language(name, re.sub(r"[^\w+#.-]", "", candidate), lexer)


def new_lexer(name: str, code: str) -> Lexer:
    """Return a lexer that neither adds nor strips line feeds. Raises LookupError for an unknown name."""
    options = {"stripnl": False, "ensurenl": False}
    if name == "PHP" and "<?" not in code:  # else the lexer treats snippets without `<?php` as HTML
        options["startinline"] = True
    lexer_class = find_lexer_class(name)
    if lexer_class is None:
        raise LookupError(name)
    return lexer_class(**options)
