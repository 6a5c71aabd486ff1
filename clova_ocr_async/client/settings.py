"""The arguments of a client, each checked once, with an error that names the argument."""

from __future__ import annotations

import enum
import functools
import inspect
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, cast, get_args

from clova_ocr_async.arguments import require_seconds
from clova_ocr_async.client.transport import AiohttpTransport, Transport
from clova_ocr_async.domains.domain import Domain
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown
from clova_ocr_async.protocol.request import Content
from clova_ocr_async.slots.local import LocalSlots

if TYPE_CHECKING:
    from collections.abc import Iterable

    import aiohttp

    from clova_ocr_async.client.hooks import Hook
    from clova_ocr_async.client.journal import Journal
    from clova_ocr_async.client.retry.policy import RetryPolicy
    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.pictures.preparation import Preparation
    from clova_ocr_async.protocol.image import ImageLimits
    from clova_ocr_async.slots.interface import Lane, Slots

__all__ = [
    "NOT_GIVEN",
    "ClientSettings",
    "NotGiven",
    "require_content",
    "require_deadline",
    "require_domains",
    "require_hooks",
    "require_instance",
    "require_journal",
    "require_lane",
    "resolve_slots",
    "resolve_transport",
]

KindT = TypeVar("KindT")


class NotGiven(enum.Enum):
    """The type of ``NOT_GIVEN``, the default of an argument whose None has a meaning."""

    # An enum and not an object(), since type checkers can narrow it.
    NOT_GIVEN = "as the client has it"

    def __repr__(self) -> str:
        return self.value


NOT_GIVEN = NotGiven.NOT_GIVEN


class ClientSettings(TypedDict, total=False):
    """The keyword arguments of ``ClovaOCRClient``, for type checkers."""

    concurrency: int | None
    deadline: float | None
    connect_timeout: float
    read_timeout: float
    max_queued: int | None
    keep_late_answers: float
    retry: RetryPolicy
    slots: Slots | None
    session: aiohttp.ClientSession | None
    hooks: Iterable[Hook]
    content: Content
    limits: ImageLimits
    prepare: Preparation | None
    transport: Transport | None
    runtime: Runtime


def require_domains(domains: tuple[object, ...]) -> tuple[Domain, ...]:
    """Return the domains of a client: each a Domain, and no domain twice."""
    for domain in domains:
        if not isinstance(domain, Domain):
            raise ConfigurationError(f"domain is a {type(domain).__name__}; it must be a Domain(invoke_url, secret)")
    checked = cast("tuple[Domain, ...]", domains)
    # Slots are counted by key, so a second entry would change nothing and hide a mistake.
    if len({domain.key for domain in checked}) < len(checked):
        raise ConfigurationError("the same domain is given twice, which gives it no more slots; give each domain once")
    return checked


def require_instance(name: str, value: object, kind: type[KindT]) -> KindT:
    """Return an argument if it is an instance of a class."""
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} is a {type(value).__name__}; it must be a {kind.__name__}")
    return value


def require_hooks(hooks: object) -> tuple[Hook, ...]:
    """Return the hooks if they are an iterable of plain functions."""
    if not hasattr(hooks, "__iter__"):
        raise ConfigurationError(f"hooks is a {type(hooks).__name__}; it must be an iterable of functions")
    checked = tuple(cast("Iterable[object]", hooks))
    for hook in checked:
        if not callable(hook):
            raise ConfigurationError(f"hooks holds a {type(hook).__name__}; it must be an iterable of functions")
        if (kind := _never_run(hook)) is not None:
            raise ConfigurationError(
                f"hooks holds {kind}, whose body a call does not run; make it a plain function, "
                "which may start a task: asyncio.get_running_loop().create_task(…)"
            )
    return cast("tuple[Hook, ...]", checked)


def _never_run(hook: Any) -> str | None:
    """Return the kind of a callable whose call only makes a coroutine or a generator; None for any other."""
    # A wrapped coroutine function is one as well.
    while isinstance(hook, functools.partial):
        hook = cast("functools.partial[object]", hook).func
    for called in (hook, getattr(cast("object", type(hook)), "__call__", None)):  # noqa: B004 - its code is what matters
        if inspect.iscoroutinefunction(called):
            return "an async function"
        if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
            return "a generator function"
    return None


def require_deadline(value: object) -> float | None:
    """Return a deadline if it is None or a positive, finite number of seconds."""
    return None if value is None else require_seconds("deadline", value)


def require_content(content: object) -> Content:
    """Return the way in which images travel, if the client has it."""
    if content not in get_args(Content):
        raise ConfigurationError(f"content is {shown(content)}; it must be one of {', '.join(get_args(Content))}")
    return cast("Content", content)


def require_lane(lane: object) -> Lane:
    """Return the lane of a call, if there is such a lane."""
    if lane not in ("interactive", "batch"):  # not by get_args: every call passes here
        raise ConfigurationError(f"lane is {shown(lane)}; it must be interactive or batch")
    return lane


def require_journal(journal: Journal) -> Journal:
    """Return the journal of a call, if it has the methods of one."""
    # By its methods, since users bring journals of their own.
    if not all(hasattr(journal, name) for name in ("sending", "answered", "unanswered", "finished")):
        raise ConfigurationError(f"journal is a {type(journal).__name__}; it must have the methods of Journal")
    return journal


def resolve_slots(slots: Slots | None, concurrency: int | None, runtime: Runtime) -> Slots:
    """Return the given slots, or local ones."""
    if slots is not None and concurrency is not None:
        raise ConfigurationError(
            "slots and concurrency are both given; the slots have their own limit, so leave out concurrency"
        )
    # By its methods, since users bring slots of their own.
    if slots is not None and not (hasattr(slots, "slot") and hasattr(slots, "state")):
        raise ConfigurationError(f"slots is a {type(slots).__name__}; it must have the methods of Slots")
    return slots if slots is not None else LocalSlots(concurrency, runtime=runtime)


def resolve_transport(
    transport: Transport | None,
    session: aiohttp.ClientSession | None,
    *,
    connect_timeout: float,
    read_timeout: float,
) -> Transport:
    """Return the given transport, or aiohttp with the given session or one of its own."""
    # Checked even if another transport does not use them, so that a mistake shows at once.
    connect_timeout = require_seconds("connect_timeout", connect_timeout)
    read_timeout = require_seconds("read_timeout", read_timeout)
    if transport is not None and session is not None:
        raise ConfigurationError(
            "transport and session are both given; a session is for aiohttp's transport, so leave out one of them"
        )
    if transport is None:
        transport = AiohttpTransport(session)
    if isinstance(transport, AiohttpTransport):
        transport.use_timeouts(connect_timeout, read_timeout)
    return transport
