"""PDF files written by hand, and one of each kind that cannot be read."""

import io
import zlib

from pypdf import PdfReader, PdfWriter


def pdf_of(*pages: str | bytes) -> bytes:
    """Return a PDF with a line of text on each page; bytes are the page's content as they stand, compressed."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"", b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    kids = []
    for page in pages:
        text = page if isinstance(page, bytes) else f"BT /F1 12 Tf 72 700 Td ({page}) Tj ET".encode("latin-1")
        content = zlib.compress(text)
        number = len(objects) + 1
        kids.append(f"{number} 0 R")
        resources = f"<</Type/Page/Parent 2 0 R/Resources<</Font<</F1 3 0 R>>>>/Contents {number + 1} 0 R>>"
        stream = f"<</Length {len(content)}/Filter/FlateDecode>>stream\n".encode() + content + b"\nendstream"
        objects += [resources.encode(), stream]
    objects[1] = f"<</Type/Pages/Count {len(kids)}/Kids[{' '.join(kids)}]/MediaBox[0 0 612 792]>>".encode()
    file, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(file))
        file += f"{number} 0 obj".encode() + body + b"\nendobj\n"
    entries = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{entries}"
    trailer = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(file)}\n%%EOF"
    return file + table.encode() + trailer.encode()


def encrypted(pdf: bytes, password: str) -> bytes:
    """Return the PDF so that opening it needs the password; an empty one still encrypts it."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    writer.encrypt(password, owner_password="owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
