"""``clova-ocr status RUN``."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.options import KRW, RUN
from clova_ocr_async.cli.terminal.stderr import echo_stderr, printable
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from decimal import Decimal

    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.run_status import RunStatus

__all__ = ["command"]


@click.command("status")
@RUN
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--price", type=KRW, metavar="KRW", help="The price of a call on your plan; costs are then printed.")
@verb
def command(*, run: RunLocation, as_json: bool, price: Decimal | None) -> int:
    """Show the counts and the cost of a run, without calls to the service; no key is needed.

    RUN is a run directory, or postgresql://user@host/db?run=NAME. The command works while a batch is running, and
    changes nothing in the run. Images whose call may have been paid and has no answer are listed by name. Where this
    machine keeps results that a database could not take, their files are listed: the next batch here stores them.
    """
    import msgspec

    status, ambiguous = _status_of(run)
    if as_json:
        counts = status.to_dict() | {"ambiguous": ambiguous}
        # Costs as numbers, as all other values: programs add them up.
        click.echo(msgspec.json.Encoder(decimal_format="number").encode(counts | {"cost": _cost(status, price)}))
        return 0
    for title, words in _lines(status, price).items():
        click.echo(f"{title:<10} {printable(words)}")
    for number, name in enumerate(ambiguous):
        click.echo(f"{'' if number else 'ambiguous':<10} {printable(name)}")
    return 0


def _status_of(run: RunLocation) -> tuple[RunStatus, list[str]]:
    """Return the status of a run, and the names of its ambiguous images; name what waits here if its server is away."""
    from clova_ocr_async.errors import LedgerError
    from clova_ocr_async.ledger.opening import open_view, waiting_files

    try:
        # Without the seal, so that a monitor needs no key; counts and names are not sealed.
        with open_view(run) as reader:
            return reader.status(), list(reader.ambiguous_names())
    except LedgerError as error:
        with suppress(LedgerError):  # a user without a home, who keeps none
            if error.resumable and (files := waiting_files(run)):
                echo_stderr(_waiting(tuple(map(str, files))), even_when_quiet=True)
        raise


def _cost(status: RunStatus, price: Decimal | None) -> dict[str, Decimal] | None:
    """Return what the calls cost, in KRW; None if the price is not known."""
    if price is None:
        return None
    # The worst case: a call in flight may be billed as well.
    maybe_billed = status.maybe_billed + status.in_flight
    return {"price": price, "billed": status.billed * price, "maybe_billed": maybe_billed * price}


def _lines(status: RunStatus, price: Decimal | None) -> dict[str, str]:
    from clova_ocr_async.cli.terminal.phrases import cost, format_counts

    different = sum(status.items.values())
    calls = {"billed": status.billed, "maybe billed": status.maybe_billed, "in flight": status.in_flight}
    return {
        "images": f"{status.total:,}: {format_counts(status.images)}",
        "different": f"{different:,} by bytes, page, document and preparation, of those read from the disk so far",
        "calls": f"{status.calls:,}: {format_counts(calls)}"
        f"{cost(price, status.billed, status.maybe_billed + status.in_flight)}",
        "call limit": "none"
        if status.max_calls is None
        else f"{plural(status.max_calls, 'call')} over the life of the run",
        "processes": f"{status.processes:,} at work",
        "answers": _answers(status),
        **({"reviewed": plural(status.corrections, "correction")} if status.corrections else {}),
        "service": ", ".join(status.services) or "none asked yet",
        **({"waiting": _waiting(status.overflow_files)} if status.overflow_files else {}),
        **({"moved to": f"{status.moved_to}, and is worked on there"} if status.moved_to else {}),
    }


def _waiting(files: tuple[str, ...]) -> str:
    holds = plural(len(files), "file of this machine holds", "files of this machine hold")
    return f"{holds} results that the next batch here stores: {', '.join(map(shown_path, files))}"


def _answers(status: RunStatus) -> str:
    if status.store == "none":
        return "not kept"
    sealed = "not sealed" if status.sealed is None else f"sealed ({status.sealed})"
    removed = f", {status.removed:,} not any more" if status.removed else ""
    return f"{status.answers:,} kept{removed}, {sealed}"
