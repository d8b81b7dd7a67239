"""A strict reader of HTML fragments: every element that is opened is closed, in order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input"}


@dataclass
class Element:
    """An element with its attributes and what is inside of it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text inside, as `textContent` in a browser."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def all(self, tag: str = "") -> Iterator["Element"]:
        """All elements inside, or those with a tag, in the order of the document."""
        for child in self.children:
            if isinstance(child, Element):
                if tag in ("", child.tag):
                    yield child
                yield from child.all(tag)

    def one(self, tag: str) -> "Element":
        """The only element with a tag."""
        (element,) = self.all(tag)
        return element


class _Reader(HTMLParser):
    """Builds the tree."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.path = [Element("")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.path[-1].children.append(element)
        if tag not in VOID:
            self.path.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take `<br />` for `<br>`, as browsers do."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        if tag != self.path[-1].tag:
            raise ValueError(f"</{tag}> closes <{self.path[-1].tag}>")
        self.path.pop()

    def handle_data(self, data: str) -> None:
        """Add text."""
        self.path[-1].children.append(data)

    def unknown_decl(self, data: str) -> None:
        """Refuse what is no HTML."""
        raise ValueError(data)

    handle_comment = handle_decl = handle_pi = unknown_decl


def parse(html: str) -> Element:
    """Return the tree of a fragment; raise ValueError where it is not well formed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    if len(reader.path) > 1:
        raise ValueError(f"<{reader.path[-1].tag}> is not closed")
    return reader.path[0]


def text_of(html: str) -> str:
    """Return the text of a fragment."""
    return parse(html).text
