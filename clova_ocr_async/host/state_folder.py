"""The folder in which a platform keeps what programs note about a user's work."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["user_state_folder"]

_FOLDERS = {
    "win32": ("LOCALAPPDATA", Path("AppData", "Local")),
    "darwin": ("XDG_STATE_HOME", Path("Library", "Application Support")),
}
"""By platform: the variable that names the folder, and its place below the user's home; others are like Linux."""


def user_state_folder(
    environ: Mapping[str, str] | None = None, platform: str = sys.platform, find_home: Callable[[], Path] = Path.home
) -> Path:
    """Return the folder for the state of a user's programs.

    Args:
        environ: The environment; None for this process's. It is not a default value, which ``help`` would print.
        platform: As ``sys.platform`` has it.
        find_home: Returns the user's home folder, or raises RuntimeError.

    Raises:
        RuntimeError: The user has no home folder.
    """
    environ = os.environ if environ is None else environ
    variable, below_home = _FOLDERS.get(platform, ("XDG_STATE_HOME", Path(".local", "state")))
    given = Path(environ.get(variable, ""))
    # Source: XDG Base Directory Specification 0.8: a relative path there must be ignored.
    return given if given.is_absolute() else _home(environ, find_home) / below_home


def _home(environ: Mapping[str, str], find_home: Callable[[], Path]) -> Path:
    if given := environ.get("HOME") or environ.get("USERPROFILE"):
        return Path(given)
    return find_home()
