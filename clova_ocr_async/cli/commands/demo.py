"""``clova-ocr demo``."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import PathParam
from clova_ocr_async.cli.terminal.stderr import echo_stderr, is_quiet
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from clova_ocr_async.documents import Document

__all__ = ["command"]

_NEXT = """
Nothing above was real. With an account of your own:

  export CLOVA_OCR_INVOKE_URL=https://….apigw.ntruss.com/custom/v1/…/document/receipt
  export CLOVA_OCR_SECRET=…
  clova-ocr doctor --probe                       asks the service, costs nothing
  clova-ocr recognize receipt receipt.jpg        one call
  clova-ocr batch receipt scans/ --run run/      a folder; repeat it to resume

Without one, in your own tests: pytest's fixture clova_emulator, or clova-ocr emulator.
"""


@click.command("demo")
@click.option(
    "--count", type=click.IntRange(min=1), default=60, show_default=True, help="How many sample documents to draw."
)
@click.option("--folder", type=PathParam(file_okay=False), help="Keep the sample documents in this folder.")
@verb
def command(*, count: int, folder: str | None) -> int:
    """Draw sample documents of all six types, read them from a local CLOVA, and show what was read.

    At the end there are a workbook of all results, a masked ID card, a picture with boxes, and a report to open in a
    browser. It needs no account and no network.
    """
    # The run is thrown away: a second demo begins anew, and its calls are counted from 0.
    with tempfile.TemporaryDirectory(prefix="clova-ocr-demo-") as temporary:
        samples = Path(temporary, "samples") if folder is None else Path(folder)
        return asyncio.run(_demo(samples, Path(temporary, "run"), count))


async def _demo(folder: Path, run: Path, count: int) -> int:
    from clova_ocr_async.batch import Failure
    from clova_ocr_async.cli.exit_codes import exit_code
    from clova_ocr_async.cli.runs.demo_results import write_demo_results
    from clova_ocr_async.cli.terminal.counts import Counts
    from clova_ocr_async.cli.terminal.demo_table import Reading, show_table
    from clova_ocr_async.cli.terminal.progress import shown_progress

    echo_stderr(f"drawing {plural(count, 'sample document')} in {shown_path(str(folder))}")
    paths = await asyncio.to_thread(_draw, folder, count)
    counts = Counts(total=count)
    readings: list[Reading] = []
    read: dict[Path, Any] = {}
    with shown_progress(quiet=is_quiet()) as progress:
        async for path, outcome in _read(paths, run):
            reading = Reading.of(path, outcome)
            readings.append(reading)
            read |= {} if isinstance(outcome, Failure) else {path: outcome.recognition}
            counts.add(
                "succeeded" if reading.right else "misread",
                billed=reading.billed is True,
                maybe_billed=reading.maybe_billed,
            )
            progress.update(counts)
    show_table(sorted(readings, key=lambda reading: reading.path))
    right = sum(reading.right for reading in readings)
    click.echo(
        f"{right} of {count} read, every text as it was drawn; {plural(counts.billed, 'call')}, {counts.rate:.1f}/s"
    )
    for title, place in (await asyncio.to_thread(write_demo_results, run, read)).items():
        click.echo(f"{title:<18} {place}")
    click.echo(_NEXT)
    return exit_code(unread=right < count)


def _draw(folder: Path, count: int) -> list[Path]:
    from clova_ocr_async.errors import ConfigurationError

    try:
        from clova_ocr_async.emulator.samples.sample import write_samples
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"drawing needs {error.name}: pip install 'clova-ocr-async[emulator]'") from None
    try:
        return write_samples(folder, count)
    except OSError as error:
        raise ConfigurationError(str(error)) from None


async def _read(paths: list[Path], run: Path) -> AsyncIterator[tuple[Path, Any]]:
    from clova_ocr_async.batch import BatchDispatcher
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.documents import DOCUMENTS
    from clova_ocr_async.domains import Domain
    from clova_ocr_async.emulator import Emulator

    # The name of the folder is the type.
    images: list[tuple[Any, type[Document]]] = [(path, DOCUMENTS[path.parent.name]) for path in paths]
    async with (
        Emulator(latency=0.2, sigma=0.5) as clova,
        ClovaOCRClient(Domain(clova.url(), clova.secret)) as client,
        BatchDispatcher(client, ledger=run).dispatch(images) as outcomes,
    ):
        async for outcome in outcomes:
            yield outcome.source, outcome
