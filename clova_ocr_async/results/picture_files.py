"""The files that the pictures of a run are read from, and the names of the copies that are made of them."""

from __future__ import annotations

import hashlib
import re
import time
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from clova_ocr_async.batch.hashing import FileHashes
from clova_ocr_async.client.image_bytes import read_path
from clova_ocr_async.documents import DOCUMENTS, Recognition
from clova_ocr_async.errors import ImageError
from clova_ocr_async.ledger.settlement import replay
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.paged_file import PagedFile
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.ledger.storage import SourceRecord

__all__ = ["copy_name", "draw_file", "draw_original", "kept_hashes", "recognition_of", "with_page"]

DrawnT = TypeVar("DrawnT")

_LONGEST = 100  # bytes of a name's first part
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_NO_LIMIT = ImageLimits(max_bytes=None)
_LARGEST = 256 * 1024 * 1024  # bytes of a picture; the service takes 50 MiB, and larger ones were shrunk


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
    # By bytes: file systems bound a name by them, and a Hangul syllable has three.
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


def draw_original(
    record: SourceRecord,
    recognition: Recognition[Any] | None,
    draw: Callable[[bytes | Page, Recognition[Any]], DrawnT],
    hashes: FileHashes | None = None,
) -> DrawnT:
    """Return what is drawn of the picture that was read: the file at its path, if its hash is the same.

    Args:
        record: The record of the image.
        recognition: Its recognition, as ``recognition_of`` returns it.
        draw: Draws the picture, from its bytes, or from the page of its file.
        hashes: The hashes of files of several pages, kept for the next page; None to hash the file for this one.

    Raises:
        ImageError: It was not read, has no path, or is not the same any more.
    """
    if recognition is None or record.entry is None:
        if record.status == "succeeded":
            raise ImageError("its answer was not stored, or has been purged, so nothing shows what to draw")
        raise ImageError(f"the image has no answer ({record.status}), so nothing shows what to draw")
    return draw_file(record, record.entry.item.sha256, lambda image: draw(image, recognition), hashes)


def draw_file(
    record: SourceRecord, sha256: bytes, draw: Callable[[bytes | Page], DrawnT], hashes: FileHashes | None = None
) -> DrawnT:
    """Return what is drawn of the file of an image, if its hash is the same as when it was read from the disk.

    Args:
        record: The record of the image.
        sha256: That hash.
        draw: Draws the picture, from its bytes, or from the page of its file.
        hashes: As in ``draw_original``.

    Raises:
        ImageError: It has no path, or is not the same any more.
    """
    if record.path is None:
        raise ImageError("the image was given as bytes, so there is no file to copy")
    if record.page is None:
        return draw(_whole_file(record.path, sha256))
    hashes = kept_hashes() if hashes is None else hashes
    # The file of a page may be too large for memory, and has many of them.
    _check_hash(hashes.facts(record.path, time.time()).sha256, sha256)
    drawn = draw(Page(record.path, record.page))
    _check_hash(hashes.facts(record.path, time.time()).sha256, sha256)  # it was opened once more to be drawn
    return drawn


def kept_hashes() -> FileHashes:
    """Return hashes of files whose pages are not counted."""
    return FileHashes(count=lambda _: None)


def _whole_file(path: str, sha256: bytes) -> bytes:
    if (size := PagedFile.of(path).size) > _LARGEST:
        raise ImageError(f"the file has {size:,} bytes, and pictures of more than {_LARGEST:,} are not copied")
    data = read_path(path, _NO_LIMIT)
    _check_hash(hashlib.sha256(data).digest(), sha256)
    return data


def _check_hash(found: bytes, expected: bytes) -> None:
    if found != expected:
        raise ImageError("the file has changed since it was read; put back the one that was read")
