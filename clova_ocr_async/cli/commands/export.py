"""``clova-ocr export RUN``."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import KEY_FILE, PATH, RUN
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.cli.runs.table_export import Written
    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.storage import RunView
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["command"]

_FORMATS = ("jsonl", "csv", "xlsx", "parquet")


@click.command("export")
@RUN
@click.option(
    "--format",
    type=click.Choice(_FORMATS),
    default="jsonl",
    help="jsonl: one record per line; csv, xlsx, parquet: tables.  [default: jsonl]",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE|DIR/",
    help="A file, a device or a FIFO; for tables also a folder.  [default: -, standard output]",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--masked", is_flag=True, help="Hide resident, alien, passport, licence and card numbers.")
@click.option("--no-copies", is_flag=True, help="Leave out images that are copies of others.")
@click.option(
    "--headers", type=click.Choice(["en", "ko"]), default="en", help="The language of headings.  [default: en]"
)
@click.option("--excel", is_flag=True, help="Write CSV as Excel reads it: with a byte order mark and CRLF.")
@click.option(
    "--encoding",
    type=click.Choice(["utf-8", "cp949"]),
    default="utf-8",
    help="The encoding of CSV; cp949 is for older Korean programs.  [default: utf-8]",
)
@click.option("--no-guard", is_flag=True, help="Write texts of CSV that begin like formulas as they are, for programs.")
@click.option("--no-corrected", is_flag=True, help="Leave out what people corrected with clova-ocr review.")
@KEY_FILE
@verb
def command(*, run: RunLocation, key_file: str | None, **options: Any) -> int:
    """Write the results of a run, also for duplicates and for images that are not read yet.

    RUN is a run directory, or postgresql://user@host/db?run=NAME.

    jsonl has a record for every image, with all of its answer. csv, xlsx and parquet are tables: a row for each record,
    and for receipts a second table with a row for each line. clova-ocr schema DOCUMENT explains the columns. With DIR/
    each table is a file there; with FILE.csv the lines of receipts are in FILE_items.csv beside it. Where people have
    corrected values with clova-ocr review, a column x_corrected follows for each x, and the answers stay as they are.

    The command works while a batch is running. A file gets its name when it is complete; only you can read it.
    """
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.terminal.output_target import check_ending
    from clova_ocr_async.ledger.opening import open_view
    from clova_ocr_async.ledger.seal import load_seal

    _check(options)
    # A wrong key or ending is refused before the output is touched.
    seal = load_seal(key_file, os.environ)
    output = options["output"]
    if output is not None and not (options["format"] != "jsonl" and _is_folder(output)):
        check_ending(output, options["format"], _FORMATS)
    with open_view(run, seal) as reader:
        written = _written(reader, options)
        removed = reader.status().removed
    noun = "record" if options["format"] == "jsonl" else "row"
    if written.rows == 0:
        echo_stderr("the run holds no images", even_when_quiet=True)
    elif written.files:
        echo_stderr(f"{plural(written.rows, noun)} in {', '.join(shown_path(name) for name in written.files)}")
    if removed:
        without = plural(removed, "picture was read and has", "pictures were read and have")
        echo_stderr(f"{without} no stored answer (--store none, or a purge); such {noun}s have no values")
    if written.refused:
        why = "cannot be masked for certain, and shows no values"
        echo_stderr(plural(written.refused, f"record {why}", f"records {why}"), even_when_quiet=True)
    return exit_code(found=written.rows > 0, unread=written.refused > 0)


# With their defaults, since an option that was not given is not refused.
_FOR_TABLES = {"headers": "en", "excel": False, "encoding": "utf-8", "no_guard": False}


def _check(options: dict[str, Any]) -> None:
    """Refuse options that the format does not have.

    Raises:
        ConfigurationError: An option would do nothing.
    """
    from clova_ocr_async.errors import ConfigurationError

    given = [name for name, default in _FOR_TABLES.items() if options[name] != default]
    kept = {"csv": set(_FOR_TABLES), "xlsx": {"headers"}}.get(options["format"], set())
    if wrong := [name for name in given if name not in kept]:
        formats = "--format csv or xlsx" if wrong[0] == "headers" else "--format csv"
        raise ConfigurationError(f"--{wrong[0].replace('_', '-')} is for {formats}")
    if options["excel"] and options["encoding"] != "utf-8":
        raise ConfigurationError("--excel writes UTF-8 with a byte order mark; give it or --encoding cp949")


def _is_folder(output: str) -> bool:
    return output.endswith(os.sep) or os.path.isdir(output)  # noqa: PTH112 - Path would drop a slash at the end


def _written(reader: RunView, options: dict[str, Any]) -> Written:
    from clova_ocr_async.cli.runs.table_export import TableOptions, Written, write_tables
    from clova_ocr_async.cli.terminal.output import OutputError, whole_output
    from clova_ocr_async.cli.terminal.output_target import STANDARD

    policy: Policy | None = "standard" if options["masked"] else None
    copies, corrected, output = not options["no_copies"], not options["no_corrected"], options["output"]
    try:
        if options["format"] == "jsonl":
            with whole_output(output, force=options["force"]) as write:
                rows, refused = _write_records(reader, write, policy, copies=copies, corrected=corrected)
            return Written(rows, refused, () if output in {None, STANDARD} else (output,))
        return write_tables(
            reader,
            TableOptions(
                format=options["format"],
                output=output,
                force=options["force"],
                policy=policy,
                copies=copies,
                korean=options["headers"] == "ko",
                excel=options["excel"],
                encoding=options["encoding"],
                guard=not options["no_guard"],
                corrections=corrected,
            ),
        )
    except OutputError as error:
        if error.reader_gone:  # a reader such as head that has enough is not an error
            raise BrokenPipeError(errno.EPIPE, str(error)) from None
        raise
    except ModuleNotFoundError as error:
        from clova_ocr_async.errors import ConfigurationError

        raise ConfigurationError(
            f"--format {options['format']} needs {error.name}: pip install 'clova-ocr-async[tables]'"
        ) from None


def _write_records(
    reader: RunView, write: Callable[[bytes], object], policy: Policy | None, *, copies: bool, corrected: bool
) -> tuple[int, int]:
    from clova_ocr_async.cli.terminal.shell_hints import record_for_shell
    from clova_ocr_async.results.corrections import reviews_of
    from clova_ocr_async.results.masked_records import masked_record
    from clova_ocr_async.results.records import encode_record, record_of

    count = refused = 0
    with reader.snapshot():
        reviews = reviews_of(reader.corrections()) if corrected else {}
        # One by one: a run may have a million records, each with all of its answer.
        for found in reader.records():
            if found.copy_of is not None and not copies:
                continue
            record = record_for_shell(record_of(found, reviews))
            if policy is not None:
                record, certain = masked_record(record, policy)
                refused += not certain
            # Also if masking is not certain: such a record has no values; a missing one would look like a lost image.
            write(encode_record(record))
            count += 1
    return count, refused
