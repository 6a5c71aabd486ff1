"""Slots for the calls of all processes that use the same Redis server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clova_ocr_async.config_values import env_path, env_value
from clova_ocr_async.domains.file import read_secret_file
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.server_url import REDIS, Password, ServerURL, parse_server_url
from clova_ocr_async.slots.interface import checked_limits
from clova_ocr_async.slots.shared import ServerSlots
from clova_ocr_async.slots.sharing.redis_store import RedisGateStore
from clova_ocr_async.slots.sharing.state import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RedisSlots", "password_from_env"]

_VARIABLE = "CLOVA_OCR_REDIS_PASSWORD"


class RedisSlots(ServerSlots):
    """Slots for the calls of all processes, on any host, that use the same Redis server.

    One object may serve several clients of an event loop. It needs no closing. It keeps what was learned of each domain
    in the keys ``clova-ocr:slots:*``, under a hash of its invoke URL, and the processes that call; no secret, and
    nothing of the images. A key that nothing changes is gone after an hour.

    While the server is away, each process goes on with the slots that it had, and no new ones are granted. If it was
    never reached, which a wrong URL looks like, each call fails at once; ``check_server()`` shows that before the first
    call. The slots of a process that dies are free again within half a minute; for processes of the same host at once.

    Args:
        url: ``redis://user@host:port/0``, or ``rediss://`` for TLS, with redis-py's options. For the password set
            ``CLOVA_OCR_REDIS_PASSWORD``, or ``CLOVA_OCR_REDIS_PASSWORD_FILE`` to the path of a file that holds it. A
            cluster cannot be used.
        concurrency: Calls at once per domain, if you know the limit; more are never tried. Where a domain has its own
            ``max_concurrency``, the lower one counts.
        max_per_second: Calls a second per domain at most; None for no bound. Where a domain has its own, the lower one
            counts.
        runtime: Time and randomness.

    Raises:
        ConfigurationError: ``concurrency`` is not a whole number from 1, ``max_per_second`` not a positive number,
            ``url`` cannot be used, or the file with the password cannot be read. A call raises it if the server refuses
            the password, or was never reached or has never taken a change, as a replica does; in these cases the error
            is ``retryable``.
    """

    def __init__(
        self,
        url: str | ServerURL,
        *,
        concurrency: int | None = None,
        max_per_second: float | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        limits = Limits(*checked_limits(concurrency, max_per_second))
        server = parse_server_url(url, REDIS, "url")
        password = server.password or password_from_env(os.environ)
        super().__init__(lambda: RedisGateStore(server.url, password), limits, runtime)


def password_from_env(environ: Mapping[str, str]) -> Password | None:
    """Return the password of Redis in the environment, or in the file that it names; None if there is none.

    Raises:
        ConfigurationError: A value cannot be one, or the file cannot be read; the message names the variable alone.
    """
    if password := env_value(environ, _VARIABLE):
        return Password(password)
    if not (path := env_path(environ, f"{_VARIABLE}_FILE")):
        return None
    try:
        return Password(read_secret_file(path))
    except ConfigurationError as error:
        raise ConfigurationError(f"{_VARIABLE}_FILE: {error}") from None
