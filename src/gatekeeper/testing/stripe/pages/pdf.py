"""A page of text as a PDF: one sheet of A4, Helvetica, no images.

Source: ISO 32000-1, 7.5 (file structure) and 9.6.2 (standard fonts).
"""

from collections.abc import Sequence

_TOP, _LEFT, _STEP, _SIZE = 790, 60, 22, 12
MOST_LINES = 34


def pdf(lines: Sequence[str]) -> bytes:
    """The file; what Windows-1252 does not have becomes a question mark, and what does not fit on
    the sheet is left out."""
    shown = b"".join(b"(%s) Tj T*\n" % _escaped(line) for line in lines[:MOST_LINES])
    text = b"BT /F1 %d Tf %d TL %d %d Td\n%sET" % (_SIZE, _STEP, _LEFT, _TOP, shown)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    file, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % place for place in places)
    file += b"trailer << /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    file += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(file)


def _escaped(line: str) -> bytes:
    raw = line.encode("cp1252", "replace").replace(b"\\", b"\\\\")
    return raw.replace(b"(", b"\\(").replace(b")", b"\\)")
