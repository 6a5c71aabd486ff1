"""``clova-ocr emulator``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import tempfile
from typing import TYPE_CHECKING, Any

import click

import clova_ocr_async as clova
from clova_ocr_async.cli.app import verb
from clova_ocr_async.cli.runs.graceful_stop import loop_signals
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.config_values import env_value
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["command"]


@click.command("emulator")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8089, show_default=True, help="The port; 0 for a free one."
)
# Five: the number in the one refusal of the service that was published.
@click.option(
    "--concurrency", type=click.IntRange(min=1), default=5, show_default=True, help="Most calls at once per domain."
)
@click.option("--quota", type=click.IntRange(min=0), help="Most calls per domain in all.  [default: any number]")
@click.option(
    "--latency",
    type=click.FloatRange(min=0),
    default=0.2,
    show_default=True,
    help="Mean duration of a call, in seconds.",
)
@click.option(
    "--sigma", type=click.FloatRange(min=0), default=0.5, show_default=True, help="Spread of the durations; 0 for none."
)
@click.option(
    "--document", "documents", multiple=True, help="A document that is deployed; may be repeated.  [default: all six]"
)
@click.option("--fault", "faults", multiple=True, help="The fault of the next call, or ok; may be repeated.")
@click.option("--seed", type=int, default=0, show_default=True, help="The seed of the durations.")
@click.option("--expose", is_flag=True, help="Accept connections from other machines, without encryption.")
@verb
def command(**settings: Any) -> int:
    """Run a local CLOVA until it is interrupted. It charges nothing and answers for any image.

    The command prints two lines that set the variables of clova-ocr in another shell. The secret is CLOVA_OCR_SECRET if
    it is set; the other shell then reads it from a private file. Otherwise the command makes up a secret.
    """
    return asyncio.run(_serve(settings))


async def _serve(settings: dict[str, Any]) -> int:
    # Not checked by click: the emulator knows the faults, and names them all where one does not exist.
    faults = [None if fault == "ok" else fault for fault in settings.pop("faults")]
    documents = settings.pop("documents") or tuple(clova.DOCUMENTS)
    if unknown := sorted(set(documents) - set(clova.DOCUMENTS)):
        raise clova.ConfigurationError(f"--document {shown(unknown[0])}: it is none of {', '.join(clova.DOCUMENTS)}")
    # The user's own, so that a program that is configured for the service needs another URL alone.
    secret = env_value(os.environ, "CLOVA_OCR_SECRET") or None
    server = clova.Emulator(secret=secret, documents=documents, faults=faults, **settings)
    try:
        await server.start()
    except OSError as error:
        where = f"{settings['host']}:{settings['port']}"
        raise clova.ConfigurationError(f"cannot listen at {where}: {error.strerror}") from None
    stop_requested = asyncio.Event()
    try:
        # The handler comes first: a script may send a signal as soon as it reads the lines.
        with loop_signals(stop_requested.set), _secret_export(secret, server.secret) as export:
            click.echo(f"export CLOVA_OCR_INVOKE_URL={shlex.quote(server.url())}")
            click.echo(export)
            echo_stderr("a local CLOVA listens; nothing here is real. Ctrl-C ends it")
            await stop_requested.wait()
    finally:
        await server.stop()
    calls = plural(server.billed.total(), "call")
    echo_stderr(f"{plural(server.requests, 'request')}, {calls} that would have been billed")
    return 0


@contextlib.contextmanager
def _secret_export(own: str | None, secret: str) -> Generator[str]:
    """Yield the line that gives another shell the secret; the user's own secret stays in a private file, unseen."""
    if not own:
        yield f"export CLOVA_OCR_SECRET={shlex.quote(secret)}"
        return
    with tempfile.NamedTemporaryFile("w", prefix="clova-ocr-", suffix=".secret") as file:  # only its owner can read it
        file.write(own)
        file.flush()
        yield f"export CLOVA_OCR_SECRET_FILE={shlex.quote(file.name)}"
