"""The files that the demo leaves: what people make of results."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async.cli.runs.report_writing import ReportFile, language_of, write_report_file
from clova_ocr_async.cli.runs.table_export import TableOptions, write_tables
from clova_ocr_async.documents import IdCard, Receipt
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.ledger.opening import open_view
from clova_ocr_async.results.annotation import annotate
from clova_ocr_async.results.picture_redaction import redact_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from clova_ocr_async.documents import Recognition

__all__ = ["write_demo_results"]


def write_demo_results(run: Path, read: Mapping[Path, Recognition[Any]]) -> dict[str, str]:
    """Write a workbook, a masked ID card, a picture with boxes and a report to a new temporary folder, which stays.

    Args:
        run: The run directory.
        read: The recognitions by their samples.

    Returns:
        Where each is, by its title; the command that installs what is missing in place of a file.
    """
    # Not deleted at the end: the user opens the files when the command has ended.
    folder = Path(tempfile.mkdtemp(prefix="clova-ocr-demo-results-"))
    found = {"workbook": _workbook(run, folder / "demo.xlsx")}
    works: tuple[tuple[str, type[IdCard | Receipt], Callable[..., bytes]], ...] = (
        ("masked ID card", IdCard, redact_image),
        ("picture with boxes", Receipt, annotate),
    )
    for title, document, draw in works:
        sample = next((path for path, answer in sorted(read.items()) if isinstance(answer.document, document)), None)
        # With a small --count, not all documents are drawn.
        if sample is not None:
            found[title] = _picture(folder, title, draw, sample, read[sample])
    return found | {"report": _report(run, folder / "report.html")}


def _workbook(run: Path, place: Path) -> str:
    try:
        with open_view(run) as reader:
            write_tables(reader, TableOptions(format="xlsx", output=str(place)))
    except ModuleNotFoundError as error:
        return f"needs {error.name}: pip install 'clova-ocr-async[tables]'"
    return str(place)


def _report(run: Path, place: Path) -> str:
    try:
        with open_view(run) as reader:
            write_report_file(reader, ReportFile(run=str(run), output=str(place), language=language_of(os.environ)))
    except ConfigurationError as error:
        return str(error)
    return str(place)


def _picture(folder: Path, title: str, draw: Callable[..., bytes], sample: Path, recognition: Recognition[Any]) -> str:
    try:
        data = draw(sample, recognition)
    except ConfigurationError as error:
        return str(error)
    ending = "png" if data.startswith(b"\x89PNG") else "jpg"
    place = folder / f"{title.lower().replace(' ', '-')}.{ending}"
    place.write_bytes(data)
    return str(place)
