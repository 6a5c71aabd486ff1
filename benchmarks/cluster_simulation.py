"""The use of domains by 1 to 1,000 workers that share them through a store, and what that asks of it; simulated.

    python benchmarks/cluster_simulation.py --workers 1,10,100,1000 --domains 1,20,200 --seed 1

The slots are decided by the package's own code, in simulated time (see ``cluster_model``). The same arguments print the
same table, byte for byte, with each Python. ``--check FILE`` compares it with a file.

Assumed: Each domain takes so many calls at once and names that number in a refusal. Calls take a log-normal time. Each
worker is on a host of its own, so that nothing wakes it: it polls while an image waits. The work does not end. With
more workers than domains, each worker calls one domain, and else each domain has one worker. An operation of the store
takes an evenly distributed time, however many there are: compare the operations a second with those that a server does.
The slots are read, and swapped if they are to change and are still what was read; the swaps of one worker are one
operation. The ledger has one operation each for the claim, the mark that the image is sent, the answer and the
settlement. Each worker fails once an hour, and at least one of the cluster once a minute: in turns, one is killed and
is back on its host after 5 s, and one is stopped for up to a minute, which is two leases. A store that is away is not
simulated.

The columns: *used* is the share of the slots' time in which calls ran whose answers were kept. *Refused* are calls
answered with 0025, of all calls that were sent after the first 20 s, in which the limits are learned. *Operations a
call* are those that the store sees for an answer: for the slots, and for the ledger. *Conflicts a call* are swaps that
came too late, and were done again. *KiB a call* is what the slots' operations read and write. *Ambiguous* are the calls
in flight of killed workers. Every row is simulated until 3,000 calls are answered or 30,000 operations done; twice:
without failures and with them.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cluster_model import Cluster, Counts, simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEADS = (
    *("workers", "domains", "used", "refused", "operations a call: slots", "ledger", "conflicts a call", "KiB a call"),
    *("operations a second", "with failures: used", "refused", "failures", "killed", "ambiguous"),
)
KIB = 1024


def _cells(workers: int, domains: int, calm: Counts, failing: Counts) -> Iterator[str]:
    yield from (f"{workers:,}", f"{domains:,}", f"{calm.used:.1%}", _refused(calm))
    yield from (_per_call(calm, calm.slot_operations), _per_call(calm, calm.ledger_operations))
    yield from (_per_call(calm, calm.conflicts), _per_call(calm, calm.transferred / KIB))
    yield f"{(calm.slot_operations + calm.ledger_operations) / calm.seconds:,.0f}"
    yield from (f"{failing.used:.1%}", _refused(failing))
    yield from (f"{failing.failures:,}", f"{failing.kills:,}", f"{failing.ambiguous:,}")


def _refused(counts: Counts) -> str:
    return f"{counts.refused / max(1, counts.answered + counts.refused):.2%}"


def _per_call(counts: Counts, count: float) -> str:
    return f"{count / max(1, counts.answered):,.1f}"


def lines(workers: Sequence[int], domains: Sequence[int], seed: int, operations: int) -> Iterator[str]:
    """Return the table, line by line."""
    usual = Cluster(workers=1, domains=1, seed=seed, operations=operations)
    store = f"{usual.fastest * 1000:g} to {usual.slowest * 1000:g} ms"
    yield f"Seed {seed}; calls of {usual.call:g} s, {usual.ceiling} at once a domain; operations of {store}."
    yield ""
    yield f"| {' | '.join(HEADS)} |"
    yield "|" + "---:|" * len(HEADS)
    for workers_here in workers:
        for domains_here in domains:
            calm, failing = (
                simulate(
                    Cluster(workers=workers_here, domains=domains_here, seed=seed, operations=operations, fails=fails)
                )
                for fails in (False, True)
            )
            yield f"| {' | '.join(_cells(workers_here, domains_here, calm, failing))} |"


def _numbers(text: str) -> list[int]:
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 1:
        raise ValueError(text)
    return numbers


def main() -> int:
    """Print the table, or compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--workers", type=_numbers, default=[1, 10, 100, 1000], help="how many, with commas between")
    parser.add_argument("--domains", type=_numbers, default=[1, 20, 200], help="how many, with commas between")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=30_000, help="of the store, that are enough for a row")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare the table with this file; 1 if it differs")
    options = parser.parse_args()
    table: list[str] = []
    for line in lines(options.workers, options.domains, options.seed, options.operations):
        table.append(f"{line}\n")
        if options.check is None:
            print(line, flush=True)
    if options.check is None:
        return 0
    kept = options.check.read_text(encoding="utf-8").splitlines(keepends=True)
    difference = list(difflib.unified_diff(kept, table, str(options.check), "simulated now"))
    sys.stdout.writelines(difference)
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main())
