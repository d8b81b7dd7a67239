"""Writing direction of blocks that contain other blocks.

`dir="auto"` works for a paragraph. On a list or a quote it ignores text in elements with a `dir` of their own (HTML,
"The dir attribute"), and so finds none. Their direction is decided here by the same rule, the first strong letter.
"""

import re
from unicodedata import bidirectional

_RIGHT_TO_LEFT = re.compile(r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]")


class Directions:
    """Sets the direction of open containers when their first strong letter is written."""

    def __init__(self, out: list[str], source: str) -> None:
        self._out = out
        # Most texts have no right-to-left letter, and need no search in every piece of text.
        self._needed = bool(_RIGHT_TO_LEFT.search(source))
        self._undecided: list[int] = []

    def open(self) -> None:
        """Write the direction of a container, as the value of the attribute that the caller writes."""
        if self._needed:
            self._undecided.append(len(self._out))
        self._out.append("ltr")

    def close(self, start: int) -> None:
        """Stop deciding the direction of containers that were opened at or after a position in the output."""
        while self._undecided and self._undecided[-1] >= start:
            self._undecided.pop()

    def see(self, text: str) -> None:
        """Apply the first strong letter of a text to every container that had none so far."""
        if not self._undecided:
            return
        for letter in text:
            kind = bidirectional(letter)
            if kind in ("L", "R", "AL"):
                if kind != "L":
                    for index in self._undecided:
                        self._out[index] = "rtl"
                self._undecided.clear()
                return
