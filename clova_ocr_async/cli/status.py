"""``clova-ocr status DIR``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import RUN
from clova_ocr_async.cli.telling import printable

if TYPE_CHECKING:
    from clova_ocr_async.batch.sqlite.run_reader import RunStatus

__all__ = ["command"]


@click.command("status")
@RUN
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@verb
def command(*, folder: str, as_json: bool) -> int:
    """Tell how far the run in DIR is, without network; no key is needed.

    It may be asked while a batch is at work. What ended without an answer and may have been paid is listed by name.
    """
    import msgspec

    from clova_ocr_async.batch.sqlite.run_reader import RunReader

    with RunReader(folder) as reader:
        status, doubtful = reader.status(), list(reader.doubtful())
    if as_json:
        told = asdict(status) | {"total": status.total, "billed": status.billed, "ambiguous": doubtful}
        click.echo(msgspec.json.encode(told))
        return 0
    for title, words in _lines(status).items():
        click.echo(f"{title:<10} {printable(words)}")
    for number, name in enumerate(doubtful):
        click.echo(f"{'' if number else 'in doubt':<10} {printable(name)}")
    return 0


def _lines(status: RunStatus) -> dict[str, str]:
    from clova_ocr_async.cli.wording import counted

    different = sum(status.items.values())
    sealed = "not sealed" if status.sealed is None else f"sealed ({status.sealed})"
    calls = {"billed": status.billed, "perhaps": status.perhaps, "under way": status.under_way}
    return {
        "images": f"{status.total:,}: {counted(status.images)}",
        "different": f"{different:,} by their bytes, of those read from the disk so far",
        "calls": f"{status.calls:,}: {counted(calls)}",
        "processes": f"{status.processes:,} at work",
        "answers": f"kept, {sealed}" if status.store == "full" else "not kept",
        "service": ", ".join(status.services) or "none asked yet",
    }
