"""Copies of the pictures of a run, drawn on: each has a name of its own in one folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from clova_ocr_async.cli.terminal.output import atomic_write
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.results.picture_files import copy_name, draw_original, kept_hashes, recognition_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.ledger.storage import RunView, SourceRecord
    from clova_ocr_async.pictures.page import Page

__all__ = ["Copies", "write_copies"]


@dataclass(slots=True)
class Copies:
    """The result of a command.

    Attributes:
        written: Copies that were written.
        failed: Images without a copy.
    """

    written: int = 0
    failed: int = 0


def write_copies(
    reader: RunView,
    folder: str,
    draw: Callable[[bytes | Page, Recognition[Any]], bytes],
    shown_name: Callable[[str, SourceRecord, Recognition[Any] | None], str],
    *,
    endings: Sequence[str] = ("png", "jpg"),
    force: bool,
) -> Copies:
    """Write a copy of every picture of a run. An image without one is named with the reason, and the others go on.

    A picture is found by its path, and is the one that was read if its hash is the same.

    Args:
        reader: The open run.
        folder: The folder of the copies; it is created if it is not there.
        draw: Returns the copy of a picture, from its bytes, or the page of its file, and its recognition.
        shown_name: Returns a path of a record, or a message about it, as people may see it; the recognition is None if
            there is none.
        endings: The endings that a copy may have.
        force: Whether existing copies are replaced.

    Raises:
        ConfigurationError: The folder cannot be created.
    """
    place = Path(folder)
    try:
        # For the owner only: the copies show most of what the pictures show.
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{shown_path(folder)}: {error.strerror}") from None
    copies, hashes = Copies(), kept_hashes()
    # The number in the run is part of the name: scans of two folders often have the same names.
    for number, record in enumerate(reader.records(), 1):
        recognition = recognition_of(record)
        path = record.path or ""
        name = shown_name(path, record, recognition) if path else "an image without a path"
        names = [place / copy_name(name, number, ending) for ending in endings]
        existing = list(filter(os.path.lexists, names))
        try:
            if existing and not force:  # before the picture is read: the copy may be one of thousands
                _refuse(existing[0])
            data = draw_original(record, recognition, draw, hashes)
            ending = "png" if data.startswith(b"\x89PNG") else "jpg"
            _write(place / copy_name(name, number, ending), data, force=force)
        except ClovaOCRError as error:
            # A message may begin with the path, and repeat the name of the file.
            reason = shown_name(str(error), record, recognition).removeprefix(f"{shown_path(name)}: ")
            if existing and force:  # it may be of an older picture, or of a policy that hid less
                older = ", ".join(shown_path(str(path)) for path in existing)
                reason = f"{reason}; {older} is an older copy, which was not replaced"
            page = "" if record.page is None else f"#{record.page}"
            echo_stderr(f"{shown_path(name)}{page}: {reason}", even_when_quiet=True)
            copies.failed += 1
        else:
            copies.written += 1
    echo_stderr(f"{plural(copies.written, 'picture')} in {shown_path(folder)}")
    return copies


def _write(path: Path, data: bytes, *, force: bool) -> None:
    if os.path.lexists(path) and not force:  # it came while the picture was drawn
        _refuse(path)
    with atomic_write(path) as write:
        write(data)


def _refuse(path: Path) -> NoReturn:
    raise ConfigurationError(f"{shown_path(str(path))} is there already; choose another folder, or give --force")
