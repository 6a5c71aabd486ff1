"""How busy photos keep five slots: HEIC and JPEG photos of 12 million pixels that must be prepared, at 5 s a call.

In real time, against the emulator in a process of its own, on the cores of this machine; the real service takes none of
them. Half of the photos are HEIC, half are JPEGs that EXIF turns. *Busy* is the time that the calls take over the time
that five slots are there, from the start of the batch to its last outcome: so it also counts the first photo, for which
every slot waits. Beside the client stands what people write: a thread that converts with Pillow and pillow-heif, and
then the call, in as many workers as there are slots.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import multiprocessing
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frame import Row, alone, apart, figure, missing, unmeasured
from photos import QUICK, photo
from PIL import Image, ImageOps

from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Domain, Preparation, Receipt, Success
from clova_ocr_async.emulator import emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Generator
    from multiprocessing.connection import Connection

SLOTS, SECONDS, PHOTOS = 5, 5.0, 40
QUESTION = f"share of the time for which {SLOTS} slots are busy with 12 MP photos"


@contextmanager
def served(seconds: float) -> Generator[Domain]:
    """Run an emulator in a process of its own, whose calls take some seconds; give its domain."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, seconds), daemon=True)
    server.start()
    try:
        yield Domain(*here.recv())
    finally:
        here.send("done")
        server.join()


def _serve(there: Connection, seconds: float) -> None:
    with emulator_in_thread(latency=seconds, concurrency=SLOTS) as emulator:
        there.send((emulator.url(), emulator.secret))
        there.recv()


async def ours(domain: Domain, photos: list[str]) -> int:
    """Read photos with the client; return how many were read."""
    client = ClovaOCRClient(domain, prepare=Preparation(), concurrency=SLOTS)
    async with client, BatchDispatcher(client).dispatch(photos, Receipt) as outcomes:
        return sum([isinstance(outcome, Success) async for outcome in outcomes])


async def workers(domain: Domain, photos: list[str]) -> int:
    """Read photos with workers that convert a photo and send it, one after the other."""
    left = iter(photos)
    read = 0

    async def work(client: ClovaOCRClient) -> None:
        nonlocal read
        for path in left:
            await client.recognize(await asyncio.to_thread(converted, path), Receipt)
            read += 1

    async with ClovaOCRClient(domain, concurrency=SLOTS) as client, asyncio.TaskGroup() as group:
        for _ in range(SLOTS):
            group.create_task(work(client))
    return read


def converted(path: str) -> bytes:
    """Return a photo as an upright JPEG."""
    file = io.BytesIO()
    ImageOps.exif_transpose(Image.open(path)).convert("RGB").save(file, "JPEG", quality=Preparation().quality)
    return file.getvalue()


def busy(way: str, paths: list[str], seconds: float) -> float:
    """Return the share of the slots' time in which they were busy; in a process of its own."""
    heif: Any = importlib.import_module("pillow_heif")  # it may be missing
    heif.register_heif_opener()
    read: Any = {"ours": ours, "workers": workers}[way]
    with served(seconds) as domain:
        began = time.monotonic()
        done: int = asyncio.run(read(domain, paths))
        took = time.monotonic() - began
    if done != len(paths):
        raise RuntimeError(f"{len(paths) - done} photos were not read")
    return done * seconds / (SLOTS * took)


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    if why := missing("pillow_heif"):
        return [unmeasured(QUESTION, why, 0.95, at_least=True)]
    seconds, count, smaller = (0.1, 2 * SLOTS, QUICK) if quick else (SECONDS, PHOTOS, 1)
    with tempfile.TemporaryDirectory() as folder:
        files = {kind: Path(folder, f"photo.{kind.lower()}") for kind in ("HEIC", "JPEG")}
        for kind, path in files.items():
            path.write_bytes(photo(kind, smaller))
        paths = list(map(str, files.values())) * (count // len(files))
        shares = {way: apart(busy, way, paths, seconds) for way in ("ours", "workers")}
    note = f"{count} photos, {seconds:g} s a call"
    return [
        figure(QUESTION, [shares["ours"]], 0.95, at_least=True, note=note),
        figure("the same, with workers that convert a photo and then send it", [shares["workers"]], note=note),
    ]


if __name__ == "__main__":
    alone(rows)
