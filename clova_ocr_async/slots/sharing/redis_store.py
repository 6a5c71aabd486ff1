"""The Redis keys in which processes of several hosts share their slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.slots.sharing.server_store import ServerGateStore, one_line
from clova_ocr_async.slots.sharing.store import StoreAwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.server_url import Password
    from clova_ocr_async.slots.sharing.server_store import Change

__all__ = ["RedisGateStore"]

_TIMEOUT = 2.0  # seconds for a connection, and for an answer
_KEPT_FOR = 3600 * 1000  # milliseconds without a change; what was learned of the limit is out of date by then
_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
# Wrong settings, which no waiting helps. A cluster needs another client, as its keys lie on different servers.
_REFUSALS = (
    exceptions.AuthenticationError,
    exceptions.AuthorizationError,
    exceptions.NoPermissionError,
    exceptions.InvalidResponse,
    exceptions.MovedError,
)


class RedisGateStore(ServerGateStore):
    """One key a domain; a ``GateStore``.

    Args:
        url: The URL of the database, without a password.
        password: The password; None if the server asks for none.

    Raises:
        ConfigurationError: The URL has an option that does not exist.
    """

    def __init__(self, url: str, password: Password | None = None) -> None:
        super().__init__()
        self._place = url.partition("?")[0]
        self._password = password
        try:
            self._client: Any = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]  # options without types
                url,
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
                retry=Retry(NoBackoff(), 0),  # a swap that is sent twice would meet its own result
                protocol=2,
            )
            if password is not None:
                # Not as a keyword: some versions print those with the pool, as crash reporters do.
                given: dict[str, Any] = self._client.connection_pool.connection_kwargs
                user = given.pop("username", None)
                given["credential_provider"] = UsernamePasswordCredentialProvider(user, password.reveal())
            self._client.connection_pool.make_connection()  # connects to nothing, but looks at the options
        except (TypeError, ValueError, exceptions.RedisError) as error:
            reason = one_line(error, None if password is None else password.reveal())
        else:
            return
        raise ConfigurationError(f"{self._place} cannot be used: {reason}")

    def read(self, names: Sequence[str]) -> tuple[float, dict[str, bytes]]:
        """Return the server's time and the values of some domains; see ``ServerGateStore.read``."""
        requests = self._client.pipeline(transaction=False)
        for name in names:
            requests.get(_key(name))
        requests.time()  # last: no value that was read is newer
        *values, (seconds, microseconds) = self._run(requests)
        found = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        return seconds + microseconds / 1e6, found

    def swap(self, changes: Sequence[Change]) -> bool:
        """Replace the values of some domains; see ``ServerGateStore.swap``."""
        requests = self._client.pipeline(transaction=False)
        for name, old, new in changes:
            requests.eval(_SWAP, 1, _key(name), old, new, _KEPT_FOR)
        return all(self._run(requests))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _run(self, requests: Any) -> list[Any]:
        try:
            # Not raised by the library, which would repeat the request in the message.
            replies: list[Any] = requests.execute(raise_on_error=False)
            if failed := next((reply for reply in replies if isinstance(reply, Exception)), None):
                raise failed
        except (exceptions.RedisError, OSError) as error:
            reason = one_line(error, None if self._password is None else self._password.reveal())
            if isinstance(error, exceptions.AuthenticationError):
                reason = f"{reason}; check the user in the URL, and CLOVA_OCR_REDIS_PASSWORD"
            # Redis has no class of errors for the number of a database that it does not have.
            wrong = isinstance(error, _REFUSALS) or "DB index is out of range" in reason
            away = StoreAwayError(self._place, reason, permanent=wrong)
        else:
            return replies
        # Raised out here: the frames of the library hold the password.
        raise away


def _key(name: str) -> str:
    # In braces, so that a proxy or a cluster puts what belongs to one domain in one place.
    return f"clova-ocr:slots:{{{name}}}"
