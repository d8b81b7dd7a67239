"""Writes code as HTML, highlighted with Pygments' short class names."""

import logging
import time
from functools import cache

from pygments.token import STANDARD_TYPES, _TokenType

from .code_theme import COLOURED
from .cpu_deadline import DeadlineExpired, can_limit, cpu_deadline
from .languages import language, new_lexer
from .links import attribute, escaped

# Longer code is not highlighted, which would take about a millisecond per kilobyte.
MAX_CODE_CHARACTERS = 20_000
# Seconds of CPU time for one block, and for all blocks of a text. The event loop is blocked for this long.
BLOCK_SECONDS = 0.1
TEXT_SECONDS = 0.5
# The code that may take too long: lexers, and the regular expressions that they compile.
LIMITED = ("pygments", "re")

_log = logging.getLogger(__name__)


class Highlighter:
    """Writes the code blocks of one text. Outside the main thread, or after TEXT_SECONDS, they have no colours."""

    def __init__(self) -> None:
        self._seconds = TEXT_SECONDS

    def block(self, code: str, info: str, is_open: bool = False) -> str:
        """Return a block of code as HTML, whose text is exactly `code`. `is_open`: it is still being written."""
        named = language(info)
        name = f' data-language="{attribute(named.name)}"' if named.name else ""
        slug = f' class="language-{named.slug}"' if named.slug else ""
        mark = ' data-open="1"' if is_open else ""
        # An open block is extended by plain text with every delta, so it is highlighted only once it is closed.
        inner = escaped(code) if is_open or not named.lexer else self._highlighted(code, named.lexer)
        return f'<div class="code"{name} dir="ltr"><pre><code{slug}{mark}>{inner}</code></pre></div>'

    def _highlighted(self, code: str, lexer_name: str) -> str:
        """Return code as HTML, highlighted if that is possible within the limits."""
        if len(code) > MAX_CODE_CHARACTERS or self._seconds <= 0 or not can_limit():
            return escaped(code)
        began = time.thread_time()
        try:
            # Imports the lexer's module, which must not count against the code's time.
            lexer = new_lexer(lexer_name, code)
            began = time.thread_time()
            with cpu_deadline(min(BLOCK_SECONDS, self._seconds), LIMITED):
                tokens = [(kind, value) for _, kind, value in lexer.get_tokens_unprocessed(code)]
                html = _spans(tokens)
        except DeadlineExpired:
            return escaped(code)
        except Exception:
            _log.exception("The lexer for %s failed", lexer_name)
            return escaped(code)
        finally:
            self._seconds -= time.thread_time() - began
        # A lexer that loses characters must not change the text that people copy.
        return html if "".join(value for _, value in tokens) == code else escaped(code)


def _spans(tokens: list[tuple[_TokenType, str]]) -> str:
    """Return tokens as HTML; adjacent tokens of the same colour share a span."""
    pieces: list[str] = []
    around = ""
    for kind, value in tokens:
        css_class = _css_class(kind)
        if css_class != around and value.strip():  # white space shows no colour and needs no span
            pieces.append("</span>" if around else "")
            pieces.append(f'<span class="{css_class}">' if css_class else "")
            around = css_class
        pieces.append(escaped(value))
    return "".join([*pieces, "</span>" if around else ""])


@cache
def _css_class(kind: _TokenType) -> str:
    """Return the class of the closest ancestor of a token kind that has a colour, or ""."""
    nearest: _TokenType | None = kind
    while nearest is not None and nearest not in COLOURED:
        nearest = nearest.parent
    return STANDARD_TYPES[nearest] if nearest else ""
