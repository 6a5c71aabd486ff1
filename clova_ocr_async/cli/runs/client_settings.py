"""Client of a command: its domains, retry policy, slots and transport."""

from __future__ import annotations

import importlib
import os
import ssl
from typing import TYPE_CHECKING, Any

from clova_ocr_async.arguments import NOT_A_PROXY, is_proxy_url
from clova_ocr_async.cli.options import common
from clova_ocr_async.cli.terminal.stderr import echo_lines, echo_stderr
from clova_ocr_async.client import AiohttpTransport, ClovaOCRClient, RetryPolicy
from clova_ocr_async.config_values import env_path, env_value
from clova_ocr_async.domains.environment import configured_domains
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.protocol.image import ImageLimits
from clova_ocr_async.server_url import POSTGRES, REDIS, ServerURL, read_server_url
from clova_ocr_async.slots import LocalSlots, SharedSlots
from clova_ocr_async.slots.sharing.sqlite_store import default_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.slots import Slots
    from clova_ocr_async.slots.shared import ServerSlots

__all__ = ["FOR_PEOPLE", "batch_client", "image_limits", "make_client", "preparation", "shared_slots", "transport"]

_PROXY, _CA_FILE, _SLOTS = "CLOVA_OCR_PROXY", "CLOVA_OCR_CA_FILE", "CLOVA_OCR_SLOTS"

FOR_PEOPLE = RetryPolicy(outage_patience=0.0, connect_patience=2.0)
"""For a few images at a terminal: a service that does not answer is an error at once."""

# It waits for a service that has answered before. A host that was never reached is a wrong name.
_FOR_BATCHES = RetryPolicy(connect_patience=5.0)


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


def batch_client(options: Mapping[str, Any], calls: CallCounter) -> ClovaOCRClient:
    """Return the client of a command that reads many images, by its options; raises as ``make_client`` does."""
    return make_client(
        options["config"],
        calls,
        slots=shared_slots(options["concurrency"], options["max_per_second"], server=options["slots"]),
        retry=_FOR_BATCHES,
        limits=image_limits(options),
        prepare=preparation(options),
    )


def image_limits(options: Mapping[str, Any]) -> ImageLimits:
    """Return the limits of images that the options of a command ask for."""
    return ImageLimits(allow_truncated=options["allow_truncated"])


def preparation(options: Mapping[str, Any]) -> Preparation | None:
    """Return the preparation that --prepare and --render ask for; None without them."""
    return Preparation(render=options["render"]) if options["prepare"] or options["render"] else None


def transport() -> AiohttpTransport:
    """Return the transport of the command that runs: it uses --proxy and trusts --ca-file, or their variables.

    HTTPS_PROXY and its like are not used: such a proxy is often set for other programs, and would see who calls.

    Raises:
        ConfigurationError: The proxy or the file of certificates cannot be used.
    """
    given = common()
    proxy = given.proxy or env_value(os.environ, _PROXY)
    if proxy and not is_proxy_url(proxy):
        raise ConfigurationError(f"{_PROXY}: {NOT_A_PROXY}")
    tls = None
    if given.ca_file is not None:
        tls = _trusting("--ca-file", given.ca_file)
    elif ca_file := env_path(os.environ, _CA_FILE):
        tls = _trusting(_CA_FILE, ca_file)
    return AiohttpTransport(proxy=proxy or None, tls=tls)


def _trusting(setting: str, ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()  # the machine's certificates stay trusted
    try:
        context.load_verify_locations(ca_file)
    except ssl.SSLError:
        raise ConfigurationError(f"{setting} {ca_file}: it holds no certificate in PEM form") from None
    except OSError as error:
        raise ConfigurationError(f"{setting} {ca_file}: {error.strerror}") from None
    return context


def shared_slots(
    concurrency: int | None = None,
    max_per_second: float | None = None,
    find: Callable[[], Path] = default_path,
    *,
    server: ServerURL | None = None,
) -> Slots:
    """Return slots that hosts share through a server, by --slots or its variable; else those of the user's processes.

    Without a server and without a place for the file that processes share, the slots are those of this process alone.

    Args:
        concurrency: Calls at once per domain; None to learn the limit.
        max_per_second: Most calls per second per domain.
        find: Returns the path of the shared file.
        server: The server; None for the one of the environment, if that names one.

    Raises:
        ConfigurationError: The variable holds no URL of a server, its extra is not installed, or the server cannot be
            used now.
    """
    if server is None and (text := env_value(os.environ, _SLOTS)):
        server = read_server_url(text, (*POSTGRES, *REDIS), _SLOTS)
        echo_lines(filter(None, [server.warning]))
    if server is not None:
        return _server_slots(server, concurrency, max_per_second)
    # A container without a home folder can still read images; it only shares its slots with no other process.
    try:
        path = find()
    except ConfigurationError as error:
        echo_stderr(f"{error}; until then the calls of other processes are not counted")
        return LocalSlots(concurrency, max_per_second=max_per_second)
    return SharedSlots(path, concurrency=concurrency, max_per_second=max_per_second)


def _server_slots(server: ServerURL, concurrency: int | None, max_per_second: float | None) -> Slots:
    name = "RedisSlots" if server.scheme in REDIS else "PostgresSlots"
    try:
        make: Callable[..., ServerSlots] = getattr(importlib.import_module("clova_ocr_async.slots"), name)
    except ModuleNotFoundError as error:  # the message names the command that installs the extra
        raise ConfigurationError(str(error)) from None
    slots = make(server, concurrency=concurrency, max_per_second=max_per_second)
    slots.check_server()  # before a run directory is made, a pipe is read or an image is sent
    return slots
