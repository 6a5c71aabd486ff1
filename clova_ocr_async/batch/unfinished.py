"""Files that a batch finds cut off while they are still being written: they are looked at again later.

A scanner or a copy over the network takes seconds to write a file, and a batch may come to it in the middle. What was
written within the last seconds and is no whole picture is put off: it is read again once it has changed and stays the
same, and judged for good when nothing has changed for some seconds.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from clova_ocr_async.batch.direct import Deferred
from clova_ocr_async.batch.hashing import file_at
from clova_ocr_async.client.loading import load_image
from clova_ocr_async.protocol.image import Image, ImageLimits

if TYPE_CHECKING:
    from clova_ocr_async.batch.direct import ImageInWork
    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.errors import ImageError
    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.ledger.states import FileStamp

__all__ = ["Judge", "Unfinished"]

Judge = Callable[[Image, ImageLimits], Awaitable[object]]

_WRITTEN = 10.0  # seconds without a change after which nobody writes any more: network copies stall for some
_LOOK = 1.0  # seconds between looks
_PATIENCE = 300.0  # seconds that a file may be put off in all


class Unfinished:
    """Puts off files that are still being written.

    Args:
        runtime: Time, and waiting.
        judge: Raises an ImageError for what is no whole picture.
    """

    def __init__(self, runtime: Runtime, judge: Judge = load_image) -> None:
        self.judge = judge
        self._runtime = runtime

    def is_fresh(self, found: FileStamp | None) -> bool:
        """Return whether a file was written within the last seconds."""
        # A time that lies ahead is another machine's clock, and says nothing.
        return found is not None and abs(self._runtime.now() - found.modified_ns / 1e9) < _WRITTEN

    async def later(
        self,
        source: Any,
        error: ImageError,
        until: float | None,
        take: Callable[[ImageInWork, float], Awaitable[Outcome[Any] | Deferred]],
    ) -> Deferred | None:
        """Return how an image is taken later; None if it was judged for good.

        Args:
            source: The image.
            error: What is wrong with it.
            until: When it is judged for good at the latest, by the runtime's clock; None when it is judged first.
            take: Takes it again, given that time.
        """
        path = _path_of(source)
        if path is None or (until is not None and self._runtime.clock() >= until):
            return None
        found = await _identity_of(path)
        if found is None or not self.is_fresh(found) or not (found.size == 0 or getattr(error, "truncated", False)):
            return None
        end = self._runtime.clock() + _PATIENCE if until is None else until

        async def again(flight: ImageInWork) -> Outcome[Any] | Deferred:
            if not isinstance(source, str | os.PathLike):
                source.rewind()
            return await take(flight, end)

        return Deferred(lambda: self._settled(path, found, end), again)

    async def _settled(self, path: str | os.PathLike[str], first: FileStamp, until: float) -> None:
        """Wait until a file has changed and stays the same, or has not changed for some seconds."""
        last = first
        while self._runtime.clock() < until:
            await self._runtime.sleep(_LOOK)
            found = await _identity_of(path)
            if not self.is_fresh(found) or found == last != first:
                return
            last = cast("FileStamp", found)


def _path_of(source: Any) -> str | os.PathLike[str] | None:
    """Return the path of what can be read again; None for what cannot."""
    if isinstance(source, str | os.PathLike):
        return cast("str | os.PathLike[str]", source)
    # A file object that opens its file itself, and can do so again.
    return cast("str", source.path) if hasattr(source, "rewind") else None


async def _identity_of(path: str | os.PathLike[str]) -> FileStamp | None:
    file = await anyio.to_thread.run_sync(file_at, path)
    return None if file is None else file.stamp
