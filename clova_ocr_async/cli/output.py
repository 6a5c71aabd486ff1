"""Where a command's lines go: standard output, or a new file that only its owner can read."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["opened_output"]

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@contextmanager
def opened_output(path: str | None) -> Generator[Callable[[bytes], object]]:
    """Open an output for as long as the context is open; each line is written through at once.

    Args:
        path: A file that is not there yet; None for standard output.

    Raises:
        ConfigurationError: The file is there already (its answers were paid for), or cannot be made.
    """
    if path is None:
        stdout = sys.stdout.buffer

        def write(line: bytes) -> None:
            stdout.write(line)
            stdout.flush()

        yield write
        return
    try:
        descriptor = os.open(path, _NEW_FILE, 0o600)
    except FileExistsError:
        raise ConfigurationError(
            f"{path} is there already, and its answers were paid for; choose another file"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        yield file.write
