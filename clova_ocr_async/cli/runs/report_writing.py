"""The report of a run as a file, with the folder of pictures beside it."""

from __future__ import annotations

import datetime as dt
import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clova_ocr_async.cli.terminal.output import OutputError, WholeOutputs
from clova_ocr_async.cli.terminal.output_folder import OutputFolder
from clova_ocr_async.cli.terminal.output_target import STANDARD, inspect_target
from clova_ocr_async.cli.terminal.phrases import quote_path, quote_run
from clova_ocr_async.cli.terminal.shell_hints import for_shell
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.extras import load_module
from clova_ocr_async.results.report.budget import MOST_DOCUMENTS
from clova_ocr_async.results.rows import name_in_table
from clova_ocr_async.server_url import ServerURL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from decimal import Decimal

    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.storage import RunView
    from clova_ocr_async.results.report.writer import ReportOptions, Written

__all__ = ["ReportFile", "language_of", "retry_command", "run_title", "write_report_file"]

Language = Literal["en", "ko"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """The options of a report that is written to a file.

    Attributes:
        run: The run, as it was given.
        output: The file, or "-" for standard output.
        force: Whether an existing page, and its folder, may be replaced.
        masked: Whether numbers are masked.
        price: KRW per call; None if it is not known.
        pictures: The place of pictures in full size; None for the one that fits the run.
        embed_limit: Most documents with a thumbnail in the page.
        key_file: The file of the key that opens the run, as it was given; None if none was.
        language: The language in which the page opens.
    """

    run: RunLocation
    output: str
    force: bool = False
    masked: bool = True
    price: Decimal | None = None
    pictures: Literal["copy", "link", "none"] | None = None
    embed_limit: int = MOST_DOCUMENTS
    key_file: str | None = None
    language: Language = "en"


def language_of(environment: Mapping[str, str]) -> Language:
    """Return the language of a user, by the variables that programs take it from."""
    names = (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    return "ko" if next(filter(None, names), "").startswith("ko") else "en"


def run_title(run: RunLocation) -> str:
    """Return the name of a run, as a page shows it: that of its directory, or the one that its URL names."""
    if isinstance(run, ServerURL):
        return str(run.run)
    return name_in_table(os.path.basename(os.path.abspath(run)))  # noqa: PTH100, PTH119 - Path("/") has no name


def write_report_file(view: RunView, file: ReportFile) -> Written:
    """Write the report of a run; the page and its folder appear when both are complete.

    Args:
        view: The open run.
        file: The options.

    Raises:
        ConfigurationError: The output cannot be written to, or the extra ``report`` is not installed.
        OutputError: The output cannot be written; existing files are unchanged.
    """
    writer = load_module("clova_ocr_async.results.report.writer", "a report", extra="report")
    beside = _folder_beside(file.output)
    pictures = file.pictures or writer.chosen_pictures(view.status().total, beside=beside is not None)
    if pictures in {"copy", "link"} and beside is None:
        raise ConfigurationError(f"--pictures {pictures} needs a folder beside the page; give a file, -o FILE")
    options = writer.ReportOptions(
        title=run_title(file.run),
        made_at=dt.datetime.now(tz=dt.UTC).astimezone(),
        policy="standard" if file.masked else None,
        language=file.language,
        price=file.price,
        pictures=pictures,
        embed_limit=file.embed_limit,
        words=for_shell,
        retry=partial(retry_command, file, view.other_base_folder(str(Path.cwd()))),
    )
    try:
        return _written(view, file, options, None if pictures not in {"copy", "link"} else beside, writer.write_report)
    except OSError as error:  # of a temporary file
        raise OutputError(file.output, error) from None


def _written(
    view: RunView, file: ReportFile, options: ReportOptions, beside: Path | None, write_report: Any
) -> Written:
    with ExitStack() as stack:
        # The folder is entered first, and so left last: it goes away again if the page cannot be published.
        folder = None if beside is None else stack.enter_context(OutputFolder(beside, force=file.force))
        with WholeOutputs() as outputs:
            write = outputs.open(file.output, force=file.force)
            if folder is not None:
                folder.begin(outputs.folder())
            written: Written = write_report(view, options, write, folder)
            if folder is not None:
                folder.publish()
    return written


def _folder_beside(output: str) -> Path | None:
    """Return the folder for the pictures of a page; None where there is no place beside it."""
    if output == STANDARD or (target := inspect_target(output)).direct:
        return None
    return target.path.with_name(f"{target.path.stem}_files")


def retry_command(file: ReportFile, start: str | None, documents: Collection[str], options: Sequence[str]) -> str:
    """Return the command that sends images of a run again.

    Args:
        file: The options of the report.
        start: The folder in which the relative paths of the run start; None if that is the current one.
        documents: The vendor's path words of the images.
        options: The options of the batch.
    """
    # auto reads what is left of all documents; with one alone, those of others are not sent again.
    word = next(iter(documents)) if len(documents) == 1 else "auto"
    run = file.run if start is None or isinstance(file.run, ServerURL) else Path(file.run).absolute()
    key = "" if file.key_file is None else f" --key-file {quote_path(_from(file.key_file, start))}"
    command = f"clova-ocr batch {word} --run {quote_run(run)} {' '.join(options)}{key}"
    return command if start is None else f"cd {quote_path(start)} && {command}"


def _from(path: str, start: str | None) -> str:
    return path if start is None else str(Path(path).absolute())
