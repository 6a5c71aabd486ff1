"""Where an answer is decoded: at once in the event loop, or in a thread if it is large.

Decoding a megabyte takes some 10 ms, and up to a second where much of it does not fit. The loop goes on meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decoded_aside"]

_LARGE = 1024 * 1024  # bytes; real answers have some 100 KiB at the most

T = TypeVar("T")


async def decoded_aside(size: int, decode: Callable[[], T]) -> T:
    """Return what ``decode`` returns, called in a thread if there is much to decode.

    Args:
        size: Bytes to decode.
        decode: Decodes them.
    """
    return await anyio.to_thread.run_sync(decode) if size > _LARGE else decode()
