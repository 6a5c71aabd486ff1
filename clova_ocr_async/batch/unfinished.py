"""Files that a batch finds cut off while they are still being written: they are deferred, and read again later.

A scanner or a copy over the network takes seconds to write a file, and a batch may come to it in the middle. A file
that was written within the last seconds and is not a whole picture is deferred: it is read again once it has changed
and then stays the same, and refused when it has not changed for some seconds. Where truncated pictures may be sent, it
is sent then; before, half a picture would be paid for that is whole a moment later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from clova_ocr_async.batch.hashing import file_at, path_of
from clova_ocr_async.batch.images_in_work import Deferred
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.client.preparing import OpenedImage, PreparedImage
from clova_ocr_async.errors import ImageError

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

    from clova_ocr_async.batch.images_in_work import ImageProgress
    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.ledger.states import FileStamp

__all__ = ["Make", "UnfinishedFiles"]

Make = Callable[[ImageLoader, OpenedImage], Awaitable[PreparedImage]]

_FRESH = 10.0  # seconds since the last change in which a file counts as being written: network copies stall for some
_POLL = 1.0  # seconds between looks at a file
_MAX_DEFERRED = 300.0  # seconds that a file may be deferred in all


class UnfinishedFiles:
    """Defers files that are still being written.

    Args:
        runtime: Time, and waiting.
        make: Makes the picture of a file, and raises an ImageError if the file is not whole.
    """

    def __init__(self, runtime: Runtime, make: Make = ImageLoader.make) -> None:
        self._make = make
        self._runtime = runtime

    async def make(self, loader: ImageLoader, opened: OpenedImage) -> PreparedImage:
        """Return the picture of a file that was written just now, if it is whole.

        Raises:
            ImageError: It cannot be made, or the service would refuse or waste it. Also: it is truncated, and would be
                sent if it had been written earlier.
        """
        with _judged_as_unfinished(loader):
            return await self._make(loader.for_whole_pictures(), opened)

    async def load(self, loader: ImageLoader, source: Any, held: Callable[[int], object]) -> PreparedImage:
        """Return the picture of an image, as its loader does. A file that was written just now must be whole.

        Raises:
            ImageError: As ``make``, or it cannot be read.
        """
        path = _path_again(source) if loader.limits.allow_truncated else None
        if path is None or not self.is_fresh(await _stamp_at(path)):
            return await loader.load(source, held)
        with _judged_as_unfinished(loader):
            return await loader.for_whole_pictures().load(source, held)

    def is_fresh(self, stamp: FileStamp | None) -> bool:
        """Return whether a file was written within the last seconds."""
        # A time in the future comes from another machine's clock, and means nothing here.
        return stamp is not None and abs(self._runtime.now() - stamp.modified_ns / 1e9) < _FRESH

    async def defer(
        self,
        source: Any,
        error: ImageError,
        until: float | None,
        process: Callable[[ImageProgress, float], Awaitable[Outcome[Any] | Deferred]],
    ) -> Deferred | None:
        """Return a deferral of an image; None if its error is final.

        Args:
            source: The image.
            error: The error of its reading.
            until: The time from which an error is final, by the runtime's clock; None for an image that was not
                deferred yet.
            process: Processes it again, given that time.
        """
        path = _path_again(source)
        if path is None or (until is not None and self._runtime.clock() >= until):
            return None
        stamp = await _stamp_at(path)
        # Only faults that the end of the writing can mend; a scanner makes its file empty and fills it from the front.
        if stamp is None or not self.is_fresh(stamp) or not error.truncated:
            return None
        # By the clock that only grows: a time of day that is set back would defer the file for ever.
        end = self._runtime.clock() + _MAX_DEFERRED if until is None else until

        async def resume(progress: ImageProgress) -> Outcome[Any] | Deferred:
            if path_of(source) is None:
                source.rewind()
            return await process(progress, end)

        return Deferred(lambda: self._wait_until_stable(path, stamp, end), resume)

    async def _wait_until_stable(self, path: str | os.PathLike[str], first: FileStamp, until: float) -> None:
        """Wait until a file has changed and then stays the same, or has not changed for some seconds."""
        last = first
        while self._runtime.clock() < until:
            await self._runtime.sleep(_POLL)
            stamp = await _stamp_at(path)
            # Two equal looks after a change: the writer has come to its end, or at least to a pause.
            if not self.is_fresh(stamp) or stamp == last != first:
                return
            last = cast("FileStamp", stamp)


@contextmanager
def _judged_as_unfinished(loader: ImageLoader) -> Generator[None]:
    """Raise another error for a truncated picture, where its own would advise what the caller did already."""
    try:
        yield
    except ImageError as error:
        if not (error.truncated and loader.limits.allow_truncated):
            raise
        fault = str(error).partition(";")[0]
        raise ImageError(
            f"{fault}; it was still being written: give it again once it is complete", truncated=True
        ) from None


def _path_again(source: Any) -> str | os.PathLike[str] | None:
    """Return the path of an image that can be read again; None for one that cannot."""
    # A file object that opens its file itself can do so again.
    return cast("str", source.path) if hasattr(source, "rewind") else path_of(source)


async def _stamp_at(path: str | os.PathLike[str]) -> FileStamp | None:
    file = await anyio.to_thread.run_sync(file_at, path)
    return None if file is None else file.stamp
