"""Copies of the pictures of a run, drawn on: each has a name of its own in one folder."""

from __future__ import annotations

import hashlib
import os
import re
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.batch.hashing import FileHashes
from clova_ocr_async.cli.terminal.output import atomic_write
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.client.reading import read_path
from clova_ocr_async.documents import DOCUMENTS, Recognition
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, ImageError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.ledger.settlement import replay
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.paged_file import PagedFile
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.ledger.storage import RunView, SourceRecord

__all__ = ["Copies", "copy_name", "write_copies"]

_LONGEST = 100  # bytes of a name's first part
_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_NO_LIMIT = ImageLimits(max_bytes=None)
_LARGEST = 256 * 1024 * 1024  # bytes of a picture; the service takes 50 MiB, and larger ones were shrunk


def _uncounted(_: str) -> None:
    """Count no pages: only the hash of a file is needed."""


@dataclass(slots=True)
class Copies:
    """The result of a command.

    Attributes:
        written: Copies that were written.
        failed: Images without a copy.
    """

    written: int = 0
    failed: int = 0


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


def write_copies(
    reader: RunView,
    folder: str,
    draw: Callable[[bytes | Page, Recognition[Any]], bytes],
    shown_name: Callable[[str, Recognition[Any] | None], str],
    *,
    force: bool,
) -> Copies:
    """Write a copy of every picture of a run. An image without one is named with the reason, and the others go on.

    A picture is found by its path, and is the one that was read if its hash is the same.

    Args:
        reader: The open run.
        folder: The folder of the copies; it is created if it is not there.
        draw: Returns the copy of a picture, from its bytes, or the page of its file, and its recognition.
        shown_name: Returns a path, or a message, as people may see it; the recognition is None if there is none.
        force: Whether existing copies are replaced.

    Raises:
        ConfigurationError: The folder cannot be created.
    """
    place = Path(folder)
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{shown_path(folder)}: {error.strerror}") from None
    copies, hashes = Copies(), FileHashes(count=_uncounted)
    for number, record in enumerate(reader.records(), 1):
        recognition = _recognition_of(record)
        path = record.path or ""
        name = shown_name(path, recognition) if path else "an image without a path"
        try:
            data = _drawn(record, recognition, draw, hashes)
            ending = "png" if data.startswith(b"\x89PNG") else "jpg"
            _write(place / copy_name(name, number, ending), data, force=force)
        except ClovaOCRError as error:
            # A message may begin with the path, and repeat the name of the file.
            reason = shown_name(str(error), recognition).removeprefix(f"{shown_path(name)}: ")
            page = "" if record.page is None else f"#{record.page}"
            echo_stderr(f"{shown_path(name)}{page}: {reason}", even_when_quiet=True)
            copies.failed += 1
        else:
            copies.written += 1
    echo_stderr(f"{plural(copies.written, 'picture')} in {shown_path(folder)}")
    return copies


def _recognition_of(record: SourceRecord) -> Recognition[Any] | None:
    entry = record.entry
    if record.status != "succeeded" or entry is None:
        return None
    found = replay(entry, DOCUMENTS[record.document])
    if not isinstance(found, Recognition):
        return None
    if record.page is not None and found.picture.page is None:
        return msgspec.structs.replace(found, picture=msgspec.structs.replace(found.picture, page=record.page))
    return found


def _drawn(
    record: SourceRecord,
    recognition: Recognition[Any] | None,
    draw: Callable[[bytes | Page, Recognition[Any]], bytes],
    hashes: FileHashes,
) -> bytes:
    """Return the copy of the picture that was read.

    Raises:
        ImageError: It was not read, has no path, or is not the same any more.
        RedactionError: It cannot be masked for certain.
    """
    if recognition is None or record.entry is None:
        raise ImageError(f"the image has no answer ({record.status}), so nothing shows what to draw")
    if record.path is None:
        raise ImageError("the image was given as bytes, so there is no file to copy")
    sha256 = record.entry.item.sha256
    if record.page is None:
        return draw(_whole_file(record.path, sha256), recognition)
    # The file of a page may be too large for memory, and has many of them.
    _check_hash(hashes.facts(record.path, time.time()).sha256, sha256)
    copy = draw(Page(record.path, record.page), recognition)
    _check_hash(hashes.facts(record.path, time.time()).sha256, sha256)  # it was opened once more to be drawn
    return copy


def _whole_file(path: str, sha256: bytes) -> bytes:
    if (size := PagedFile.of(path).size) > _LARGEST:
        raise ImageError(f"the file has {size:,} bytes, and pictures of more than {_LARGEST:,} are not copied")
    data = read_path(path, _NO_LIMIT)
    _check_hash(hashlib.sha256(data).digest(), sha256)
    return data


def _check_hash(found: bytes, expected: bytes) -> None:
    if found != expected:
        raise ImageError("the file has changed since it was read; put back the one that was read")


def _write(path: Path, data: bytes, *, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise ConfigurationError(f"{shown_path(str(path))} is there already; choose another folder, or give --force")
    with atomic_write(path) as write:
        write(data)
