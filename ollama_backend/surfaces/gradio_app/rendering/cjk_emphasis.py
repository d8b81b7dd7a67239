"""Strong emphasis in texts without blanks between words.

CommonMark lets `**` close behind punctuation only where a blank or more punctuation follows, and open before
punctuation only behind one ("left- and right-flanking delimiter runs"). Chinese, Japanese and Korean texts rarely have
one there: in `**"단어"**는` the stars would stay. So the letter on the other side is taken for punctuation.
"""

import re
from bisect import bisect_right

from .formula_marks import TextPlace

# Letters of three bytes in UTF-8: kana, Han, Hangul.
_LETTER = r"[\u2e80-\u2fdf\u3041-\u3096\u30a1-\u30fa\u30fc-\u312f\u3131-\u318e\u31a0-\u9fff\uac00-\ud7a3\uf900-\ufaff]"
_PUNCTUATION = r"[^\w\s*\\\x00-\x1f]"
UNSPACED_EMPHASIS = re.compile(
    rf"(?<={_PUNCTUATION})\*{{2,3}}(?P<after>{_LETTER})|(?P<before>{_LETTER})\*{{2,3}}(?={_PUNCTUATION})"
)
_COMMA = "、".encode()


def letters_beside_emphasis(source: bytes, places: list[TextPlace]) -> list[int]:
    """Return the offsets of letters that are to be taken for punctuation, in order."""
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
    """Return the source with a comma in place of each letter, at the same offsets."""
    pieces, end = [], 0
    for offset in letters:
        pieces += [source[end:offset], _COMMA]
        end = offset + len(_COMMA)
    return b"".join([*pieces, source[end:]])
