"""Rights of the user, which root has all of."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

NOBODY = 65534


@contextmanager
def unprivileged() -> Generator[None]:
    """Give up the rights of root, which may read and write every file."""
    rights = os.geteuid()
    if rights == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(rights)
