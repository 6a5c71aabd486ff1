"""The images in work, and the withdrawal of those that wait when their batch is stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clova_ocr_async.batch.stop import StopSwitch
    from clova_ocr_async.batch.work import ImageProgress

__all__ = ["ImagesInWork"]

_DECODING = 1.0  # seconds from an answer to its outcome; after that a call counts as waiting to send another request


class ImagesInWork:
    """The images that tasks work on.

    Args:
        stop: The state of the batch.
    """

    def __init__(self, stop: StopSwitch) -> None:
        self._stop = stop
        self._images: set[ImageProgress] = set()

    def add(self, image: ImageProgress) -> bool:
        """Count an image into work; return False if the batch sends nothing any more."""
        if self._stop.sends_nothing:
            return False
        self._images.add(image)
        return True

    def remove(self, image: ImageProgress) -> None:
        """Count an image out of work."""
        self._images.discard(image)

    def withdraw_waiting(self) -> None:
        """Cancel the work on all images that have no request in flight."""
        for image in list(self._images):
            if image.requests_finished:
                self._withdraw_later(image)
            else:
                self._withdraw(image)

    def request_finished(self, image: ImageProgress) -> None:
        """Withdraw an image whose request has finished in a stopped batch, unless its outcome follows at once."""
        if self._stop.sends_nothing:
            self._withdraw_later(image)

    def _withdraw_later(self, image: ImageProgress) -> None:
        # The answer may be in already, and only its decoding is awaited: a paid answer is not dropped.
        asyncio.get_running_loop().call_later(_DECODING, self._withdraw, image)

    def _withdraw(self, image: ImageProgress) -> None:
        if image in self._images and not image.in_flight and not image.withdrawn:
            image.withdrawn = True
            image.task.cancel()

    @staticmethod
    def accept_withdrawal(image: ImageProgress) -> bool:
        """Return whether a cancellation is nothing but the withdrawal, and take it back then."""
        return image.withdrawn and not image.task.uncancel()
