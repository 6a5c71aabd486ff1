from __future__ import annotations

import base64
import json
import os
import sys
import traceback
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clova_ocr_async.batch.sources.manifest import Manifest, images_from
from clova_ocr_async.batch.sources.record_names import record_source, source_of
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT = 1024 * 1024


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    """Return a function that writes a manifest."""

    def written(content: bytes) -> Path:
        path = tmp_path / "manifest"
        path.write_bytes(content)
        return path

    return written


def names(manifest: Path) -> list[str]:
    """Return the paths a manifest lists."""
    return [str(path) for path in images_from(manifest)]


@given(st.binary(min_size=1).filter(lambda name: b"\0" not in name))
@example(b"\xff")
@example(rb"\xff")
@example(rb"\xff" + b"\xff")
@example("한.jpg".encode("cp949"))
@example(b"a\nb\r")
@example(b"\xed\xa0\x80")
def test_every_name_comes_back_from_its_record(name: bytes) -> None:
    """Whatever bytes name a file, its record is plain JSON that names the same file again."""
    path = os.fsdecode(name)
    record = record_source(path)
    line = json.dumps(record, ensure_ascii=False).encode()
    assert os.fsencode(source_of(json.loads(line))) == name
    assert ("source_bytes" in record) == (record["source"] != path)


@given(st.sets(st.binary(min_size=1).filter(lambda name: b"\0" not in name), min_size=2))
def test_different_names_have_different_records(names: set[bytes]) -> None:
    """No two names share a record."""
    assert len({tuple(record_source(os.fsdecode(name)).values()) for name in names}) == len(names)


def test_how_a_name_is_told() -> None:
    r"""A record holds a name in UTF-8 as it is, and other bytes as \xNN, also of a str that cannot name a file."""
    assert record_source("영수증.jpg") == {"source": "영수증.jpg"}
    assert record_source(os.fsdecode(b"a\xff.jpg")) == {"source": r"a\xff.jpg", "source_bytes": "Yf8uanBn"}
    assert record_source("a\ud800.jpg") == {"source": r"a\ud800.jpg"}


def test_a_record_without_bytes_is_taken_as_it_stands() -> None:
    """Without source_bytes the source is the path, backslashes included; other keys are ignored."""
    assert source_of({"source": r"a\xff.jpg", "sha256": None, "source_bytes": None}) == r"a\xff.jpg"


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({}, "it has no source"),
        ({"source": None, "source_bytes": "Yf8="}, "it has no source"),
        ({"source": 1}, "source is a int; it must be a string"),
        ({"source": ""}, "the path is empty"),
        ({"source": "a\0b"}, "it holds a NUL"),
        ({"source": "a", "source_bytes": "YQBi"}, "it holds a NUL"),
        ({"source": "a", "source_bytes": ""}, "the path is empty"),
        ({"source": "a", "source_bytes": "Yf8"}, "source_bytes is not base64"),
        ({"source": "a", "source_bytes": "Yf8=한"}, "source_bytes is not base64"),
        ({"source": "a", "source_bytes": [1]}, "source_bytes is not base64"),
    ],
)
def test_a_record_that_names_no_path(write: Callable[[bytes], Path], record: dict[str, object], why: str) -> None:
    """The error of a wrong record names the fault, and in a manifest also the line."""
    with pytest.raises(ConfigurationError) as refused:
        source_of(record)
    assert str(refused.value).startswith(why)
    manifest = write(b'{"source":"good.jpg"}\n\n' + json.dumps(record).encode())
    listed = images_from(manifest)
    assert next(listed) == Path("good.jpg")
    with pytest.raises(ConfigurationError) as refused:
        next(listed)
    assert str(refused.value).startswith(f"{manifest}, line 3: {why}")


def test_records_are_read(write: Callable[[bytes], Path]) -> None:
    """JSON Lines give the paths of their records, whatever else is in them; relative ones stay relative."""
    records = [
        {"source": "a.jpg", "status": "failed", "result": {"deep": [{}] * 9}, "source2": 1},
        {"sha256": None, "source": "/abs/영수증.jpg"},
        record_source(os.fsdecode(b"b\xff.jpg")),
    ]
    manifest = write("".join(json.dumps(record) + "\n" for record in records).encode())
    assert names(manifest) == ["a.jpg", "/abs/영수증.jpg", os.fsdecode(b"b\xff.jpg")]


def test_lines_are_read(write: Callable[[bytes], Path]) -> None:
    """Any other file is a path a line, byte for byte: blanks, a brace further down, bytes that are not UTF-8."""
    manifest = write(b'a.jpg\n b c .jpg \n{"source":"x"}\nd\xff.jpg\nlast.jpg')
    assert names(manifest) == ["a.jpg", " b c .jpg ", '{"source":"x"}', os.fsdecode(b"d\xff.jpg"), "last.jpg"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", b"\n", b" \t\r\n\r\n"])
def test_what_editors_leave_behind(write: Callable[[bytes], Path], mark: bytes, end: bytes, before: bytes) -> None:
    """A byte order mark, line ends and blank lines belong to no path, and do not decide the form."""
    assert names(write(mark + before + b"a.jpg" + end * 3 + b"b.jpg" + end)) == ["a.jpg", "b.jpg"]
    assert names(write(mark + before + b' {"source":"a.jpg"}' + end * 3 + b'{"source":"b.jpg"}')) == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n \t\n"])
def test_an_empty_manifest_lists_nothing(write: Callable[[bytes], Path], content: bytes) -> None:
    """An empty file lists no image."""
    assert names(write(content)) == []


@pytest.mark.parametrize("columns", ["canary", ["canary"], 1, ""])
def test_a_record_whose_columns_are_no_object(write: Callable[[bytes], Path], columns: object) -> None:
    """Columns that no table can show are refused before anything is paid, and not repeated."""
    record = {"source": "a.jpg", "status": "failed", "sha256": None, "columns": columns}
    manifest = write(json.dumps(record).encode())
    with pytest.raises(ConfigurationError) as refused:
        names(manifest)
    kind = type(columns).__name__
    assert str(refused.value) == f"{manifest}, line 1: columns is a {kind}; it must be an object, or be left out"
    record["columns"] = None
    assert names(write(json.dumps(record).encode())) == ["a.jpg"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"source":"a.jpg","result":{"canary',
        b'["canary"]',
        b"canary.jpg",
        b'{"source":"canary\xff"}',
        b'{"source":"\\ud800canary"}',
        b'{"canary":' + b"[" * 100_000,
        b'{"source":"a.jpg"}{"source":"canary.jpg"}',
    ],
)
def test_a_line_that_is_no_record(write: Callable[[bytes], Path], line: bytes) -> None:
    """The error of broken JSON names the line, and never holds its content, not even in the error's context."""
    manifest = write(b'{"source":"good.jpg"}\n' + line + b"\n")
    with pytest.raises(ConfigurationError) as refused:
        names(manifest)
    why = "it is not a record, that is a JSON object with the path under path or source: "
    assert str(refused.value).startswith(f"{manifest}, line 2: {why}")
    shown = "".join(traceback.format_exception(refused.value))
    seen: BaseException | None = refused.value
    while seen is not None:
        shown += f"{vars(seen)} {seen.args}"
        seen = seen.__cause__ or seen.__context__
    assert "canary" not in shown


def test_a_line_with_a_nul(write: Callable[[bytes], Path]) -> None:
    """A NUL is refused with its line and its likely cause."""
    for content in (b"a.jpg\nb\0.jpg", "\n\nb.jpg".encode("utf-16-le")):
        with pytest.raises(ConfigurationError, match=r"line \d: it holds a NUL.* save it as UTF-8"):
            names(write(content))


@pytest.mark.parametrize("start", [b'{"source":"', b"canary"])
def test_a_line_that_never_ends(write: Callable[[bytes], Path], start: bytes) -> None:
    """A line of more than a MiB is refused without being read to its end; one of a MiB is not."""
    end = b'"}\n' if start.startswith(b"{") else b"\n"
    fits = start + b"x" * (LIMIT - len(start) - len(end)) + end
    manifest = write(fits + b"x" + fits * 9)
    listed = images_from(manifest)
    assert len(str(next(listed))) > LIMIT - 20
    with pytest.raises(ConfigurationError) as refused:
        next(listed)
    assert str(refused.value) == f"{manifest}, line 2: it is longer than 1,048,576 bytes"


def test_a_manifest_is_read_as_it_is_needed(write: Callable[[bytes], Path]) -> None:
    """The file is open only between the first path and the end of the reading; lines are read one by one."""
    manifest = write(b"a.jpg\n" * 100_000)
    open_before = len(list(Path("/dev/fd").iterdir()))
    unread = images_from(manifest)
    assert len(list(Path("/dev/fd").iterdir())) == open_before
    assert next(unread) == Path("a.jpg")
    with manifest.open("r+b") as file:
        file.truncate(0)
    assert len(list(unread)) < 100_000
    left = images_from(write(b"a.jpg\n" * 3))
    next(left)
    with closing(left):  # type: ignore[type-var]  # a generator, which promises no more than to iterate
        pass
    assert len(list(Path("/dev/fd").iterdir())) == open_before


def test_what_is_no_manifest(tmp_path: Path) -> None:
    """A missing path, or one that is not a regular file, is refused at once, without a wait for a pipe's writer."""
    os.mkfifo(tmp_path / "pipe")
    for name, why in (
        ("missing", ": No such file"),
        ("", " is not a regular file"),
        ("pipe", " is not a regular file"),
    ):
        path = tmp_path / name
        with pytest.raises(ConfigurationError) as refused:
            images_from(path)
        assert str(refused.value).startswith(f"{path}{why}")
    for wrong in ("a\0b", "a\ud800"):
        with pytest.raises(ConfigurationError, match="path holds a NUL or another character"):
            images_from(wrong)


@pytest.mark.parametrize("start", [b"PK\x03\x04", bytes.fromhex("d0cf11e0")], ids=["xlsx", "xls"])
def test_a_workbook_is_not_a_list(write: Callable[[bytes], Path], start: bytes) -> None:
    """A workbook is refused as that, with the way out, and not for the bytes in it."""
    with pytest.raises(ConfigurationError, match=r"is a workbook or an archive, .*; save the list as CSV"):
        images_from(write(start + b"\0\xff"))


def test_a_manifest_that_vanishes(write: Callable[[bytes], Path]) -> None:
    """A file that is gone when it is read is the same kind of error."""
    manifest = write(b"a.jpg\n")
    listed = images_from(manifest)
    manifest.unlink()
    with pytest.raises(ConfigurationError, match="No such file"):
        next(listed)


@pytest.mark.skipif(sys.platform != "linux", reason="it takes a file that cannot be read, also by root")
def test_a_disk_that_fails() -> None:
    """The error of a failing read names the line."""
    with pytest.raises(ConfigurationError, match=r"/proc/self/mem: Input/output error"):
        next(images_from("/proc/self/mem"))  # a regular file whose first bytes cannot be read


def test_an_undecodable_manifest_is_named(tmp_path: Path) -> None:
    r"""The manifest's own name is shown like any other, with \xNN."""
    path = os.fsencode(tmp_path) + b"/\xff.txt"
    Path(os.fsdecode(path)).write_bytes(b"a\0")
    with pytest.raises(ConfigurationError) as refused:
        next(images_from(os.fsdecode(path)))
    assert rf"{tmp_path}/\xff.txt, line 1" in str(refused.value)
    assert base64.b64decode(record_source(os.fsdecode(path))["source_bytes"]) == path


def test_what_a_list_says_was_paid(tmp_path: Path) -> None:
    """Records are counted as billed and maybe billed; paths, and lines that are not records, are not."""
    records = tmp_path / "records.jsonl"
    records.write_text(
        '{"source": "a", "billed": true}\n{"source": "b", "billed": null}\n{"source": "c", "billed": false}\n'
        '{"source": "d"}\n{"source": \n'
    )
    paths = tmp_path / "paths.txt"
    paths.write_text("a.png\nb.png\n")
    assert (Manifest(records).billed(), Manifest(paths).billed()) == ((1, 1), (0, 0))
