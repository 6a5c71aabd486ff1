"""``clova-ocr review RUN``."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import KEY_FILE, RUN

if TYPE_CHECKING:
    from clova_ocr_async.ledger.opening import RunLocation

__all__ = ["command"]


@click.command("review")
@RUN
@click.option("--open", "open_page", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--unmasked",
    is_flag=True,
    help="Show resident, alien, passport, licence and card numbers, and let them be corrected.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="The port; 0 for a free one.")
@click.option("--as", "name", metavar="NAME", help="The name that corrections carry.  [default: the user's]")
@KEY_FILE
@verb
def command(
    *, run: RunLocation, open_page: bool, unmasked: bool, port: int, name: str | None, key_file: str | None
) -> int:
    """Correct what was read from the images of a run, in a browser on this machine.

    RUN is a run directory, or postgresql://user@host/db?run=NAME; the pictures must be on this machine. The command
    prints the address of a page and serves it until Ctrl-C. The page leads from one doubtful value to the next, with
    the place on the picture beside it. A value can be corrected or confirmed, a document marked as done, and each of
    these undone. Every change is on the disk before the page shows it as saved, with the name of the person.

    The answers stay as they are: clova-ocr export writes corrected values in columns of their own. Masked numbers
    cannot be corrected unless --unmasked is given. The command needs no credentials and no calls to the service, and
    works while a batch or another review is at work on the run; images that are read later are shown by the next
    review.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.review_serving import ReviewSettings, reviewer_name, serve_review
    from clova_ocr_async.cli.terminal.stderr import echo_stderr
    from clova_ocr_async.ledger.seal import load_seal

    settings = ReviewSettings(
        run=run,
        by=reviewer_name(name),
        masked=not unmasked,
        port=port,
        open_page=open_page,
        key_file=key_file,
        environment=os.environ,
    )
    if unmasked:
        echo_stderr("the page shows resident, alien, passport, licence and card numbers", even_when_quiet=True)
    asyncio.run(serve_review(settings, load_seal(key_file, os.environ)))
    return exit_code()
