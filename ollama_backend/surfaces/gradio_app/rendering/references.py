"""The link definitions and footnotes of a text, through which its blocks depend on each other."""

import re
from dataclasses import dataclass, field

from pyromark.event import BrokenLink, LinkDef

_FOOTNOTE = re.compile(r"\[\^([^\]\s]+)\]")


def _key(label: str) -> str:
    """Return the normalized form in which labels are compared (CommonMark, "matches")."""
    return " ".join(label.split()).casefold()


@dataclass(slots=True)
class References:
    """The definitions of the blocks so far, and the labels to which they refer without a definition."""

    prefix: str
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    footnotes: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    numbers: dict[str, int] = field(default_factory=dict)
    referenced: set[int] = field(default_factory=set)
    described: set[int] = field(default_factory=set)
    stale: bool = False

    def copy(self) -> "References":
        """Return a copy for a trial rendering, whose numbering does not affect this one."""
        return References(
            self.prefix,
            self.links,  # shared: `learn` replaces them and never changes them in place
            self.footnotes,
            set(),
            dict(self.numbers),
            set(self.referenced),
            set(self.described),
        )

    def return_to(self, before: "References") -> None:
        """Forget the footnotes that were numbered since the copy `before` was made."""
        self.numbers, self.referenced, self.described = before.numbers, before.referenced, before.described

    def target(self, label: str) -> tuple[str, str] | None:
        """Return the destination and title that an earlier block defines for a label."""
        return self.links.get(_key(label))

    def resolve(self, link: BrokenLink) -> tuple[str, str] | None:
        """Return the destination and title of a link whose label is not defined in its own part of the text."""
        if target := self.target(link["reference"]):
            return target
        self.missing.add(_key(link["reference"]))
        return None

    def learn(self, links: dict[str, LinkDef], footnotes: list[str]) -> None:
        """Add the definitions of a finished part of the text. The first definition of a label applies.

        Sets `stale` if an earlier part refers to one of them, and was therefore rendered without it.
        """
        links_by_key = {_key(label): (link["dest"], link["title"] or "") for label, link in links.items()}
        new = (links_by_key.keys() - self.links.keys()) | {"^" + _key(label) for label in footnotes}
        self.stale = self.stale or not self.missing.isdisjoint(new)
        self.links = links_by_key | self.links
        self.footnotes = {_key(label): label for label in footnotes} | self.footnotes

    def expect(self, text: str) -> None:
        """Record the unknown footnotes to which a finished part of the text refers."""
        labels = {_key(label) for label in _FOOTNOTE.findall(text)}
        self.missing |= {"^" + label for label in labels - self.footnotes.keys()}

    def known_footnotes(self, text: str) -> list[str]:
        """Return the labels in a text whose footnotes an earlier part defines."""
        keys = {_key(label) for label in _FOOTNOTE.findall(text)} if self.footnotes else set()
        return [self.footnotes[key] for key in sorted(keys & self.footnotes.keys())]

    def number(self, label: str) -> int:
        """Return the number of a footnote, in the order of first appearance."""
        return self.numbers.setdefault(_key(label), len(self.numbers) + 1)
