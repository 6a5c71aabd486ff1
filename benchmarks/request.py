"""The cost of sending an image: building the request, bytes on the wire, memory, and how long the loop stands still.

Large images are sent by sixteen calls at once. *Memory* is what a process takes beyond the images it was given, one a
call in flight. *Stall* is the longest time that nothing else could run in the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
import warnings
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import peers
from frame import (
    KIB,
    MIB,
    Effort,
    Row,
    alone,
    apart,
    apart_in_turn,
    compared,
    cpu_of,
    effort,
    figure,
    forget_peak,
    in_turn,
    in_turn_async,
    peak_memory,
    picture,
)
from peers import fields_of_message
from sink import sink
from whole_call import AT_ONCE, target_of

from clova_ocr_async import ClovaOCRClient, Domain, Receipt
from clova_ocr_async.protocol.request import build_request

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from peers import Calls, Target
    from sink import Server

    from clova_ocr_async.protocol.request import Content

LARGE = 10 * MIB
SIZES = {"20 KiB": 20 * KIB, "300 KiB": 300 * KIB, "10 MiB": LARGE}
HOLD = 0.5  # seconds that nothing is read of an upload, so that all of them are in flight together
TICK = 0.0005  # seconds between two looks at the event loop
UPLOADS = {
    "ours": ("from bytes", 0, 1.0),
    "from_path": ("from paths", AT_ONCE, 1.0),
    "bare": ("bare aiohttp, bodies built before", 0, None),
    "form": ("aiohttp with FormData of an open file", 0, None),
    "base64_json": ("aiohttp with json= and base64", 0, None),
}
"""Of peers.py, by name: what they are called here, the images each holds while it runs, the goal."""


# ---------------------------------------------------------------------------------------------------------------------
# Building


def built(data: bytes, content: Content) -> int:
    """Build a request as a call does, and go through its pieces; return the bytes of its body."""
    request = build_request(
        url="http://localhost/document/receipt",
        secret="s",
        data=data,
        format="png",
        name="demo",
        request_id="00000000-0000-4000-8000-000000000000",
        timestamp=0,
        content=content,
    )
    return sum(len(chunk) for chunk in request.body.chunks())


def usual(data: bytes) -> bytes:
    """Build a body of JSON as it is usually written."""
    return json.dumps(fields_of_message(data=base64.b64encode(data).decode())).encode()


def building(rounds: int) -> list[Row]:
    """Compare the CPU of building requests."""
    found = list[Row]()
    for name, size in SIZES.items():
        data, often = picture(size), max(1, 20 * MIB // size // 2)
        work = {"multipart": partial(built, data, "multipart"), "json": partial(built, data, "json")}
        contenders = {key: partial(cpu_of, make, often) for key, make in work.items()}
        costs = in_turn({**contenders, "usual": partial(cpu_of, partial(usual, data), often)}, rounds)
        each = median(costs["multipart"]) / often * 1e6
        over = "over json.dumps of base64"
        found += [
            compared(f"building a request {over}, {name}", costs["multipart"], costs["usual"], note=f"{each:.0f} µs"),
            compared(f'building one with content="json" {over}, {name}', costs["json"], costs["usual"]),
        ]
    return found


async def sent(server: Server, data: bytes, content: Content) -> int:
    """Return the bytes that one call puts on the wire, the HTTP head too."""
    before = await asyncio.to_thread(server.counts)
    async with ClovaOCRClient(Domain(server.url, "s"), concurrency=1, content=content) as client:
        await client.recognize(data, Receipt)
    after = await asyncio.to_thread(server.counts)
    return after.received - before.received


def on_the_wire(server: Server) -> list[Row]:
    """Compare the bytes on the wire with those of the image."""
    data = picture(300 * KIB)
    found = list[Row]()
    contents: tuple[Content, ...] = ("multipart", "json")
    for content in contents:
        size = asyncio.run(sent(server, data, content))
        note = f"{size - len(data):,} bytes more than the image"
        found.append(figure(f"bytes on the wire over the image's, {content}, 300 KiB", [size / len(data)], note=note))
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Large images


def grown(target: Target, contender: str) -> float:
    """Return the MiB that uploads take beyond the image; in a process of its own."""
    warnings.simplefilter("ignore", ResourceWarning)  # aiohttp's, of bodies over 1 MiB in one piece

    async def run() -> float:
        async with getattr(peers, contender)(target) as go:
            before = forget_peak()
            await go(AT_ONCE)
            return peak_memory() - before

    return asyncio.run(run())


def memory(times: int) -> list[Row]:
    """Measure the memory that large uploads take."""
    found = list[Row]()
    with sink(hold=HOLD) as server, target_of(server, LARGE) as target:
        for contender, (called, held, goal) in UPLOADS.items():
            images = [apart(grown, target, contender) * MIB / LARGE - held for _ in range(times)]
            question = f"memory beyond the images, {AT_ONCE} uploads of 10 MiB at once, {called}"
            found.append(figure(question, images, goal, unit="images"))
    return found


async def stalled(work: Awaitable[object]) -> float:
    """Return the longest time, in seconds, that nothing else could run while something did."""
    longest, done = 0.0, asyncio.ensure_future(work)
    while not done.done():
        began = time.perf_counter()
        await asyncio.sleep(TICK)
        longest = max(longest, time.perf_counter() - began - TICK)
    await done
    return longest


async def both(target: Target, rounds: int) -> dict[str, list[float]]:
    """Return seconds of CPU of each round, by contender, and the longest stalls, by contender with "stall" before."""
    stalls: dict[str, list[float]] = {"stall ours": [], "stall bare": []}

    async def one(name: str, go: Calls) -> float:
        began = time.process_time()
        stalls[f"stall {name}"].append(await stalled(go(AT_ONCE)))
        return time.process_time() - began

    async with peers.ours(target) as ours, peers.bare(target) as bare:
        cpu = await in_turn_async({"ours": partial(one, "ours", ours), "bare": partial(one, "bare", bare)}, rounds)
    return {**cpu, **{name: found[1:] for name, found in stalls.items()}}


def loop(target: Target, rounds: int) -> dict[str, list[float]]:
    """Run ``both``, in a process of its own."""
    warnings.simplefilter("ignore", ResourceWarning)
    return asyncio.run(both(target, rounds))


def standing_still(server: Server, size: int, much: Effort) -> list[Row]:
    """Compare CPU and longest stall of large uploads with those of bare aiohttp."""
    with target_of(server, size) as target:
        costs = apart_in_turn(much, loop, target)
    tls = server.certificate is not None
    where = f"{AT_ONCE} uploads of {size // MIB} MiB at once{', TLS' if tls else ''}"
    ours, bare = (median(costs[f"stall {name}"]) * 1e3 for name in ("ours", "bare"))
    return [
        compared(f"CPU over bare aiohttp, {where}", costs["ours"], costs["bare"], 0.75 if tls else None),
        compared(
            f"longest stall of the event loop over bare aiohttp's, {where}",
            costs["stall ours"],
            costs["stall bare"],
            0.5 if tls else None,
            note=f"{ours:.0f} ms over {bare:.0f} ms",
            gain="uploads of large images over TLS hold up everything else for {percent} of the time"
            if tls and size < LARGE
            else "",
        ),
    ]


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    found = building(3 if quick else 25)
    with sink() as plain, sink(tls=True) as tls:
        found += on_the_wire(plain)
        found += memory(1 if quick else 5)
        for server in (plain, tls):
            for size in (2 * MIB, LARGE):
                found += standing_still(server, size, effort(6, quick=quick))
    return found


if __name__ == "__main__":
    alone(rows)
