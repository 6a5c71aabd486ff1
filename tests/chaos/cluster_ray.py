"""Ray for ``cluster.py``: reads the folder with four actors, and one picture in ten twice: ``cluster_ray.py SEED``.

The environment has the servers and the run, and the folder in which each actor leaves its pid.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from pathlib import Path

import ray

from clova_ocr_async import ClovaOCRClient, Receipt
from clova_ocr_async.integrations.ray import recognize


def make_client() -> ClovaOCRClient:
    """Make the client of an actor."""
    from clova_ocr_async.slots import PostgresSlots, RedisSlots  # noqa: PLC0415 - in the actor

    (Path(os.environ["CLUSTER_PIDS"]) / str(os.getpid())).touch()
    url = os.environ["CLUSTER_SLOTS"]
    slots = RedisSlots(url) if url.startswith("redis") else PostgresSlots(url)
    return ClovaOCRClient.from_env(slots=slots, deadline=20)


def main(draw: random.Random) -> None:
    """Read the folder."""
    paths = [str(path) for path in sorted(Path(os.environ["CLUSTER_FOLDER"]).iterdir())]
    paths += draw.sample(paths, len(paths) // 10)
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # a socket's path is short
        ray.init(
            num_cpus=4,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            log_to_driver=False,
        )
        dataset = ray.data.from_items([{"path": path} for path in paths])
        run = os.environ["CLUSTER_RUN"]
        rows = recognize(dataset, Receipt, make_client=make_client, ledger=run, workers=4).take_all()
        ray.shutdown()
        for path in Path(folder).rglob("logs/*"):
            if path.is_file():
                sys.stdout.buffer.write(path.read_bytes())
    if len(rows) != len(paths):
        sys.exit(f"{len(rows)} rows of {len(paths)}")


if __name__ == "__main__":
    main(random.Random(sys.argv[1]))  # noqa: S311 - which come twice
