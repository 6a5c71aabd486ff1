"""Read receipts that a Parquet file lists, on Ray, and write the outcomes as Parquet files.

The file has a column "path"; other columns stay beside the outcomes. What was paid is kept in a run directory, which
all workers of one machine share: the same command, given again, pays for nothing twice. Several machines need a run in
a database: --run 'postgresql://user@host/db?run=receipts'. The workers read the domain and its secret from their
environment.

Needs: pip install 'clova-ocr-async[ray]'

Run: CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… python examples/ray_folder.py paths.parquet outcomes/ --run run/
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import ray

from clova_ocr_async import ClovaOCRClient, Receipt, SharedSlots
from clova_ocr_async.integrations.ray import recognize


def make_client() -> ClovaOCRClient:
    """Make the client of a worker; all workers of a machine share the calls that the domain allows at once."""
    return ClovaOCRClient.from_env(slots=SharedSlots())


def main(paths: str, outcomes: str, run: str, workers: int) -> int:
    """Read the images; return how many have no result."""
    rows = recognize(
        ray.data.read_parquet(paths), Receipt, make_client=make_client, ledger=run, workers=workers
    ).materialize()  # so that the images are read once, and their rows are used twice
    rows.write_parquet(outcomes)
    counts = Counter(row["status"] for row in rows.iter_rows())
    print(*(f"{status} {count}" for status, count in sorted(counts.items())), sep=", ")
    return counts.total() - counts["succeeded"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read receipts that a Parquet file lists, on Ray.")
    parser.add_argument("paths", help="a Parquet file with a column path")
    parser.add_argument("outcomes", help="a folder for the Parquet files of outcomes")
    parser.add_argument("--run", default="run", help="a run directory, or the URL of a run; run/ if not given")
    parser.add_argument("--workers", type=int, default=2, help="processes that read images; 2 if not given")
    given = parser.parse_args()
    # Ray's dashboard runs the code of anybody who reaches it.
    ray.init(include_dashboard=False, _node_ip_address="127.0.0.1")
    sys.exit(1 if main(given.paths, given.outcomes, given.run, given.workers) else 0)
