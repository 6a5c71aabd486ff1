"""The files that the pictures of a run are read from, and the names of the copies that are made of them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.client.reading import read_path
from clova_ocr_async.documents import DOCUMENTS, Recognition
from clova_ocr_async.errors import ImageError
from clova_ocr_async.ledger.settlement import replay
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from clova_ocr_async.ledger.storage import SourceRecord

__all__ = ["checked_bytes", "copy_name", "recognition_of", "with_page"]

_LONGEST = 100  # bytes of a name's first part
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_NO_LIMIT = ImageLimits(max_bytes=None)


def copy_name(source: str, number: int, ending: str) -> str:
    """Return the name of a copy: ``<stem>.<number>.<ending>``.

    It is always a single name that all systems take. Two copies never have the same name, as numbers differ.

    Args:
        source: The path of the image, which may be that of a member of an archive.
        number: The number of the image in its run, from 1.
        ending: The ending, without a dot.
    """
    text = unicodedata.normalize("NFC", source.encode("utf-8", "replace").decode())
    name = PurePosixPath(text.replace("\\", "/")).name
    stem = _UNSAFE.sub("_", PurePosixPath(name).stem)
    stem = "".join(character if character.isprintable() else "_" for character in stem).strip(" .")
    short = stem.encode()[:_LONGEST].decode(errors="ignore").rstrip(" .")
    return f"{short or 'image'}.{number}.{ending}"


def recognition_of(record: SourceRecord) -> Recognition[Any] | None:
    """Return the recognition of an image of a run, with its page; None if it was not read, or is not kept."""
    entry = record.entry
    if record.status != "succeeded" or entry is None:
        return None
    found = replay(entry, DOCUMENTS[record.document])
    return with_page(found, record.page) if isinstance(found, Recognition) else None


def with_page(recognition: Recognition[Any], page: int | None) -> Recognition[Any]:
    """Return a recognition that knows the page it was made of, as its record does."""
    picture = recognition.picture
    if page is None or picture.page is not None:
        return recognition
    return msgspec.structs.replace(recognition, picture=msgspec.structs.replace(picture, page=page))


def checked_bytes(record: SourceRecord, recognition: Recognition[Any] | None) -> bytes:
    """Return the bytes of the picture that was read: the file at its path, if its hash is the same.

    Raises:
        ImageError: It was not read, has no path, or is not the same any more.
    """
    if recognition is None or record.entry is None:
        raise ImageError(f"the image has no answer ({record.status}), so nothing shows what to draw")
    if record.path is None:
        raise ImageError("the image was given as bytes, so there is no file to copy")
    data = read_path(record.path, _NO_LIMIT)
    if hashlib.sha256(data).digest() != record.entry.item.sha256:
        raise ImageError("the file has changed since it was read; put back the one that was read")
    return data
