"""Bodies without their Content-Encoding: bounded, and never at the cost of the bytes."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clova_ocr_async.protocol.content_encoding import decode_body

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1000


def raw_deflate(body: bytes) -> bytes:
    """Return a body as deflate without a header."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
}


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=MOST), st.lists(st.sampled_from(sorted(PACKERS)), max_size=3))
def test_what_is_packed_is_unpacked(body: bytes, names: list[str]) -> None:
    """Encodings are removed in the reverse order, and a complete body is reported as complete."""
    packed = body
    for name in names:
        packed = PACKERS[name](packed)
    assert decode_body(packed, ", ".join(names), MOST * 2) == (body, None)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, br", "gzip,gzip,gzip,gzip"]))
def test_any_bytes_under_any_encoding(body: bytes, encoding: str) -> None:
    """A body that cannot be decoded is returned unchanged, with a reason unless it looks like JSON."""
    found, flaw = decode_body(body, encoding, MOST)
    assert len(found) <= MOST
    if found == body and body:
        assert flaw is not None or body.lstrip()[:1] in {b"{", b"["} or body.startswith(b"\xef\xbb\xbf")
    assert decode_body(b'{"a":' + body, "br", MOST) == (b'{"a":' + body, None)


@pytest.mark.parametrize("size", [MOST - 1, MOST, MOST + 1, 50 * MOST])
@pytest.mark.parametrize("members", [1, 2])
def test_more_than_is_allowed_is_cut(size: int, members: int) -> None:
    """At most the allowed number of bytes is returned, and a reason if there are more."""
    body = bytes(size)
    packed = b"".join(gzip.compress(part) for part in ([body] if members == 1 else [body[:-3], body[-3:]]))
    found, flaw = decode_body(packed, "gzip", MOST)
    assert found == body[:MOST]
    assert (flaw is None) is (size <= MOST)


def test_what_breaks_off() -> None:
    """Incomplete data gives the bytes that can be decoded, or itself if none can be."""
    packed = gzip.compress(b"x" * 500)
    for end in range(1, len(packed)):
        found, flaw = decode_body(packed[:end], "gzip", MOST)
        assert flaw is not None
        assert found == packed[:end] or found == b"x" * 500 or (found and not found.strip(b"x"))


def test_no_encoding() -> None:
    """A body without an encoding, or an empty one, stays as it is."""
    assert decode_body(b"abc", "", MOST) == (b"abc", None)
    assert decode_body(b"abc", " identity , ", MOST) == (b"abc", None)
    assert decode_body(b"", "gzip", MOST) == (b"", None)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_never_taken_for_compressed_data(value: object) -> None:
    """A JSON object or array is returned unchanged under any Content-Encoding."""
    body = json.dumps({"images": value}, ensure_ascii=False).encode("utf-8", "replace")
    for encoding in ("gzip", "deflate", "x-gzip", "br", "deflate, gzip"):
        assert decode_body(body, encoding, MOST * 100) == (body, None)
        assert decode_body(body[:-1], encoding, MOST * 100) == (body[:-1], None)


def test_what_stands_behind_the_compressed_data() -> None:
    """Bytes behind a gzip member that are not another member do no harm."""
    assert decode_body(gzip.compress(b"{}") + b"\r\n", "gzip", MOST) == (b"{}", None)
    assert decode_body(gzip.compress(b"{}") + b"garbage", "gzip", MOST) == (b"{}", None)


def test_members_without_end() -> None:
    """Gzip in very many members is read up to a number of them, since each costs a copy of the rest."""
    assert decode_body(gzip.compress(b"x") * 50, "gzip", MOST) == (b"x" * 50, None)
    found, flaw = decode_body(gzip.compress(b"x") * 5000, "gzip", MOST * 100)
    assert len(found) < 200
    assert flaw == "its compressed data breaks off"
