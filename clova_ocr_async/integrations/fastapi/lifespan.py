"""The client of an app: opened and closed with it, and shared by all its requests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypedDict

# Not for types alone: FastAPI reads the annotations of a dependency.
from fastapi.requests import HTTPConnection  # noqa: TC002

from clova_ocr_async import ClovaOCRClient, ConfigurationError
from clova_ocr_async.integrations.client_factory import made_client, require_client_factory

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

__all__ = ["ClientState", "client_lifespan", "get_client"]


class ClientState(TypedDict):
    """The lifespan state that ``client_lifespan`` adds.

    Attributes:
        clova_ocr_client: The open client.
    """

    clova_ocr_client: ClovaOCRClient


def client_lifespan(
    make_client: Callable[[], ClovaOCRClient],
) -> Callable[[Any], AbstractAsyncContextManager[ClientState]]:
    """Return a lifespan for an app: it opens a client with the app, and closes it with the app.

    On shutdown the client waits for the requests in flight, at most a ``read_timeout``.

    Args:
        make_client: Returns a client that is not open yet, such as ``ClovaOCRClient.from_env``. It is called at each
            start of the app, in each worker process.

    Examples:
        >>> app = FastAPI(lifespan=client_lifespan(ClovaOCRClient.from_env))

        Together with a lifespan of your own:

        >>> @asynccontextmanager
        ... async def lifespan(app):
        ...     async with client_lifespan(ClovaOCRClient.from_env)(app) as state, make_database() as database:
        ...         yield {**state, "database": database}

    Raises:
        ConfigurationError: ``make_client`` is not a plain function.
    """
    require_client_factory(make_client)

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncGenerator[ClientState]:
        async with made_client(make_client) as client:
            yield {"clova_ocr_client": client}

    return lifespan


async def get_client(connection: HTTPConnection) -> ClovaOCRClient:
    """Return the app's client, for ``Depends(get_client)`` in handlers of your own.

    Raises:
        ConfigurationError: The app has no client.
    """
    client: ClovaOCRClient | None = getattr(connection.state, "clova_ocr_client", None)
    if client is None:
        raise ConfigurationError(
            "the app has no client: FastAPI(lifespan=client_lifespan(…)) opens one when the app starts, "
            "and a lifespan of your own must yield its state; that of a mounted app is never run, so the outermost app "
            "needs it, and a test client runs it inside its `with`"
        )
    return client
