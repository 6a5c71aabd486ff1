"""The cost of a call: CPU of this client over aiohttp bare, aiohttp as it is usually written, and other libraries.

Bare is aiohttp with a body that was built before, its answer neither checked nor decoded. Ours builds the body, keeps
the deadline, the retries and the gate, and returns a typed receipt. Each answer repeats the requestId, as the service's
do. Sixteen calls are in flight.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import warnings
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import peers
from frame import (
    KIB,
    PICTURE,
    Effort,
    Row,
    alone,
    apart,
    apart_in_turn,
    compared,
    cpu_of_calls,
    effort,
    figure,
    in_turn_async,
    missing,
    picture,
    unmeasured,
)
from peers import Target
from sink import OWN_ANSWER, sink

from clova_ocr_async import Image, ImageLimits, Receipt, Recognition, RetryPolicy
from clova_ocr_async.client.deadline import Deadline, DeadlineTimer
from clova_ocr_async.client.journal import NULL_JOURNAL
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.client.retry.budget import RetryBudget
from clova_ocr_async.client.retry.call import Call
from clova_ocr_async.client.retry.loop import RetryLoop
from clova_ocr_async.host.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sink import Server

AT_ONCE = 16


@dataclass(frozen=True)
class Size:
    """A size of picture, and what is expected at it.

    Attributes:
        name: What it is called.
        size: Bytes.
        calls: Calls of a round.
        bare_goal: Our CPU over that of bare aiohttp: what checking, typing and safety may cost.
        json_goal: Our CPU over that of base64 in JSON.
    """

    name: str
    size: int
    calls: int
    bare_goal: float
    json_goal: float


# 1.8 was enough before a request could outlive its caller (a task for each) and calls were admitted by the time they
# have left; README.md has the parts.
SIZES = (
    Size("20 KiB", 20 * KIB, 200, 2.0, 0.5),
    Size("100 KiB", 100 * KIB, 120, 2.0, 0.3),
    Size("1 MiB", 1024 * KIB, 40, 1.25, 0.12),
)
PARTS = {
    "bare_decoded": "of that, bare aiohttp and typed decoding",
    "sent": "of that, sending a request built before",
    "answered": "of that, building, sending and decoding, with neither gate nor deadline nor retries",
}
"""Of peers.py: where the CPU of a call goes."""
CONTENDERS = ("bare", "ours", "hooked", "from_path", "form", "form_from_path", "base64_json", *PARTS)
OTHERS = {
    "httpx": ("httpx", "httpx", 0.15),
    "sample": ("requests", "the specification's sample (requests in threads, no session)", 0.25),
    "requests": ("requests", "requests in threads, one session", 0.25),
    "niquests": ("niquests", "niquests", None),
}
"""Of peers.py, by name: the package, what it is called here, our goal over it."""


async def measured(target: Target, names: Sequence[str], calls: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds of CPU of rounds of calls, by the contender's name."""
    async with AsyncExitStack() as stack:
        ready = {name: await stack.enter_async_context(getattr(peers, name)(target)) for name in names}
        return await in_turn_async({name: partial(go, calls) for name, go in ready.items()}, rounds)


def measure(target: Target, names: Sequence[str], calls: int, rounds: int) -> dict[str, list[float]]:
    """Run ``measured``, in a process of its own."""
    # A body over 1 MiB in one piece is what "bare" means, though aiohttp warns of it.
    warnings.simplefilter("ignore", ResourceWarning)
    return asyncio.run(measured(target, names, calls, rounds))


@contextmanager
def target_of(server: Server, size: int) -> Generator[Target]:
    """Make a picture for the contenders of a server, and have their processes trust its certificate."""
    certificate = None if server.certificate is None else str(server.certificate)
    if certificate:
        os.environ["SSL_CERT_FILE"] = certificate
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "demo.png"
        file.write_bytes(picture(size))
        yield Target(server.url, certificate, str(file), AT_ONCE)
    os.environ.pop("SSL_CERT_FILE", None)


def over_aiohttp(server: Server, size: Size, much: Effort) -> list[Row]:
    """Compare with aiohttp, bare and as it is usually written."""
    with target_of(server, size.size) as target:
        cpu = apart_in_turn(much, measure, target, CONTENDERS, size.calls)
    tls = server.certificate is not None
    where = f"{size.name}{', TLS' if tls else ''}"
    gain = (
        "a call from a path takes {percent} of the CPU of aiohttp with FormData, tenacity and json() from the same path"
    )
    goal = None if tls else 0.65
    form = "call over aiohttp with FormData, tenacity, json()"
    return [
        compared(
            f"call over bare aiohttp, {where}", cpu["ours"], cpu["bare"], size.bare_goal, note=_each(cpu, size.calls)
        ),
        *(compared(f"{what}, over bare aiohttp, {where}", cpu[name], cpu["bare"]) for name, what in PARTS.items()),
        compared(f"call, learning gate and two hooks, over bare aiohttp, {where}", cpu["hooked"], cpu["bare"], 2.1),
        compared(f"{form}, both from bytes, {where}", cpu["ours"], cpu["form"], goal),
        compared(
            f"{form}, both from a path, {where}",
            cpu["from_path"],
            cpu["form_from_path"],
            goal,
            gain=gain if where == SIZES[1].name else "",
        ),
        compared(
            f"call over aiohttp with json= and base64, {where}",
            cpu["ours"],
            cpu["base64_json"],
            None if tls else size.json_goal,  # encryption costs all of them the same
        ),
    ]


def _each(cpu: dict[str, list[float]], calls: int) -> str:
    """Return the CPU of one call, which depends on the machine."""
    mine, bare = (sorted(cpu[name])[len(cpu[name]) // 2] / calls * 1e6 for name in ("ours", "bare"))
    return f"{mine:.0f} µs over {bare:.0f} µs"


def over_others(server: Server, size: Size, much: Effort) -> list[Row]:
    """Compare with other libraries."""
    there = [name for name, (package, _, _) in OTHERS.items() if not missing(package)]
    with target_of(server, size.size) as target:
        cpu = apart_in_turn(much, measure, target, ("ours", *there), size.calls)
    return [_over(name, cpu, size) for name in OTHERS]


def _over(name: str, cpu: dict[str, list[float]], size: Size) -> Row:
    package, called, goal = OTHERS[name]
    question = f"call over {called}, {size.name}"
    if why := missing(package):
        return unmeasured(question, why, goal)
    return compared(question, cpu["ours"], cpu[name], goal)


def bottleneck(server: Server, rounds: int) -> Row:
    """Show that the server takes less CPU than the least client."""
    size, before = SIZES[0], server.counts()
    with target_of(server, size.size) as target:
        cpu = apart(measure, target, ("bare",), size.calls, rounds)
    after, calls = server.counts(), size.calls * (rounds + 1)
    assert after.requests - before.requests == calls  # noqa: S101 - else the sink does not read what is sent
    each = (after.cpu - before.cpu) / calls * size.calls
    shares = [each / one for one in cpu["bare"]]
    note = f"{server.kind}; below 1 the client is what is measured"
    return figure(f"CPU of the server over that of bare aiohttp, {size.name}", shares, note=note)


async def wrapped(rounds: int, times: int) -> list[float]:
    """Return microseconds that the retries add to a call that does not fail, in each round."""
    image = (await ImageLoader(ImageLimits()).load(Image(PICTURE))).image
    deadline = Deadline(None, asyncio.get_running_loop(), DeadlineTimer())
    call = Call(image, Receipt, (), "interactive", NULL_JOURNAL, "", deadline)
    answer = Recognition(document=Receipt())

    async def send(_: Call[Receipt]) -> Recognition[Receipt]:
        return answer

    retries = RetryLoop(send, RetryBudget(RetryPolicy().budget), Runtime(), ())

    costs = await in_turn_async(
        {
            "plain": lambda: cpu_of_calls(lambda: send(call), times, 1),
            "wrapped": lambda: cpu_of_calls(lambda: retries.run(call), times, 1),
        },
        rounds,
    )
    return [(more - less) / times * 1e6 for more, less in zip(costs["wrapped"], costs["plain"], strict=True)]


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    much = effort(6, quick=quick)
    with sink(answer=OWN_ANSWER) as plain, sink(tls=True, answer=OWN_ANSWER) as tls:
        found = [bottleneck(plain, much.rounds)]
        for server in (plain, tls):
            for size in SIZES:
                found += over_aiohttp(server, size, much)
        found += over_others(plain, SIZES[1], effort(4, quick=quick))
    added = asyncio.run(wrapped(2 if quick else 25, 20_000))
    return [*found, figure("what the retries add to a call that does not fail", added, 1.0, unit="µs")]


if __name__ == "__main__":
    alone(rows)
