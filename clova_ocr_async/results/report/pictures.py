"""The pictures of the report: the originals as a viewer shows them, masked if the page is.

A picture is shown for certain or not at all: one that cannot be masked, is gone or has changed has a reason in its
place, and the page goes on without it. What stands on a picture that was not read is not known. So a masked page does
not show it, and a page that is not masked shows it without boxes, if it was sent: a picture that was never sent may be
one whose decoding ends the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from clova_ocr_async.errors import ImageError, RedactionError
from clova_ocr_async.extras import load_module
from clova_ocr_async.results.original_picture import open_original, open_unread
from clova_ocr_async.results.picture_files import draw_file, draw_original
from clova_ocr_async.results.picture_redaction import masked_picture
from clova_ocr_async.results.report.rows import Place, points_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.batch.hashing import FileHashes
    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.pictures.page import Page
    from clova_ocr_async.results.original_picture import OriginalPicture
    from clova_ocr_async.results.report.cause_words import Text
    from clova_ocr_async.results.report.reading import Reading
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["ShownPicture", "picture_of", "reason_without", "shows_unread"]

_THUMBNAIL = (200, 35)  # pixels of the longest side, and the quality: 2 kB of a receipt
_EMBEDDED = (1600, 75)  # enough to read a receipt by
_SENT = frozenset({"failed", "ambiguous"})  # statuses of images that were sent, and not read


class ShownPicture(NamedTuple):
    """A picture that a page may show.

    Attributes:
        original: Its pixels.
        data: The bytes of its file, which hold what the pixels do not show; empty for a page of a file.
    """

    original: OriginalPicture
    data: bytes

    @property
    def place(self) -> Place:
        """The place of polygons on it."""
        return Place(self.original.pixels.size, self.original.ways[0])

    def thumbnail(self) -> bytes:
        """Return a small WebP of it."""
        return _webp(self.original, *_THUMBNAIL)

    def embedded(self) -> bytes:
        """Return a WebP of it that is large enough to read."""
        return _webp(self.original, *_EMBEDDED)

    def copy(self) -> tuple[bytes, str]:
        """Return a copy of its pixels alone, upright and in full size, and the ending of its name."""
        drawing = load_module("clova_ocr_async.pictures.drawing", "showing a picture")
        output = self.original.output
        return drawing.encode_pixels(self.original.pixels, output), "png" if output == "png" else "jpg"


def shows_unread(reading: Reading, policy: Policy | None) -> bool:
    """Return whether a page shows the picture of an image that was not read, if its file is there.

    Args:
        reading: The record.
        policy: As in ``read_record``.
    """
    # It was decoded before it was sent. Others may have ended processes, and would end this one.
    sent = reading.record.status in _SENT
    return policy is None and sent and reading.recognition is None and reading.entry is not None


def picture_of(reading: Reading, policy: Policy | None, hashes: FileHashes | None = None) -> ShownPicture:
    """Return the picture of an image of a run, masked if a policy is given.

    Args:
        reading: The record.
        policy: As in ``read_record``.
        hashes: As in ``draw_original``.

    Raises:
        ConfigurationError: The extra ``pictures`` is not installed.
        ImageError: There is no such picture: its file is gone, has changed, or is not a picture.
        RedactionError: The picture cannot be masked for certain.
    """

    def draw_unread(image: bytes | Page) -> ShownPicture:
        return ShownPicture(open_unread(image), _bytes_of(image))

    def draw(image: bytes | Page, recognition: Recognition[Any]) -> ShownPicture:
        data = _bytes_of(image)
        if policy is None:
            return ShownPicture(open_original(image, recognition, points_of(recognition)), data)
        # Before the picture: what cannot be masked in the text is not shown on the picture either.
        if reading.refused is not None:
            raise reading.refused
        return ShownPicture(masked_picture(image, recognition, policy), data)

    if reading.entry is not None and shows_unread(reading, policy):
        return draw_file(reading.record, reading.entry.item.sha256, draw_unread, hashes)
    return draw_original(reading.record, reading.recognition, draw, hashes)


def _bytes_of(image: bytes | Page) -> bytes:
    return image if isinstance(image, bytes) else b""


def reason_without(error: ImageError | RedactionError, reading: Reading, words: Callable[[str], str]) -> Text:
    """Return the reason why an image has no picture on the page.

    Args:
        error: The error of ``picture_of``.
        reading: The record.
        words: As in ``row_of``.
    """
    text = reading.text(words(str(error)))
    if isinstance(error, RedactionError):
        en, ko = "The picture cannot be masked for certain", "이미지를 확실하게 마스킹할 수 없습니다"
    else:
        en, ko = "The picture is not shown", "이미지를 표시하지 않습니다"
    return {"en": f"{en}: {text}", "ko": f"{ko}: {text}"}


def _webp(original: OriginalPicture, side: int, quality: int) -> bytes:
    thumbnails: Any = load_module("clova_ocr_async.pictures.thumbnails", "showing a picture")
    return cast("bytes", thumbnails.scaled_webp(original.pixels, side, quality))
