"""What the commands say on stderr."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.options import common
from clova_ocr_async.cli.terminal.vocabulary import in_words

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["COUNTING", "is_quiet", "printable", "say", "say_all"]

COUNTING = "clova-ocr-count"
"""Name of the thread that counts images, which finds fault with the same ones as the reading."""


def is_quiet() -> bool:
    """Whether --quiet was given."""
    return common().quiet


def printable(text: str) -> str:
    """Return a text without what could steer a terminal."""
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def say(text: str, *, even_when_quiet: bool = False) -> None:
    """Tell something on stderr; what could steer a terminal is left out of it."""
    if even_when_quiet or not is_quiet():
        with contextlib.suppress(OSError):  # nobody listens; that must not end what is paid for
            click.echo(printable(in_words(text)), err=True)


def say_all(lines: Iterable[str]) -> None:
    """Say each of some lines."""
    for line in lines:
        say(line)
