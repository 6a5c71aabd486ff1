"""Client of a command: its domains, retry policy, slots and transport."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING

from clova_ocr_async.cli.options import common
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.client import AiohttpTransport, ClovaOCRClient, RetryPolicy
from clova_ocr_async.domains.environment import configured_domains
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.slots import LocalSlots, SharedSlots
from clova_ocr_async.slots.sharing.sqlite_store import default_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.protocol.image import ImageLimits
    from clova_ocr_async.slots import Slots

__all__ = ["FOR_BATCHES", "FOR_PEOPLE", "make_client", "preparation", "shared_slots", "transport"]

FOR_PEOPLE = RetryPolicy(outage_patience=0.0, connect_patience=2.0)
"""For a few images at a terminal: a service that does not answer is an error at once."""

FOR_BATCHES = RetryPolicy(connect_patience=5.0)
"""For a batch: it waits for a service that has answered before. A host that was never reached is a wrong name."""


def make_client(
    config: str | None,
    calls: CallCounter,
    *,
    slots: Slots,
    retry: RetryPolicy,
    limits: ImageLimits,
    prepare: Preparation | None = None,
) -> ClovaOCRClient:
    """Return the client of the command that runs.

    Args:
        config: The file of domains that was given; None for the one of the environment, or the environment's domains.
        calls: Counts the client's calls.
        slots: Limit the calls at once.
        retry: The retry policy.
        limits: Limits of images, checked before they are sent.
        prepare: How pictures are prepared; None to send them as they are.

    Raises:
        ConfigurationError: No domain is configured, or --ca-file cannot be used.
    """
    domains = configured_domains(os.environ, config)
    return ClovaOCRClient(
        *domains, slots=slots, retry=retry, limits=limits, prepare=prepare, transport=transport(), hooks=[calls.note]
    )


def preparation(*, prepare: bool, render: bool) -> Preparation | None:
    """Return the preparation that --prepare and --render ask for; None without them."""
    return Preparation(render=render) if prepare or render else None


def transport() -> AiohttpTransport:
    """Return the transport of the command that runs: it uses --proxy and trusts --ca-file.

    Raises:
        ConfigurationError: --ca-file cannot be used.
    """
    given = common()
    return AiohttpTransport(proxy=given.proxy, tls=None if given.ca_file is None else _trusting(given.ca_file))


def _trusting(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()  # the machine's certificates stay trusted
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
    """Return slots that all processes of the user share; without a place for their file, slots of this process alone.

    Args:
        concurrency: Calls at once per domain; None to learn the limit.
        max_per_second: Most calls per second per domain.
        find: Returns the path of the shared file.
    """
    try:
        path = find()
    except ConfigurationError as error:
        echo_stderr(f"{error}; until then the calls of other processes are not counted")
        return LocalSlots(concurrency, max_per_second=max_per_second)
    return SharedSlots(path, concurrency=concurrency, max_per_second=max_per_second)
