"""Journals: notified before a request leaves, and of its answer before the caller sees it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from clova_ocr_async.host.tasks import run_to_completion

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from clova_ocr_async.errors import Billing
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["NULL_JOURNAL", "Attempt", "Journal", "NullJournal", "announce_sending", "withdraw_sending"]


class Attempt(msgspec.Struct, frozen=True):
    """One request of a call.

    Attributes:
        request_id: The call's requestId, the same for all its requests.
        number: 1 for the first request of the call.
        path_word: The document asked for ("receipt").
        domain: The invoke URL, its key masked.
        label: The label of the domain, for metrics.
    """

    request_id: str
    number: int
    path_word: str
    domain: str
    label: str = ""


class Journal(Protocol):
    """A record of one call's requests.

    A method that writes returns an awaitable, say as an ``async def``. It is awaited to its end, even if the call is
    cancelled meanwhile. A method that has nothing to write returns None, which costs the call no task.
    """

    def sending(self, attempt: Attempt) -> Awaitable[None] | None:
        """Record that a request is about to leave.

        Called when the slot is held and before the first byte. If it raises, nothing is sent.
        """
        ...

    def answered(self, attempt: Attempt, response: HTTPResponse) -> Awaitable[None] | None:
        """Keep an answer, whatever it holds. It is not decoded before this has ended, and it may have been billed."""
        ...

    def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> Awaitable[None] | None:
        """Record that a request ended without an answer, by an error or by cancellation.

        Args:
            attempt: The request.
            error: The error that ended it.
            body_began: Whether any of the image had begun to leave; if not, the request was certainly not billed.
        """
        ...

    def finished(self, billing: Billing, maybe_billed: int, raw: bytes) -> None:
        """Note that a request has ended, and that its answer is decoded, if the call was not cancelled before.

        Called once for each request that was not stopped in ``sending``. An exception of it is logged and not raised.

        Args:
            billing: The worst billing over the requests of the call so far.
            maybe_billed: Requests of the call so far of which it is unknown whether they were billed.
            raw: The answer to the request; empty if none arrived, or if it was not billed.
        """
        ...


class NullJournal:
    """A journal that keeps nothing."""

    def sending(self, attempt: Attempt) -> None:
        """Let the request leave."""

    def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        """Keep nothing."""

    def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:
        """Keep nothing."""

    def finished(self, billing: Billing, maybe_billed: int, raw: bytes) -> None:
        """Keep nothing."""


NULL_JOURNAL: Journal = NullJournal()  # the only one: calls without a journal are recognized by it


async def announce_sending(journal: Journal, attempt: Attempt) -> None:
    """Notify a journal that a request is about to leave; if the call is cancelled meanwhile, that it did not."""
    if (writing := journal.sending(attempt)) is None:
        return
    try:
        await run_to_completion(writing)
    except asyncio.CancelledError as error:
        await withdraw_sending(journal, attempt, error)
        raise


async def withdraw_sending(journal: Journal, attempt: Attempt, reason: BaseException) -> None:
    """Notify a journal that a request did not leave after all."""
    # The journal has recorded a request, and a reader of the journal would take it for billed.
    if (writing := journal.unanswered(attempt, reason, body_began=False)) is not None:
        await run_to_completion(writing)
