"""A separate program that reads a PDF from standard input and writes the text of its pages as JSON.

The files are untrusted, so memory, CPU time and writing files are limited before anything is read.
"""

import io
import json
import os
import resource
import signal
import sys
from contextlib import suppress

SECONDS = 60
MEMORY_BYTES = 512 * 2**20
MAX_CHARACTERS = 2 * 2**20
MAX_PAGES = 5000


def limit() -> None:
    """Limit this process. If the system lacks a limit (macOS has no RLIMIT_AS), the others still apply."""
    signal.alarm(SECONDS)
    os.nice(10)
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most, most))


def read() -> dict[str, object]:
    """Return `pages` and the number of `unreadable` pages, or the `reason` why the PDF cannot be read."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

    try:
        reader = PdfReader(io.BytesIO(sys.stdin.buffer.read()))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"reason": "pdfEncrypted"}
        if not 0 < len(reader.pages) <= MAX_PAGES:
            return {"reason": "pdfTooMuch" if reader.pages else "pdfDamaged"}
        pages, unreadable, size = [], 0, 0
        for page in reader.pages:
            try:
                text = page.extract_text()
            except (MemoryError, LimitReachedError):
                raise
            except Exception as exc:  # one bad font must not cost the other pages
                sys.stderr.write(f"skipped a page: {exc!r}\n")
                text, unreadable = "", unreadable + 1
            # Lone surrogates cannot be encoded as UTF-8.
            pages.append(text.encode("utf-8", "replace").decode().replace("\0", ""))
            size += len(text)
            if size > MAX_CHARACTERS:
                return {"reason": "pdfTooMuch"}
    except (FileNotDecryptedError, DependencyError):
        return {"reason": "pdfEncrypted"}
    except (MemoryError, LimitReachedError):
        return {"reason": "pdfTooMuch"}
    return {"pages": pages, "unreadable": unreadable}


if __name__ == "__main__":
    limit()
    sys.stdout.write(json.dumps(read()))
