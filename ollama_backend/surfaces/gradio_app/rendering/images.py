"""Images in Markdown, written as links, because loading them would tell other servers who reads the answer."""

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .links import anchor, escaped, safe_href


@dataclass(slots=True)
class Image:
    """An image and the pieces of its description. `depth` is the nesting of images in its description."""

    url: str
    title: str
    alt: list[str] = field(default_factory=list)
    depth: int = 1

    def text(self) -> str:
        """Return the description, or the file name if there is none."""
        return "".join(self.alt).strip() or _file_name(self.url)

    def html(self, *, linked: bool) -> str:
        """Return a link to the image, or only its text if `linked` is false or the URL is not allowed."""
        href = safe_href(self.url) if linked else None
        if href:
            return f"{anchor(href, title=self.title, kind='image')}{escaped(self.text())}</a>"
        return f'<span class="image">{escaped(self.text())}</span>'


def _file_name(url: str) -> str:
    """Return a name for an image without a description: the last part of its path, or the type of its data."""
    if url[:5].lower() == "data:":
        return url[:80].partition(";")[0].partition(",")[0]
    try:
        path = urlsplit(url).path
    except ValueError:
        return url
    return unquote(path.rstrip("/").rpartition("/")[2]) or url
