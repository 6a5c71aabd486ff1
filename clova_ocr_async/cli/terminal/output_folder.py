"""A folder of files that appears when it is complete, beside the file that names them.

It is filled under a temporary name. ``publish`` gives it its own; if the file beside it cannot be published after that,
leaving the context takes the folder away again, and gives the name back to the folder that had it.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING, Self

from clova_ocr_async.cli.terminal.locked_files import ROWS, remove_abandoned_beside
from clova_ocr_async.cli.terminal.output import OutputError
from clova_ocr_async.cli.terminal.signals import held_signals
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.files import open_new_private, temporary_beside
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["OutputFolder"]

_OURS = re.compile(r".+\.[0-9]+\.(?:jpg|png|webp)", re.DOTALL)  # as ``copy_name`` makes them


class OutputFolder:
    """A private folder for files that a page names; a context manager.

    Args:
        final: The folder.
        force: Whether an existing folder of such files may be replaced.

    Raises:
        ConfigurationError: On entering: the folder exists already and ``force`` is not given, or it holds other files,
            which would be lost.
    """

    def __init__(self, final: Path, *, force: bool) -> None:
        self._final = final
        self._force = force
        self._filled: Path | None = None
        self._replaced: Path | None = None
        self._published = False

    @property
    def name(self) -> str:
        """The name of the folder, beside the page."""
        return self._final.name

    def __enter__(self) -> Self:
        if os.path.lexists(self._final):
            self._check_replaceable()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with held_signals():
            if kind is not None and self._published:
                shutil.rmtree(self._final, ignore_errors=True)
                if self._replaced is not None:
                    self._replaced.rename(self._final)
            elif self._replaced is not None:
                shutil.rmtree(self._replaced, ignore_errors=True)

    def _check_replaceable(self) -> None:
        shown = shown_path(str(self._final))
        if not self._force:
            raise ConfigurationError(f"{shown} is there already; choose another file, or replace it with --force")
        try:
            found = [entry.name for entry in os.scandir(self._final) if not _is_ours(entry)]
            is_link = self._final.is_symlink()
        except OSError as error:
            raise ConfigurationError(f"{shown}: {error.strerror}") from None
        if found or is_link:
            what = "a link" if is_link else "a folder with other files than the pictures of a report"
            raise ConfigurationError(f"{shown} is {what}, and is not replaced; choose another file")

    def begin(self, temporary: Path) -> None:
        """Fill the folder within a temporary one, which is removed if the process ends.

        Raises:
            OutputError: It cannot be created.
        """
        remove_abandoned_beside(self._final)
        self._filled = temporary / "pictures"
        try:
            self._filled.mkdir(mode=0o700)
        except OSError as error:
            raise OutputError(str(self._final), error) from None

    def write(self, name: str, data: bytes) -> None:
        """Write a file that only its owner can read.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            with os.fdopen(open_new_private(self._place() / name), "wb") as file:
                file.write(data)
        except OSError as error:
            raise OutputError(str(self._final / name), error) from None

    def link(self, name: str, target: str) -> None:
        """Make a link to a file.

        Raises:
            OutputError: It cannot be made.
        """
        try:
            (self._place() / name).symlink_to(target)
        except OSError as error:
            raise OutputError(str(self._final / name), error) from None

    def publish(self) -> None:
        """Give the folder its name, unless it is empty.

        Raises:
            OutputError: It cannot be renamed; a folder that has the name keeps it.
        """
        with held_signals():
            try:
                if not any(self._place().iterdir()):
                    return
                if os.path.lexists(self._final):
                    # A later command removes it, if this process is killed right here.
                    replaced = temporary_beside(self._final).with_suffix(ROWS)
                    self._final.rename(replaced)
                    self._replaced = replaced
                    self._published = True
                self._place().rename(self._final)
                self._published = True
            except OSError as error:
                raise OutputError(str(self._final), error) from None

    def _place(self) -> Path:
        assert self._filled is not None  # noqa: S101 - it was begun
        return self._filled


def _is_ours(entry: os.DirEntry[str]) -> bool:
    return _OURS.fullmatch(entry.name) is not None and (entry.is_symlink() or entry.is_file())
