"""Link definitions and footnotes of a text, which link its blocks with each other."""

import re
from dataclasses import dataclass, field

from pyromark.event import BrokenLink, LinkDef

_FOOTNOTE = re.compile(r"\[\^([^\]\s]+)\]")


def _key(label: str) -> str:
    """Return a label as labels are compared: without case, runs of blanks as one (CommonMark, "matches")."""
    return " ".join(label.split()).casefold()


@dataclass(slots=True)
class References:
    """What the blocks so far define, and what they refer to in vain."""

    prefix: str
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    footnotes: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)
    referenced: set[int] = field(default_factory=set)
    described: set[int] = field(default_factory=set)
    stale: bool = False

    def copy(self) -> "References":
        """Return references that may change without these."""
        return References(
            self.prefix,
            self.links,
            self.footnotes,
            set(),
            dict(self.numbers),
            set(self.referenced),
            set(self.described),
        )

    def return_to(self, before: "References") -> None:
        """Forget the notes that were numbered since a copy was made."""
        self.numbers, self.referenced, self.described = before.numbers, before.referenced, before.described

    def target(self, label: str) -> tuple[str, str] | None:
        """Return the destination and title that an earlier block defines for a label."""
        return self.links.get(_key(label))

    def resolve(self, link: BrokenLink) -> tuple[str, str] | None:
        """Return the destination and title of a link that its own part of the text does not define."""
        if target := self.target(link["reference"]):
            return target
        self.missing.add(_key(link["reference"]))
        return None

    def learn(self, links: dict[str, LinkDef], footnotes: list[str]) -> None:
        """Keep the definitions of a finished part of the text; the first of a label holds.

        `stale` becomes true when an earlier part refers to one of them.
        """
        links_by_key = {_key(label): (link["dest"], link["title"] or "") for label, link in links.items()}
        new = (links_by_key.keys() - self.links.keys()) | {"^" + _key(label) for label in footnotes}
        self.stale = self.stale or not self.missing.isdisjoint(new)
        self.links = links_by_key | self.links
        self.footnotes = {_key(label): label for label in footnotes} | self.footnotes

    def expect(self, text: str) -> None:
        """Keep the footnotes that a finished part of the text refers to, and that are not known."""
        labels = {_key(label) for label in _FOOTNOTE.findall(text)}
        self.missing |= {"^" + label for label in labels - self.footnotes.keys()}

    def known_footnotes(self, text: str) -> list[str]:
        """Return the labels in a text of which an earlier part has the note."""
        keys = {_key(label) for label in _FOOTNOTE.findall(text)} if self.footnotes else set()
        return [self.footnotes[key] for key in sorted(keys & self.footnotes.keys())]

    def number(self, label: str) -> int:
        """Return the number of a footnote: they count in the order in which they first appear."""
        return self.numbers.setdefault(_key(label), len(self.numbers) + 1)
