"""Messages of the commands on standard error."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.options import common
from clova_ocr_async.cli.terminal.shell_hints import for_shell

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["echo_lines", "echo_stderr", "is_quiet", "printable"]


def is_quiet() -> bool:
    """Return whether --quiet was given."""
    return common().quiet


def printable(text: str) -> str:
    """Return a text without characters that could steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def echo_stderr(text: str, *, even_when_quiet: bool = False) -> None:
    """Print a message on standard error, without characters that could steer a terminal."""
    if even_when_quiet or not is_quiet():
        with contextlib.suppress(OSError):  # a closed standard error must not end calls that are paid for
            click.echo(printable(for_shell(text)), err=True)


def echo_lines(lines: Iterable[str]) -> None:
    """Print each line on standard error, unless --quiet was given."""
    for line in lines:
        echo_stderr(line)
