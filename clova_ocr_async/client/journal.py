"""Who must know before a call is paid, and before its answer is shown."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Protocol

import msgspec

from clova_ocr_async.host.tasks import wait_shielded

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from clova_ocr_async.errors import Billing
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["NULL_JOURNAL", "Attempt", "Journal", "NullJournal", "announce_sending", "run_to_completion"]


class Attempt(msgspec.Struct, frozen=True):
    """One request of a call.

    Attributes:
        request_id: The call's requestId, the same over its attempts.
        number: 1 for the first request of the call.
        path_word: The document asked for ("receipt").
        domain: The invoke URL, its key masked.
    """

    request_id: str
    number: int
    path_word: str
    domain: str


class Journal(Protocol):
    """Kept beside one call; every method is awaited, so it may write to disk."""

    async def sending(self, attempt: Attempt) -> None:
        """Note that a request is about to leave.

        Awaited when the slot is held and before the first byte. If it raises, nothing is sent.
        """
        ...

    async def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        """Keep an answer, whatever it says. Awaited before anybody reads it; the body may have been paid for.

        It runs to its end also when the call is cancelled meanwhile.
        """
        ...

    async def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:
        """Note that a request ended without an answer, by an error or by cancellation.

        It runs to its end also when the call is cancelled meanwhile.

        Args:
            attempt: The request.
            error: What ended it.
            body_began: Whether any of the image had begun to leave; if not, the request was certainly not paid.
        """
        ...


class NullJournal:
    """Keeps nothing; the base of a journal with a say before a request leaves, which is only told when it landed."""

    async def sending(self, attempt: Attempt) -> None:
        """Let it leave."""

    def landed(self) -> None:
        """Know that the request has ended, and its answer is decoded; called instead of the two below."""

    def cut_off(self, billing: Billing, raw: bytes) -> None:
        """Note what is known of a call that was ended from outside.

        Args:
            billing: Whether its requests may have been paid.
            raw: The answer to the last one, if it has come and nobody has decoded it; else empty.
        """

    async def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        """Keep nothing."""

    async def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:
        """Keep nothing."""


NULL_JOURNAL: Journal = NullJournal()


async def announce_sending(journal: Journal, attempt: Attempt) -> None:
    """Tell a journal that a request is about to leave; if the call is cancelled meanwhile, that it did not."""
    if isinstance(journal, NullJournal):
        await journal.sending(attempt)
        return
    try:
        await run_to_completion(journal.sending(attempt))
    except asyncio.CancelledError as error:
        await run_to_completion(journal.unanswered(attempt, error, body_began=False))
        raise


async def run_to_completion(note: Awaitable[None]) -> None:
    """Await what a journal writes to its end, whoever cancels meanwhile; a future of its needs no task."""
    writing = asyncio.ensure_future(note)
    if writing.done():  # and needs no turn of the loop
        writing.result()
        return
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError as cancelled:
        await _ended_all_the_same(writing)
        # A failure of the journal is not lost behind the cancellation.
        raise cancelled from (None if writing.cancelled() else writing.exception())


async def _ended_all_the_same(writing: asyncio.Future[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):  # once more; the first one is raised
        await wait_shielded(writing)
