"""``clova-ocr export DIR``."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import KEY_FILE, PATH, RUN
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.ledger.seal import Seal

__all__ = ["command"]


@click.command("export")
@RUN
@click.option("--format", "_format", type=click.Choice(["jsonl"]), default="jsonl", help="jsonl: one record per line.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="A file, a device or a FIFO.  [default: -, standard output]",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@KEY_FILE
@verb
def command(*, folder: str, _format: str, output: str | None, force: bool, key_file: str | None) -> int:
    """Write a record for every image of the run in DIR, also for duplicates and for images that are not read yet.

    The command works while a batch is running. The output file gets its name when it is complete; only you can read it.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.terminal.output_target import STANDARD, check_ending
    from clova_ocr_async.ledger.seal import load_seal

    # A wrong key or ending is refused before the output is touched.
    seal = load_seal(key_file, os.environ)
    if output is not None:
        check_ending(output, _format)
    count = _export(folder, seal, output, force=force)
    if count == 0:
        echo_stderr("the run holds no images", even_when_quiet=True)
    elif output not in {None, STANDARD}:
        echo_stderr(f"{plural(count, 'record')} in {shown_path(str(output))}")
    return exit_code(found=count > 0)


def _export(folder: str, seal: Seal, output: str | None, *, force: bool) -> int:
    from clova_ocr_async.cli.terminal.output import OutputError, whole_output

    with whole_output(output, force=force) as write:
        try:
            return _write_records(folder, seal, write)
        except OutputError as error:
            if error.reader_gone:  # a reader such as head that has enough is not an error
                raise BrokenPipeError(errno.EPIPE, str(error)) from None
            raise


def _write_records(folder: str, seal: Seal, write: Callable[[bytes], object]) -> int:
    from clova_ocr_async.cli.terminal.shell_hints import record_for_shell
    from clova_ocr_async.ledger.sqlite.run_view import RunReader
    from clova_ocr_async.results.records import encode_record, record_of

    count = 0
    with RunReader(folder, seal) as reader:
        for record in reader.records():
            write(encode_record(record_for_shell(record_of(record))))
            count += 1
    return count
