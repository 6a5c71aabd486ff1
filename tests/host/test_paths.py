from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import FakeTime, FakeTransport, domain
from support.ledgers import opened, query

from clova_ocr_async.batch import BatchDispatcher
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.host.paths import alternate_path, normalize_path

if TYPE_CHECKING:
    from pathlib import Path

PATHS = st.lists(st.sampled_from(["a", "b.jpg", ".", "..", "", ".c", "...", "-"]), max_size=6).map("/".join)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a picture in it, one below, and a link to a folder elsewhere."""
    here = tmp_path / "here"
    (here / "sub").mkdir(parents=True)
    (tmp_path / "far" / "away").mkdir(parents=True)
    for path in (here / "a.jpg", here / "sub" / "b.jpg", tmp_path / "far" / "a.jpg"):
        path.write_bytes(b"\xff\xd8\xff\xe0" + os.fsencode(path) + b"\xff\xd9")
    (here / "link").symlink_to(tmp_path / "far" / "away")
    monkeypatch.chdir(here)
    return here


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("given_path", "expected"),
    [
        ("a.jpg", "a.jpg"),
        ("./a.jpg", "a.jpg"),
        (".//./a.jpg", "a.jpg"),
        ("sub//b.jpg", "sub/b.jpg"),
        ("sub/./b.jpg", "sub/b.jpg"),
        ("sub/../a.jpg", "a.jpg"),
        ("sub/../sub/b.jpg", "sub/b.jpg"),
        ("../here/a.jpg", "../here/a.jpg"),
        ("link/../a.jpg", "link/../a.jpg"),
        ("gone/../a.jpg", "gone/../a.jpg"),
        ("//tmp", "/tmp"),  # noqa: S108 - a path, not a file
        ("/tmp/", "/tmp"),  # noqa: S108 - as above
        (".a.jpg", ".a.jpg"),
        (".", "."),
        (".//.", "."),
        ("/", "/"),
        ("a\0b/../c", "a\0b/../c"),
    ],
)
def test_what_makes_no_difference_is_left_out(given_path: str, expected: str) -> None:
    """Doubled slashes and dots go; ``..`` goes where the file stays the same, and not behind a link."""
    assert normalize_path(given_path.encode()) == expected.encode()


@given(PATHS, st.booleans())
def test_one_spelling_is_its_own_and_leads_to_the_same_file(path: str, absolute: bool) -> None:
    """A spelling does not change any more, and stays relative or absolute."""
    given_path = ("/" * absolute + path).encode() or b"."
    once = normalize_path(given_path)
    assert normalize_path(once) == once
    assert (once[:1] == b"/") == (given_path[:1] == b"/")
    assert b"//" not in once
    assert os.path.realpath(once) == os.path.realpath(given_path)


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        (b"a.jpg", b"/here", b"/here/a.jpg"),
        (b"/here/a.jpg", b"/here", b"a.jpg"),
        (b"/hereafter/a.jpg", b"/here", None),
        (b"/a.jpg", b"/", b"a.jpg"),
        (b"a.jpg", b"/", b"/a.jpg"),
        (b"../a.jpg", b"/here", None),
    ],
)
def test_a_path_has_an_absolute_and_a_relative_spelling(path: bytes, folder: bytes, expected: bytes | None) -> None:
    """Below the folder in which relative paths start each path has both."""
    assert alternate_path(path, folder) == expected


@pytest.mark.usefixtures("here")
async def test_spellings_of_a_path_are_one_source_in_python_too(tmp_path: Path) -> None:
    """A path that is handed in under two spellings is one source of the run, and is not read again."""
    transport = FakeTransport()
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
    async with opened(tmp_path / "run") as ledger:
        for path in ("a.jpg", "./a.jpg", "sub/../a.jpg"):
            async with BatchDispatcher(client, ledger=ledger).dispatch([path], Receipt) as outcomes:
                assert [outcome.source async for outcome in outcomes] == [path]
    assert query(tmp_path / "run", "SELECT path FROM source") == [(b"a.jpg",)]
    assert len(transport.sent) == 1
