"""The image object of an answer, cut out of the body as raw bytes and not decoded."""

from __future__ import annotations

import msgspec

from clova_ocr_async.protocol.repr_without_values import Redacted

__all__ = ["ImageObject", "image_object"]


class _Answer(msgspec.Struct):
    images: tuple[msgspec.Raw, ...]
    request_id: str | None = msgspec.field(default=None, name="requestId")


class _Image(msgspec.Struct):
    uid: str | None = None


class ImageObject(Redacted, frozen=True):
    """The parts of an answer that a record repeats.

    Attributes:
        request_id: The requestId of the answer.
        uid: The service's id of the answer.
        raw: The image object, as JSON on one line.
    """

    request_id: str | None
    uid: str | None
    raw: msgspec.Raw

    def _shown(self) -> str:
        """Return the size."""
        return f"<{len(memoryview(self.raw))} bytes>"


def image_object(body: bytes) -> ImageObject | None:
    """Return the image object of an answer that was decoded without an error before.

    Args:
        body: The body of the answer.

    Returns:
        The raw object, with unknown keys and the spelling of its numbers; None if it is not on one line, not at the
        documented place, or not UTF-8, so that the answer must be decoded.
    """
    try:
        answer = _decoder.decode(body)
        # The list may hold null (seen in a client's code, not documented).
        raw = next((raw for raw in answer.images if bytes(memoryview(raw)[:1]) != b"n"), None)
        if raw is None:
            return None
        text = str(memoryview(raw), "utf-8")
        if "\n" in text or "\r" in text:
            return None  # a record of JSON Lines is one line
        return ImageObject(answer.request_id, _image_decoder.decode(raw).uid, raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_decoder = msgspec.json.Decoder(_Answer)
_image_decoder = msgspec.json.Decoder(_Image)
