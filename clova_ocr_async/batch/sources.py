"""Where a batch's images come from: folders, and whatever can be iterated."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable, Iterator

__all__ = ["EXHAUSTED", "PICTURE_SUFFIXES", "AsyncSource", "Source", "SyncSource", "images_in", "opened"]

logger = logging.getLogger("clova_ocr_async")

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".pdf", ".tif", ".tiff"}
    # The service does not take these, but a picture that is left out must not be left out silently.
    | {".jpe", ".jfif", ".heic", ".heif", ".avif", ".webp", ".gif", ".bmp", ".jp2", ".jxl"}
)
"""Endings of the files that ``images_in`` yields, in lower case."""

_SINGLE = (str, os.PathLike, bytes, bytearray, memoryview, Image)

EXHAUSTED: Any = object()
"""What ``pull`` returns when there is nothing left."""


def images_in(
    folder: str | os.PathLike[str],
    recursive: bool = True,  # noqa: FBT001, FBT002 - part of the contract
) -> Iterator[Path]:
    """Yield the pictures of a folder, as they are found, without holding the list.

    Pictures are told by their ending (case aside); formats the service does not take are yielded as well, so that each
    is refused by name. Hidden entries and symbolic links are left out; what is left out is logged.

    Args:
        folder: The folder.
        recursive: Also its sub-folders.

    Raises:
        ConfigurationError: It is no folder, or cannot be read.
    """
    root = os.fspath(folder)
    try:
        os.scandir(root).close()
    except OSError as error:
        raise ConfigurationError(f"{root}: {error.strerror}") from None
    return _walk([root], recursive=recursive)


def _walk(pending: list[str], *, recursive: bool) -> Iterator[Path]:
    while pending:
        folders: list[str] = []
        yield from _pictures_of(pending.pop(), folders)
        if recursive:
            pending.extend(folders)


def _pictures_of(folder: str, folders: list[str]) -> Iterator[Path]:
    """Yield the pictures of one folder, and add its sub-folders to a list."""
    try:
        entries = os.scandir(folder)
    except OSError as error:
        logger.warning("left out, %s: %s", error.strerror, folder)
        return
    with entries:
        for entry in entries:
            if entry.name.startswith("."):
                logger.debug("left out, hidden: %s", entry.path)
            elif entry.is_symlink():
                logger.warning("left out, a symbolic link: %s", entry.path)
            elif entry.is_dir():
                folders.append(entry.path)
            elif Path(entry.name).suffix.lower() in PICTURE_SUFFIXES:
                yield Path(entry.path)
            else:
                logger.info("left out, no picture by its name: %s", entry.path)


class Source(Protocol):
    """What a batch pulls from."""

    async def pull(self) -> Any:
        """Return the next item, or EXHAUSTED; raise what the iterable raises."""
        ...

    async def close(self) -> None:
        """Let go of the iterable; a generator is closed."""
        ...


def opened(images: object) -> Source:
    """Return the source of an iterable or async iterable.

    Raises:
        TypeError: It is neither, or is a single path or image.
    """
    kind = type(images).__name__
    if isinstance(images, _SINGLE):
        raise TypeError(
            f"images is a {kind}; it must be an iterable of images. "
            "For the pictures of a folder use images_in(folder, recursive=True), for one image client.recognize"
        )
    if hasattr(images, "__aiter__"):
        return AsyncSource(cast("AsyncIterable[Any]", images))
    if hasattr(images, "__iter__"):
        return SyncSource(cast("Iterable[Any]", images))
    raise TypeError(f"images is a {kind}; it must be an iterable or an async iterable of images")


class SyncSource:
    """Pulls from an iterable, in whichever task asks."""

    def __init__(self, images: Iterable[Any]) -> None:
        self._iterator = iter(images)

    async def pull(self) -> Any:
        """Return the next item."""
        return next(self._iterator, EXHAUSTED)

    async def close(self) -> None:
        """Close a generator."""
        if (close := getattr(self._iterator, "close", None)) is not None:
            close()


class AsyncSource:
    """Pulls from an async iterable, always in one and the same task.

    Async generators may hold timeouts and task groups open over a yield, and those bear only one task.
    """

    def __init__(self, images: AsyncIterable[Any]) -> None:
        self._iterator = aiter(images)
        self._one_at_a_time = asyncio.Lock()
        self._asked: asyncio.Queue[asyncio.Future[Any]] = asyncio.Queue(1)
        self._task: asyncio.Task[None] | None = None

    async def pull(self) -> Any:
        """Return the next item."""
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        async with self._one_at_a_time:
            if self._task.done():
                return EXHAUSTED
            answer = asyncio.get_running_loop().create_future()
            self._asked.put_nowait(answer)
            return await answer

    async def close(self) -> None:
        """End the task; a generator is closed in it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _serve(self) -> None:
        try:
            while True:
                answer = await self._asked.get()
                try:
                    answer.set_result(await anext(self._iterator))
                except StopAsyncIteration:
                    answer.set_result(EXHAUSTED)
                    return
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the puller's to raise
                    answer.set_exception(error)
                    return
        finally:
            if (close := getattr(self._iterator, "aclose", None)) is not None:
                await close()
