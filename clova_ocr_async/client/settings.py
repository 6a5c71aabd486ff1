"""What a client can be given, checked once, with an error that names the argument."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast, get_args

from clova_ocr_async.client.domain import Domain
from clova_ocr_async.client.slots import DEFAULT_CONCURRENCY, LocalSlots, Slots
from clova_ocr_async.client.transport import AiohttpTransport, Transport
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.request import Content

if TYPE_CHECKING:
    import aiohttp

__all__ = ["checked_content", "checked_domains", "checked_seconds", "chosen_slots", "chosen_transport"]


def checked_domains(domains: tuple[object, ...]) -> tuple[Domain, ...]:
    """Return the domains, if that is what they are."""
    for domain in domains:
        if not isinstance(domain, Domain):
            raise ConfigurationError(f"domain is a {type(domain).__name__}; it must be a Domain(invoke_url, secret)")
    return cast("tuple[Domain, ...]", domains)


def checked_seconds(name: str, value: object) -> float:
    """Return a duration, if it is a positive, finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise ConfigurationError(f"{name} is {value!r}; it must be seconds, more than 0")
    return float(value)


def checked_content(content: object) -> Content:
    """Return the way images travel, if it is one."""
    if content not in get_args(Content):
        raise ConfigurationError(f"content is {content!r}; it must be one of {', '.join(get_args(Content))}")
    return cast("Content", content)


def chosen_slots(slots: Slots | None, concurrency: int | None) -> Slots:
    """Return the slots given, or local ones."""
    if slots is not None and concurrency is not None:
        raise ConfigurationError("slots and concurrency are both given; the slots have a limit of their own")
    return slots if slots is not None else LocalSlots(DEFAULT_CONCURRENCY if concurrency is None else concurrency)


def chosen_transport(
    transport: Transport | None,
    session: aiohttp.ClientSession | None,
    *,
    connect_timeout: float,
    read_timeout: float,
) -> Transport:
    """Return the transport given, or aiohttp with the session given, or with one of its own."""
    connect_timeout = checked_seconds("connect_timeout", connect_timeout)
    read_timeout = checked_seconds("read_timeout", read_timeout)
    if transport is not None and session is not None:
        raise ConfigurationError("transport and session are both given; a session is for aiohttp's transport")
    if transport is not None:
        return transport
    return AiohttpTransport(session, connect_timeout=connect_timeout, read_timeout=read_timeout)
