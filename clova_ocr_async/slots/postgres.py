"""Slots for the calls of all processes that use the same PostgreSQL database."""

from __future__ import annotations

from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.server_url import POSTGRES, ServerURL, parse_server_url
from clova_ocr_async.slots.interface import checked_limits
from clova_ocr_async.slots.shared import ServerSlots
from clova_ocr_async.slots.sharing.postgres_store import PostgresGateStore
from clova_ocr_async.slots.sharing.state import Limits

__all__ = ["PostgresSlots"]


class PostgresSlots(ServerSlots):
    """Slots for the calls of all processes, on any host, that use the same PostgreSQL database.

    One object may serve several clients of an event loop. It needs no closing. It keeps what was learned of each domain
    in the table ``public.clova_slots``, under a hash of its invoke URL, and the processes that call; no secret, and
    nothing of the images. The table is created at its first use, if the user may do that; else the user needs the
    rights to SELECT, INSERT and UPDATE.

    While the database is away, each process goes on with the slots that it had, and no new ones are granted. If it was
    never reached, which a wrong URL looks like, each call fails at once; ``check_server()`` shows that before the first
    call. The slots of a process that dies are free again within half a minute; for processes of the same host at once.

    Args:
        dsn: ``postgresql://user@host:port/database``, with libpq's options. For the password set ``PGPASSWORD``, or use
            ``~/.pgpass`` or a service file. PgBouncer may stand before the server. A ``run=`` in it is ignored, so that
            one URL serves for run and slots.
        concurrency: Calls at once per domain, if you know the limit; more are never tried. Where a domain has its own
            ``max_concurrency``, the lower one counts.
        max_per_second: Calls a second per domain at most; None for no bound. Where a domain has its own, the lower one
            counts.
        runtime: Time and randomness.

    Raises:
        ConfigurationError: ``concurrency`` is not a whole number from 1, ``max_per_second`` not a positive number, or
            ``dsn`` cannot be used. A call raises it if the server refuses this user, or was never reached or has
            never taken a change, as a replica does; in these cases the error is ``retryable``.
    """

    def __init__(
        self,
        dsn: str | ServerURL,
        *,
        concurrency: int | None = None,
        max_per_second: float | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        limits = Limits(*checked_limits(concurrency, max_per_second))
        server = parse_server_url(dsn, POSTGRES, "dsn")
        super().__init__(lambda: PostgresGateStore(server.url, server.password), limits, runtime)
