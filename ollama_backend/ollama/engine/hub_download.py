"""Fetch a model's file from the Hub: `python -m ollama_backend.ollama.engine.hub_download hf://OWNER/REPO/FILE.gguf`.

A revision may follow the repository or the file (`@v1.0`); of a split file (`…-00001-of-00003.gguf`) all parts are
fetched. Nothing is asked of the Hub when the cache has it. Progress is written to stdout as Ollama reports a pull's,
one JSON object a line; the last is {"status": "success", "path": …}, or {"error": …} with exit status 1. This is a
program of its own because nothing else may see HF_TOKEN.
"""

import errno
import io
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import constants, errors, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.utils.tqdm import tqdm

ADDRESS = re.compile(
    r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<before>[^/@]+))?/(?P<file>[^@]+\.gguf)(?:@(?P<after>[^@]+))?"
)
PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
REPORT_SECONDS = 0.25


class HubFailure(Exception):
    """The file cannot be had; `str()` says why, and what to do."""


@dataclass(frozen=True)
class HubAddress:
    """One file of a repository on the Hub, at a branch, tag or commit."""

    repo: str
    name: str
    revision: str = "main"

    @property
    def where(self) -> str:
        """Name the file for people."""
        at = "" if self.revision == "main" else f" at revision {self.revision}"
        return f"{self.name} in {self.repo}{at}"

    def parts(self) -> list["HubAddress"]:
        """List all parts of a split file, or the one file."""
        if not (match := PART.search(self.name)):
            return [self]
        stem, count = self.name[: match.start()], int(match[2])
        return [replace(self, name=f"{stem}-{number:05}-of-{match[2]}.gguf") for number in range(1, count + 1)]

    def cached(self) -> str | None:
        """Return the path in the cache, if it is there."""
        found = try_to_load_from_cache(self.repo, self.name, revision=self.revision)
        return found if isinstance(found, str) else None


def parse(address: str) -> HubAddress:
    """Read an `hf://` address."""
    if not (match := ADDRESS.fullmatch(address)):
        raise HubFailure(f"{address} does not name a file: write it as hf://owner/repository/file.gguf")
    return HubAddress(match["repo"], match["file"], match["after"] or match["before"] or "main")


def report(**line: Any) -> None:
    """Write one line of progress."""
    print(json.dumps(line), flush=True)


class _Bar(tqdm):
    """A progress bar that is reported and not drawn; `label` and `digest` say of what."""

    label, digest = "", ""

    def __init__(self, *given: Any, **named: Any) -> None:
        # A bar that is disabled counts nothing, so it is enabled and draws into a file in memory.
        super().__init__(*given, **{**named, "disable": False, "file": io.StringIO()})  # type: ignore[no-untyped-call]
        self._reported_at = 0.0

    def update(self, n: float | None = 1) -> bool:
        """Count bytes, and report a few times a second how many there are."""
        self.n += n or 0
        if time.monotonic() - self._reported_at > REPORT_SECONDS or self.n == self.total:
            self._reported_at = time.monotonic()
            report(
                status=f"pulling {self.label}", digest=self.digest, total=int(self.total or 0), completed=int(self.n)
            )
        return True

    def update_transfer(self, n: float) -> None:
        """Ignore the bytes on the wire: those on the disk are counted."""

    def display(self, *given: Any, **named: Any) -> bool:
        """Draw nothing."""
        return True


def _refused(file: HubAddress, exc: errors.HfHubHTTPError) -> str:
    status = exc.response.status_code
    if status == 401:
        return "the Hub refuses HF_TOKEN: set it to a valid token, or to none for a public repository"
    if status == 403:
        return f"the Hub does not let this token read {file.repo}: give it the right to, or use another"
    if status == 429:
        return "the Hub has had too many requests from here: wait some minutes, or set HF_TOKEN"
    return f"the Hub answered with status {status}: try again later"


def _disk(exc: OSError) -> str:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: free some space, or let HF_HOME name a folder on a larger disk"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "the cache cannot be written: let HF_HOME name a folder that can"
    return f"the file could not be written ({exc.strerror or exc})"


def _words(file: HubAddress, exc: Exception) -> str:
    """Say in words why a file cannot be had; the order goes from the particular to the general."""
    if isinstance(exc, errors.GatedRepoError):
        page = f"https://huggingface.co/{file.repo}"
        return f"{file.repo} is gated: accept its terms on {page} and set HF_TOKEN to a token of that account"
    if isinstance(exc, errors.RepositoryNotFoundError):
        return f"the Hub has no repository {file.repo}, or it is private: check the name, or set HF_TOKEN"
    if isinstance(exc, errors.RevisionNotFoundError):
        return f"{file.repo} has no revision {file.revision}: check the part after @"
    if isinstance(exc, errors.EntryNotFoundError) and not isinstance(exc, errors.LocalEntryNotFoundError):
        return f"{file.repo} has no file {file.name}: its files are on https://huggingface.co/{file.repo}/tree/main"
    if isinstance(exc, errors.OfflineModeIsEnabled):
        return f"{file.name} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it: unset that variable"
    if isinstance(exc, errors.HfHubHTTPError):
        return _refused(file, exc)
    # The library's HTTP client has changed its name over time; its errors are not part of the interface.
    lost = type(exc).__module__.startswith("httpx")
    if lost or isinstance(exc, errors.LocalEntryNotFoundError | ConnectionError | TimeoutError):
        return "the Hugging Face Hub cannot be reached: check the internet connection, or a proxy's settings"
    if isinstance(exc, OSError):
        return _disk(exc)
    return f"{file.where} could not be fetched ({type(exc).__name__}: {str(exc).splitlines()[0]})"


@contextmanager
def _explained(file: HubAddress) -> Iterator[None]:
    try:
        yield
    except HubFailure:
        raise
    except Exception as exc:  # whatever the library raises ends in words
        raise HubFailure(_words(file, exc)) from exc


def _check_room(size: int) -> None:
    folder = Path(constants.HF_HUB_CACHE)
    # The cache is created by the first download; until then its parent tells how much room there is.
    while not folder.exists():
        folder = folder.parent
    if (free := shutil.disk_usage(folder).free) < size:
        needed = f"the file takes {size / 1e9:.1f} GB and the disk has {free / 1e9:.1f} GB left"
        raise HubFailure(f"{needed}: free some space, or let HF_HOME name a folder on a larger disk")


def _download(file: HubAddress) -> str:
    head = get_hf_file_metadata(hf_hub_url(file.repo, file.name, revision=file.revision))
    size, digest = head.size or 0, f"sha256:{head.etag}"
    report(status=f"pulling {file.name}", digest=digest, total=size, completed=0)
    _check_room(size)
    # The library creates the bar itself and takes only its class.
    _Bar.label, _Bar.digest = file.name, digest
    return hf_hub_download(file.repo, file.name, revision=file.revision, tqdm_class=_Bar)


def fetch(address: str) -> str:
    """Return the path of a file, or of the first part of a split one, fetched unless the cache has it.

    Raises HubFailure in words.
    """
    paths = []
    for file in parse(address).parts():
        with _explained(file):
            paths.append(file.cached() or _download(file))
    return paths[0]


def main(given: list[str]) -> int:
    """Run the program; return its exit status."""
    if len(given) != 1:
        report(error="give one address, as hf://owner/repository/file.gguf")
        return 2
    report(status="pulling manifest")
    try:
        path = fetch(given[0])
    except HubFailure as failure:
        report(error=str(failure))
        return 1
    report(status="success", path=path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
