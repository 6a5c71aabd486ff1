from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import JPEG, FakeTransport, domain

from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from clova_ocr_async.client import Event


async def asynchronous(*_: Any) -> None:
    """Never run."""


def generator(_: Event) -> Iterator[int]:
    """Never run."""
    yield 1


async def both(_: Event) -> AsyncIterator[int]:
    """Never run."""
    yield 1


class Asynchronous:
    """A callable whose call is asynchronous."""

    async def __call__(self, _: Event) -> None:
        """Never run."""

    async def method(self, _: Event) -> None:
        """Never run."""


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        (asynchronous, "an async function"),
        (functools.partial(asynchronous, 1), "an async function"),
        (functools.partial(functools.partial(Asynchronous()), 1), "an async function"),
        (Asynchronous(), "an async function"),
        (Asynchronous().method, "an async function"),
        (generator, "a generator function"),
        (both, "a generator function"),
    ],
)
def test_a_hook_that_would_never_run_is_refused(hook: Any, kind: str) -> None:
    """A coroutine or generator function, in whatever it is wrapped, is refused by name, with the way out."""
    with pytest.raises(ConfigurationError, match=rf"hooks holds {kind}.*make it a plain function"):
        ClovaOCRClient(domain(), hooks=[hook])


def wrapped(event: Event) -> Any:
    """Return a coroutine, which no signature shows."""
    return asynchronous(event)


async def test_a_coroutine_that_a_hook_returns_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that returns a coroutine without being async is logged, its coroutine closed, and the call goes on."""
    async with ClovaOCRClient(domain(), transport=FakeTransport(), hooks=[wrapped]) as client:
        await client.recognize(JPEG, Receipt)
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(failures) == 3  # of the request's beginning and end, and the call's
    assert all("a hook failed on" in record.message for record in failures)
    assert "the hook returned a coroutine" in str(failures[0].exc_info)


async def test_plain_callables_stay_hooks() -> None:
    """Bound methods and partials of them are called."""
    seen: list[Any] = []
    hooks: list[Any] = [seen.append, functools.partial(seen.append), functools.partial(functools.partial(seen.append))]
    async with ClovaOCRClient(domain(), transport=FakeTransport(), hooks=hooks) as client:
        await client.recognize(JPEG, Receipt)
    assert len(seen) == 9
