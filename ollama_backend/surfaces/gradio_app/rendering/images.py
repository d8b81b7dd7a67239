"""Images in Markdown, which are written as links: nothing is loaded from elsewhere."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .links import anchor, escaped, safe_href


@dataclass(slots=True)
class Image:
    """An image, with the pieces of its description; `depth` counts images within it that are still being read."""

    url: str
    title: str
    alt: list[str] = field(default_factory=list)
    depth: int = 1

    def text(self) -> str:
        """Return the description, or the name of the file."""
        return "".join(self.alt).strip() or _file_name(self.url)

    def html(self, *, linked: bool) -> str:
        """Return a link to the image, or where `linked` is false or it leads nowhere only its text."""
        href = safe_href(self.url) if linked else None
        if href:
            return f"{anchor(href, title=self.title, kind='image')}{escaped(self.text())}</a>"
        return f'<span class="image">{escaped(self.text())}</span>'


def _file_name(url: str) -> str:
    """Return what names an image without a description: the last part of its path, or the type of its data."""
    if url[:5].lower() == "data:":
        return url[:80].partition(";")[0].partition(",")[0]
    try:
        path = urlsplit(url).path
    except ValueError:
        return url
    return unquote(path.rstrip("/").rpartition("/")[2]) or url
