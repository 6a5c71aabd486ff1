"""Names of the formats that the service does not take, by the first bytes of a file, and the way out for each."""

from __future__ import annotations

import codecs
import re

from clova_ocr_async.protocol.echoed_input import non_path

__all__ = ["guess_unsupported", "is_picture", "unsupported_signature"]

_CONVERT = "convert it to JPEG or PNG"
_PREPARE = f"{_CONVERT}, or give the file to a client with prepare=Preparation()"
_PRINT = "save it as a PDF of one page, or as JPEG or PNG"
_ARCHIVE = f"for the pictures in a .zip see images_in; {_PRINT}"
_UNPACK = "pass the picture itself"
_UNKNOWN = "of an unknown format (its first bytes are not shown)"
_DECODE = "decode it (base64.b64decode) and pass the bytes"
_SIGNATURES = (
    (b"GIF8", "GIF", _PREPARE),
    (b"\x00\x00\x00\x0cjP  \r\n", "JPEG 2000", _CONVERT),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _CONVERT),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL", _CONVERT),
    (b"\xff\x0a", "JPEG XL", _CONVERT),
    (b"II\xbc", "JPEG XR", _CONVERT),
    (b"8BPS", "PSD (Photoshop)", _CONVERT),
    (b"\x00\x00\x01\x00", "ICO (an icon)", _CONVERT),
    (b"\x00\x00\x02\x00", "ICO (a cursor)", _CONVERT),
    (b"%!PS", "PostScript", _PRINT),
    (b"PK\x03\x04", "a zip archive (.docx, .xlsx and .hwpx files are zip archives)", _ARCHIVE),
    (b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file (an old .doc, .xls or .hwp)", _PRINT),
    (b"\x1f\x8b", "gzip", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (b"\x7fELF", "a program (ELF)", _UNPACK),
    (b"data:", "a data: URL", _DECODE),
    # The first bytes of the formats that the service takes, in base64.
    (b"/9j/", "JPEG in base64", _DECODE),
    (b"iVBORw0KGgo", "PNG in base64", _DECODE),
    (b"JVBERi0", "PDF in base64", _DECODE),
)
_SHORT_SIGNATURES = {
    b"BM": ("BMP", _PREPARE),
    b"MZ": ("a program (EXE)", _UNPACK),
}  # also the first letters of many texts
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


_PATH = re.compile(r"[^\r\n]{1,300}\.(?:jpe?g|png|pdf|tiff?|heic)", re.IGNORECASE)


def unsupported_signature(data: bytes) -> tuple[str, str] | None:
    """Return the format of a file that begins with a signature, and the way out; None if it has no signature."""
    for magic, kind, advice in _SIGNATURES:
        if data.startswith(magic):
            return kind, advice
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", _PREPARE
    if data[4:8] == b"ftyp":
        return _iso_media(data)
    # QuickTime files from before the ISO format do not begin with "ftyp".
    if data[:1] == b"\x00" and data[4:8] in {b"moov", b"mdat", b"wide", b"free"}:
        return "a video (MOV)", "pass a still picture"
    return None


def _iso_media(data: bytes) -> tuple[str, str]:
    """Distinguish the formats of ISO base media by their brands, the major one and the compatible ones."""
    # "mif1" is a brand of AVIF and of HEIC, so the compatible brands decide. A size of gigabytes would be a lie.
    end = min(int.from_bytes(data[:4], "big"), 64)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF", _PREPARE
    if brands & _HEIF_BRANDS:
        return "HEIC/HEIF", _PREPARE
    return "a video (MP4, MOV)", "pass a still picture"


def guess_unsupported(data: bytes) -> tuple[str, str]:
    """Guess the format of a file without a signature, or with one that a text may begin with."""
    start = data[:1024]
    markup = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if markup.startswith(b"<"):
        if b"<svg" in markup:
            return "SVG", _CONVERT
        return "HTML (an error page?)" if b"html" in markup else "XML", _UNPACK
    if _is_text(start):
        return _text_kind(start.decode("utf-8", "replace"))
    return _SHORT_SIGNATURES.get(start[:2], (_UNKNOWN, _CONVERT))


def is_picture(kind: str, advice: str) -> bool:
    """Return whether a format that the service does not take is that of a picture, by what was found of it."""
    return advice.startswith(_CONVERT) and kind != _UNKNOWN


def _text_kind(text: str) -> tuple[str, str]:
    if (found := non_path(text)) is not None:
        return found.kind, found.advice
    if _PATH.fullmatch(text):
        return "the path of a file as bytes", "pass it as a str or a Path (os.fsdecode)"
    return "plain text", _UNPACK


def _is_text(start: bytes) -> bool:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # a character that is cut at the end is allowed
    except UnicodeDecodeError:
        return False
    return not any(character < " " and not character.isspace() for character in text)
