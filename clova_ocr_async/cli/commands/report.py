"""``clova-ocr report RUN``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import KEY_FILE, KRW, PATH, RUN

if TYPE_CHECKING:
    from decimal import Decimal

    from clova_ocr_async.ledger.opening import RunLocation

__all__ = ["command"]

_MASKED, _UNMASKED = "report.html", "report-unmasked.html"


@click.command("report")
@RUN
@click.option("-o", "--output", type=PATH, metavar="FILE", help=f"The page.  [default: {_MASKED}, or {_UNMASKED}]")
@click.option("--force", is_flag=True, help="Replace a page that exists, and the pictures beside it.")
@click.option("--unmasked", is_flag=True, help="Show resident, alien, passport, licence and card numbers.")
@click.option("--price", type=KRW, metavar="KRW", help="The price of a call on your plan; costs are then shown.")
@click.option(
    "--pictures",
    type=click.Choice(["copy", "link", "none"]),
    help="Pictures in full size in a folder beside the page: copies, links to the originals, or none.  "
    "[default: in the page for 200 images or less, else copies]",
)
@click.option(
    "--embed-limit",
    type=click.IntRange(min=0),
    default=10_000,
    metavar="N",
    help="Most documents with a thumbnail in the page.  [default: 10000, and 60 MB]",
)
@KEY_FILE
@verb
def command(*, run: RunLocation, output: str | None, unmasked: bool, price: Decimal | None, **options: Any) -> int:
    """Write a page that shows a run: what it cost, what failed and why, every value and its place.

    RUN is a run directory, or postgresql://user@host/db?run=NAME; the pictures must be on this machine. The page opens
    from disk in a browser, without a network. It lists all images with search and filters, shows each with its picture
    and a box around every value, and leads to the values that a person should look at. Failures are grouped by cause,
    with the command that sends their images again.

    Numbers are masked, on pictures too, unless --unmasked is given; pictures that were sent and not read are shown only
    then, and those that were not sent are never opened. Masked is not anonymous: names, addresses, dates and
    photographs stay. The command works while a batch is running. The page appears when it is complete; only you can
    read it.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.report_writing import ReportFile, language_of, write_report_file
    from clova_ocr_async.cli.terminal.output_target import STANDARD, check_ending
    from clova_ocr_async.cli.terminal.stderr import echo_stderr
    from clova_ocr_async.errors import ConfigurationError
    from clova_ocr_async.host.plural import plural
    from clova_ocr_async.ledger.opening import open_view
    from clova_ocr_async.ledger.seal import load_seal
    from clova_ocr_async.protocol.echoed_input import shown_path

    if options["pictures"] == "link" and not unmasked:
        raise ConfigurationError("--pictures link shows the originals, which are not masked; give --unmasked as well")
    page = (_UNMASKED if unmasked else _MASKED) if output is None else output
    # A wrong key or ending is refused before the output is touched.
    seal = load_seal(options["key_file"], os.environ)
    check_ending(page, "html")
    file = ReportFile(
        run=run, output=page, masked=not unmasked, price=price, language=language_of(os.environ), **options
    )
    with open_view(run, seal) as reader:
        written = write_report_file(reader, file)
    if written.records == 0:
        echo_stderr("the run holds no images", even_when_quiet=True)
    if page != STANDARD:
        echo_stderr(f"{plural(written.records, 'image')} in {shown_path(page)}; open it in a browser")
    if written.refused:
        why = "cannot be masked for certain, and shows no values"
        echo_stderr(plural(written.refused, f"image {why}", f"images {why}"), even_when_quiet=True)
    return exit_code(found=written.records > 0, unread=written.refused > 0)
