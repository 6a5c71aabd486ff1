"""Images of a Ray dataset (extra ``ray``): a column of paths in, columns of outcomes out.

    rows = recognize(
        ray.data.read_parquet("scans.parquet"),
        Receipt,
        make_client=lambda: ClovaOCRClient.from_env(slots=SharedSlots()),
        ledger="/srv/receipts/run",
    )

Ray runs a block of rows again when the process that had it has died. The ledger decides whether a picture is sent, and
not Ray: so a call is made at most once per attempt, and an image whose call was in flight then is "ambiguous".

What Ray passes around are paths and outcomes, never images or secrets. The column ``result`` alone has personal values;
Ray stores them in its object store, and writes them where the dataset is written.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async import DOCUMENTS, ClovaOCRError, ConfigurationError, Failure, LedgerError, NotSentError
from clova_ocr_async.integrations.client_factory import made_client, require_client_factory
from clova_ocr_async.integrations.continuous_batch import ContinuousBatch, require_location
from clova_ocr_async.results import outcome_row
from clova_ocr_async.server_url import POSTGRES, is_url, parse_server_url

try:
    import pyarrow  # type: ignore[import-untyped]  # noqa: ICN001 - only to be given a type below; it ships no py.typed
    from ray.data import ActorPoolStrategy
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{__name__} needs {error.name}: pip install 'clova-ocr-async[ray]'", name=error.name
    ) from None

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ray.data import Dataset

    from clova_ocr_async import ClovaOCRClient, Document

__all__ = ["recognize"]

pa: Any = pyarrow

_ROWS = 64  # of a block: it leaves an actor as one, and is begun again if the actor dies
_BATCH = 16  # rows; Ray gives an actor four batches at a time, and takes each as one
_CPUS = 0.25  # of an actor, which waits for the service nearly all the time
_PATIENCE = 600.0  # seconds that the rows of an actor wait for a ledger that is away

_TYPES = {
    "key": pa.string(),
    "source": pa.string(),
    "status": pa.string(),
    "billed": pa.bool_(),
    "result": pa.string(),
    "error": pa.string(),
}


def recognize(
    dataset: Dataset,
    document: type[Document],
    *,
    make_client: Callable[[], ClovaOCRClient],
    ledger: str | os.PathLike[str],
    path_column: str = "path",
    workers: int = 4,
) -> Dataset:
    """Return a dataset with the outcome of each image.

    Each row has ``key``, ``source``, ``status``, ``billed``, ``result`` and ``error``, as ``outcome_row`` of
    ``clova_ocr_async.results`` describes them, with ``result`` as JSON text. The column of the paths is left out, since
    ``source`` has it; all other columns stay. No row raises an error: a broken or missing file is "skipped". If the
    secret is rejected, the quota is spent or the call limit of the run is reached, the rows that were not sent are
    "pending"; the same job reads them later, and pays for nothing twice.

    Args:
        dataset: The dataset. Relative paths start in the working directory of this program, where a worker has it.
        document: The document class of all images.
        make_client: Returns a client that is not open yet. It is sent to the workers and called there, so it must not
            hold a secret: let it read the environment of the worker.
        ledger: A run directory, which all workers of one machine share, or the URL of a run for several machines,
            without a password.
        path_column: The column that has the paths.
        workers: Actors, each a process with one client.

    Raises:
        ConfigurationError: An argument cannot work, or the dataset has a column of a name that an outcome has.
    """
    require_client_factory(make_client)
    require_location(ledger)
    if document not in DOCUMENTS.values():
        raise ConfigurationError("document must be a document class, such as Receipt")
    if not isinstance(workers, int) or workers < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError("workers must be a whole number from 1")
    columns = dataset.columns(fetch_if_missing=False)
    if columns is not None:
        _check_columns(columns, path_column)
    settings = {
        "make_client": make_client,
        "ledger": _portable(ledger),
        "document": document.path_word,
        "path_column": path_column,
        "folder": str(Path.cwd()),
    }
    # Smaller blocks than Ray's own: one file of paths would be one block, and keep one actor busy.
    return dataset.repartition(target_num_rows_per_block=_ROWS).map_batches(
        _Recognizer,
        fn_constructor_kwargs=settings,
        batch_size=_BATCH,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=workers),
        num_cpus=_CPUS,
    )


class _Recognizer:
    """The state of an actor: one client and one batch, in the event loop that Ray gives it."""

    def __init__(
        self, make_client: Callable[[], ClovaOCRClient], ledger: str, document: str, path_column: str, folder: str
    ) -> None:
        self._make_client = make_client
        self._ledger = ledger
        self._document = DOCUMENTS[document]
        self._path_column = path_column
        self._batch: ContinuousBatch | None = None
        # Paths are those of the program that made the dataset; on another machine there may be no such folder.
        with suppress(OSError):
            os.chdir(folder)

    # An async generator: Ray refuses another async method, and gives a plain one one batch at a time.
    async def __call__(self, table: Any) -> AsyncGenerator[Any]:
        """Yield the outcomes of a few rows as one table."""
        _check_columns(table.column_names, self._path_column)
        paths = table.column(self._path_column).to_pylist()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._row(path)) for path in paths]
        rows = [task.result() for task in tasks]
        table = table.drop_columns([self._path_column])
        for name, kind in _TYPES.items():
            table = table.append_column(name, pa.array([row[name] for row in rows], kind))
        yield table

    async def _row(self, path: object) -> dict[str, Any]:
        """Return the row of an image; an exception would end the whole job."""
        try:
            outcome = await self._begun().recognize(path, self._document)
        except ClovaOCRError as error:
            outcome = Failure(path, NotSentError(error))
        row = dict(outcome_row(outcome))
        if row["result"] is not None:
            row["result"] = msgspec.json.encode(row["result"]).decode()
        return row

    def _begun(self) -> ContinuousBatch:
        if self._batch is None:
            client = made_client(self._make_client)
            self._batch = ContinuousBatch(client, self._make_client, self._ledger, waits=_waits)
        return self._batch


def _waits(error: ClovaOCRError, seconds: float) -> bool:
    # A dataset has an end, so its rows wait only for servers, which are likely to come back.
    is_ledger_away = isinstance(error, LedgerError) and error.resumable
    return (is_ledger_away or (isinstance(error, ConfigurationError) and error.retryable)) and seconds < _PATIENCE


def _check_columns(columns: list[str], path_column: str) -> None:
    if path_column not in columns:
        raise ConfigurationError(
            f"the dataset has no column {path_column!r}; name the one with the paths: path_column="
        )
    taken = sorted((set(columns) - {path_column}) & _TYPES.keys())
    if taken:
        raise ConfigurationError(
            f"the dataset has columns that the outcomes have as well: {', '.join(taken)}; rename them before"
        )


def _portable(ledger: str | os.PathLike[str]) -> str:
    """Return the location of a run as workers find it, without a password: what Ray is given is stored and shown."""
    text = os.fspath(ledger)
    if not is_url(text):
        return os.path.abspath(text)  # noqa: PTH100 - resolve() would follow a link that may change until then
    url = parse_server_url(text, POSTGRES, "ledger")
    if url.password is not None:
        raise ConfigurationError(
            "ledger holds a password, which Ray would store and show; set PGPASSWORD or ~/.pgpass where the workers run"
        )
    return str(url)
