"""Strong emphasis in languages without spaces between words.

In CommonMark, `**` after punctuation can close emphasis only if a space or more punctuation follows, and `**` before
punctuation can open it only after one ("left- and right-flanking delimiter runs"). Chinese, Japanese and Korean texts
rarely have one there, so the asterisks in `**"단어"**는` would stay visible. This module finds the letters on the
other side, which the parser then gets as punctuation.
"""

import re
from bisect import bisect_right

from .formula_marks import TextPlace

# Kana, Han and Hangul. All take three bytes in UTF-8, like the comma that replaces them, so that offsets stay valid.
_LETTER = r"[\u2e80-\u2fdf\u3041-\u3096\u30a1-\u30fa\u30fc-\u312f\u3131-\u318e\u31a0-\u9fff\uac00-\ud7a3\uf900-\ufaff]"
_PUNCTUATION = r"[^\w\s*\\\x00-\x1f]"
UNSPACED_EMPHASIS = re.compile(
    rf"(?<={_PUNCTUATION})\*{{2,3}}(?P<after>{_LETTER})|(?P<before>{_LETTER})\*{{2,3}}(?={_PUNCTUATION})"
)
_COMMA = "、".encode()


def letters_beside_emphasis(source: bytes, places: list[TextPlace]) -> list[int]:
    """Return the offsets, in bytes, of the letters that the parser should see as punctuation, in order."""
    text = source.decode()
    starts = [place.start for place in places]
    letters = []
    position = offset = 0
    for match in UNSPACED_EMPHASIS.finditer(text):
        letter = match.start("after") if match["after"] else match.start("before")
        offset += len(text[position:letter].encode())
        position = letter
        index = bisect_right(starts, offset) - 1
        if index >= 0 and offset + len(_COMMA) <= places[index].end:
            letters.append(offset)
    return letters


def with_punctuation(source: bytes, letters: list[int]) -> bytes:
    """Return the source with each of the letters replaced by a comma. All offsets stay the same."""
    pieces, end = [], 0
    for offset in letters:
        pieces += [source[end:offset], _COMMA]
        end = offset + len(_COMMA)
    return b"".join([*pieces, source[end:]])
