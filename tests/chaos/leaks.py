"""The search for what must not be on the servers of ``cluster.py`` and in its logs."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cluster_stage import PICTURE, REDIS_PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cluster_stage import Stage

__all__ = ["leaks"]

_SHORTEST_VALUE = 8  # characters of a value that stands in no log by chance


def leaks(scene: Stage) -> list[str]:
    """Return what must not be on the servers and in the logs, and is."""
    exported = scene.command_line("export", scene.run, "--format", "jsonl", *scene.key).splitlines()
    values = {
        value
        for line in exported
        for value in _texts(json.loads(line).get("result"))
        if len(value) >= _SHORTEST_VALUE and not value.isascii()
    }
    secrets = {
        "a secret": [scene.clova.secret.encode(), REDIS_PASSWORD.encode()],
        "the key": [(scene.place / "key").read_bytes()],
        "a picture": [PICTURE],
        "a value": [value.encode() for value in values],
    }
    if not values:
        scene.wrong.append("no value to look for")
    places = {
        "PostgreSQL": scene.postgres.dump(scene.database).encode() + b"".join(_unpacked_answers(scene)),
        "Redis": scene.redis.dump(),
        "a log": scene.log.read_bytes(),
    }
    return [
        f"{what} in {where}: {text[:40]!r}"
        for where, content in places.items()
        for what, texts in secrets.items()
        for text in texts
        # PostgreSQL writes bytes as hexadecimal digits.
        if text in content or text.hex().encode() in content
    ]


def _unpacked_answers(scene: Stage) -> Iterable[bytes]:
    """Return the answers that anybody can unpack."""
    for body in scene.select("SELECT encode(body, 'hex') FROM clova_ocr.answer"):
        with suppress(zlib.error):
            yield zlib.decompress(bytes.fromhex(body))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
