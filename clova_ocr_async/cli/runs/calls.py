"""The calls of a command: by which settings they are made, and how they end."""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

from clova_ocr_async.cli.options import common
from clova_ocr_async.cli.terminal.stderr import say
from clova_ocr_async.client import AiohttpTransport, RetryPolicy
from clova_ocr_async.client.hooks import AttemptFinished, AttemptStarted, CallFinished
from clova_ocr_async.errors import Billing, ConfigurationError
from clova_ocr_async.slots import LocalSlots, SharedSlots
from clova_ocr_async.slots.sharing.sqlite_store import default_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.client.hooks import Event
    from clova_ocr_async.slots import Slots

__all__ = ["FOR_BATCHES", "FOR_PEOPLE", "CallCounter", "log_attempt", "shared_slots", "transport"]

logger = logging.getLogger("clova_ocr_async")


FOR_PEOPLE = RetryPolicy(outage_patience=0.0, connect_patience=2.0)
"""Somebody waits for these images at a terminal: a service that does not answer is told at once."""

FOR_BATCHES = RetryPolicy(connect_patience=5.0)
"""A batch waits for a service that has answered before; a host that nobody can reach at all is a mistake in a name."""


def transport() -> AiohttpTransport:
    """Return what sends the requests of the command that runs: by its --proxy, trusting its --ca-file.

    Raises:
        ConfigurationError: --ca-file cannot be used.
    """
    given = common()
    return AiohttpTransport(proxy=given.proxy, tls=None if given.ca_file is None else _trusting(given.ca_file))


def _trusting(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError:
        raise ConfigurationError(f"--ca-file {ca_file}: it holds no certificate in PEM form") from None
    except OSError as error:
        raise ConfigurationError(f"--ca-file {ca_file}: {error.strerror}") from None
    return context


def shared_slots(
    concurrency: int | None = None,
    max_per_second: float | None = None,
    find: Callable[[], Path] = default_path,
) -> Slots:
    """Return slots that all processes of the user share; where nobody knows a place for that, slots of this one's own.

    Args:
        concurrency: Calls at once per domain; None to learn it.
        max_per_second: Calls a second per domain, at most.
        find: Returns the file of the shared slots.
    """
    try:
        path = find()
    except ConfigurationError as error:
        say(f"{error}; until then the calls of other processes are not counted")
        return LocalSlots(concurrency, max_per_second=max_per_second)
    return SharedSlots(path, concurrency=concurrency, max_per_second=max_per_second)


class CallCounter:
    """Counts the calls of a client; its ``note`` is one of the client's hooks.

    Attributes:
        billed: Calls that were paid.
        perhaps: Requests that may have been paid, and nobody knows.
        under_way: Requests whose answer is awaited.
    """

    def __init__(self) -> None:
        self.billed = 0
        self.perhaps = 0
        self.under_way = 0

    def note(self, event: Event) -> None:
        """Count what an event tells."""
        if isinstance(event, AttemptStarted):
            self.under_way += 1
        elif isinstance(event, AttemptFinished):
            self.under_way -= 1
            self.perhaps += event.billing is Billing.MAYBE_BILLED
            log_attempt(event)
        elif isinstance(event, CallFinished):
            self.billed += event.billing is Billing.BILLED


def log_attempt(event: AttemptFinished) -> None:
    """Log how a request ended."""
    ended = "read" if event.error is None else repr(event.error)
    attempt = event.attempt
    logger.debug("call %s, request %d: %.2f s, %s", attempt.request_id, attempt.number, event.elapsed, ended)
