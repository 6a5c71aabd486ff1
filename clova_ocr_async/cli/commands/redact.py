"""``clova-ocr redact RUN``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import KEY_FILE, RUN, PathParam

if TYPE_CHECKING:
    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.storage import SourceRecord
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["command"]


@click.command("redact")
@RUN
@click.option("-o", "--output", type=PathParam(file_okay=False), required=True, metavar="DIR", help="The folder.")
@click.option(
    "--policy",
    type=click.Choice(["standard", "all"]),
    default="standard",
    help="How much of each number is hidden: the usual part, or all of it.  [default: standard]",
)
@click.option("--force", is_flag=True, help="Replace pictures that exist.")
@KEY_FILE
@verb
def command(*, run: RunLocation, output: str, policy: Policy, force: bool, key_file: str | None) -> int:
    """Write masked copies of the pictures of a run.

    RUN is a run directory, or postgresql://user@host/db?run=NAME; the pictures must be on this machine. Resident,
    alien, passport, licence and card numbers are black, and the copies hold nothing but pixels: no EXIF, no comments,
    no thumbnails. A PDF or TIFF becomes a PNG. A picture that cannot be masked for certain is named with the reason,
    and has no copy; the exit code is then 1.

    Masked is not anonymous: names, addresses, dates and photographs stay.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.picture_copies import write_copies
    from clova_ocr_async.documents import DOCUMENTS
    from clova_ocr_async.ledger.opening import open_view
    from clova_ocr_async.ledger.seal import load_seal
    from clova_ocr_async.results.corrections import answer_texts, reviews_of
    from clova_ocr_async.results.picture_redaction import redact_image
    from clova_ocr_async.results.redaction import Masking, answer_of

    def shown_name(text: str, record: SourceRecord, recognition: Recognition[Any] | None) -> str:
        # The name of a file may repeat a number of its picture, also as a person corrected it.
        review = None if record.entry is None else reviews.get(record.entry.item)
        corrected = [] if review is None else answer_texts(DOCUMENTS[record.document], review)
        return Masking(None if recognition is None else answer_of(recognition), policy, corrected).mask_text(text)

    with open_view(run, load_seal(key_file, os.environ)) as reader:
        reviews = reviews_of(reader.corrections())
        copies = write_copies(
            reader, output, lambda data, found: redact_image(data, found, policy), shown_name, force=force
        )
    return exit_code(found=copies.written + copies.failed > 0, unread=copies.failed > 0)
