"""A folder with every fault that a file can have: each has its outcome, and what cannot work costs nothing.

The faults of inputs that no file can have (objects, iterables, files that change) are in
``tests/batch/test_fault_inputs.py``.
"""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import unicodedata
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pikepdf
import pytest
from PIL import Image as PILImage
from support.commands import clova_ocr, exported, records_in
from support.zips import Member, write_zip

from clova_ocr_async.batch.sources.record_names import source_of as source_in
from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.emulator import Emulator

LIMIT = 50 * 1024 * 1024
LONG_AGO = 1e9  # so that a truncated file is not taken for one that is being written
PNG = draw_sample("receipt").data


def saved(kind: str, **options: object) -> bytes:
    """Return a small picture in a format."""
    file = io.BytesIO()
    PILImage.new("RGB", (40, 30), "white").save(file, kind, **options)
    return file.getvalue()


def pdf(pages: int, **options: object) -> bytes:
    """Return a PDF of empty pages."""
    file = io.BytesIO()
    with pikepdf.new() as document:
        for _ in range(pages):
            document.add_blank_page(page_size=(200, 300))
        document.save(file, object_stream_mode=pikepdf.ObjectStreamMode.disable, **options)  # type: ignore[arg-type]
    return file.getvalue()


def without_table(data: bytes) -> bytes:
    """Return a PDF without its cross-reference table."""
    return data[: data.rfind(b"\nxref") + 1] + b"trailer << /Root 1 0 R >>\nstartxref\n0\n%%EOF\n"


def png(width: int, height: int) -> bytes:
    """Return a PNG that claims a size, and has no pixels to it."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def fax(pages: int) -> bytes:
    """Return a TIFF of several pages."""
    first, *rest = (PILImage.new("L", (40 + number, 30), 255) for number in range(pages))
    file = io.BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=rest)
    return file.getvalue()


JPEG = saved("JPEG")
TIFF = saved("TIFF")
HEIC = (Path(__file__).parent.parent / "pictures" / "files" / "orientation-1.heic").read_bytes()

REFUSED: dict[str, tuple[bytes | int, str]] = {
    # 1, 2: nothing, or nearly nothing
    "empty.jpg": (b"", "is empty (0 bytes)"),
    "one-byte.jpg": (b"\xff", "unknown format"),
    "magic.jpg": (b"\xff\xd8\xff", "is cut off"),
    "magic.pdf": (b"%PDF-", "is cut off"),
    # 3: cut off
    "cut.jpg": (JPEG[:-20], "is cut off"),
    "cut.png": (PNG[: len(PNG) // 2], "is cut off"),
    "cut.tif": (TIFF[:-40], "is cut off"),
    "cut.pdf": (pdf(1)[:-200], "is cut off"),
    # 5: what the service does not read
    "photo.heic": (HEIC, "HEIC"),
    "heic.jpg": (HEIC, "HEIC"),
    "picture.webp": (saved("WEBP"), "WebP"),
    "picture.gif": (saved("GIF"), "GIF"),
    "picture.bmp": (saved("BMP"), "BMP"),
    "svg.jpg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "zip.jpg": (b"PK\x03\x04" + bytes(40), "a zip archive"),
    "exe.jpg": (b"MZ" + bytes(60), "a program (EXE)"),
    "page.jpg": (b"<!DOCTYPE html><html>not found</html>", "HTML"),
    # 6, 7: files of several pages, encrypted and broken ones
    "pages.pdf": (pdf(3), "3 pages"),
    "fax.tif": (fax(3), "3 pages"),
    "encrypted.pdf": (pdf(2, encryption=pikepdf.Encryption(user="secret", owner="owner")), "is encrypted"),
    "junk.pdf": (b"%PDF-1.4\n" + b"junk " * 80 + b"\n%%EOF\n", "damaged"),
    "no-table.pdf": (without_table(pdf(3)), "is damaged, and parts of it may be lost"),
    "no-table-1.pdf": (without_table(pdf(1)), "is damaged, and parts of it may be lost"),
    "lost-pages.pdf": (pdf(1).replace(b"/Count 1", b"/Count 3"), "claims to have 3 pages, and only one can be found"),
    "no-page.pdf": (pdf(0), "has no page"),
    # 8, 9, 10: too large
    "large.jpg": (LIMIT + 1, f"{LIMIT + 1:,} bytes"),
    "huge.jpg": (10 * 2**30, "bytes"),
}
BROKEN_PDFS = ("encrypted.pdf", "junk.pdf", "no-table.pdf", "no-table-1.pdf", "lost-pages.pdf", "no-page.pdf")
GOOD = {
    "plain.png": PNG,
    # 4: the content decides, and not the name
    "really-png.jpg": PNG + b"4",
    "no-ending": PNG + b"no ending",
    # 14: one picture under many names
    "copy-1.png": PNG,
    "copy-2.png": PNG,
    # 15: one name in two folders, and names that only normalisation makes one
    "sub/plain.png": PNG + b"sub",
    unicodedata.normalize("NFC", "가.png"): PNG + b"NFC",
    unicodedata.normalize("NFD", "가.png"): PNG + b"NFD",
    "A.png": PNG + b"upper",
    "a.png": PNG + b"lower",
    # 16: names that people and programs make
    "line\r\nend.png": PNG + b"line",
    'quote";.png': PNG + b"quote",
    "back\\slash.png": PNG + b"back",
    "x" * 251 + ".png": PNG + b"long",
    "🧾.png": PNG + b"emoji",
    "영수증 (1).png": PNG + b"hangul",
    "\u202egnp.png": PNG + b"bidi",
    os.fsdecode(b"cp949-\xbf\xb5.png"): PNG + b"bytes",
    "%2e%2e%2f.png": PNG + b"percent",
}
DIFFERENT = len(GOOD) - 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder, written long ago."""
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    (folder / "sub").mkdir(parents=True)
    for name, (content, _) in REFUSED.items():
        if isinstance(content, int):
            with (folder / name).open("wb") as file:
                file.truncate(content)  # sparse: it takes no room
        else:
            (folder / name).write_bytes(content)
    for name, data in GOOD.items():
        (folder / name).write_bytes(data)
    # 10, 11: what is not a file, and links wherever they lead
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("in/socket.jpg")
    for link, target in {
        "link.png": "plain.png",
        "loop.png": "loop.png",
        "dangling.png": "gone.png",
        "outside.png": "/etc/passwd",
    }.items():
        (folder / link).symlink_to(target)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (LONG_AGO, LONG_AGO))
    yield folder
    listener.close()


def check(records: list[dict[str, object]]) -> None:
    """Check that each file has the outcome that it must have."""
    found = {Path(source_of(record)).relative_to("in").as_posix(): record for record in records}
    for name, (_, why) in REFUSED.items():
        error = found[name]["error"]
        assert isinstance(error, dict)
        assert (name, found[name]["status"], found[name]["billed"]) == (name, "skipped", False)
        assert (name, why in error["message"]) == (name, True), error["message"]
    for name in GOOD:
        assert (name, found[name]["status"]) == (name, "succeeded")
    others = set(found) - set(REFUSED) - set(GOOD)
    assert others == {"pipe.jpg", "socket.jpg"}  # refused by name, as a folder that looks like a picture is only walked
    assert {found[name]["status"] for name in others} == {"skipped"}


def source_of(record: dict[str, object]) -> str:
    """Return the path of a record."""
    return source_in(record)


def test_a_batch_over_the_fault_folder(clova: Emulator, folder: Path) -> None:
    """Without a run each good file is paid once a name, and no other one at all."""
    result = clova_ocr("batch", "receipt", folder)
    assert result.exit_code == 1, result.output
    check(records_in(result.stdout))
    assert clova.billed.total() == len(GOOD)
    assert "4 symbolic links" in result.stderr
    assert "1 file is a picture by its first bytes" in result.stderr


def test_a_run_over_the_fault_folder(clova: Emulator, folder: Path) -> None:
    """With a run each good picture is paid once, and a second command pays for nothing."""
    for _ in range(2):
        result = clova_ocr("batch", "receipt", folder, "--run", "run")
        assert result.exit_code == 1, result.output
        check(exported("run"))
        assert clova.billed.total() == DIFFERENT


def test_a_dry_run_over_the_fault_folder(clova: Emulator, folder: Path) -> None:
    """A dry run knows what a batch will find, names the reasons, and sends nothing."""
    result = clova_ocr("batch", "receipt", folder, "--run", "run", "--dry-run")
    assert (result.exit_code, clova.requests) == (0, 0), result.output
    assert f"billable calls      {DIFFERENT:>10}" in result.stdout
    for why in ("is empty", "HEIC", "pages", "a program (EXE)"):
        assert why in result.stdout


def test_pages_and_preparation_over_the_fault_folder(clova: Emulator, folder: Path) -> None:
    """With --pages and --prepare more of the files can be read, and what still cannot costs nothing."""
    (folder / "bomb.png").write_bytes(png(50_000, 50_000))
    os.utime(folder / "bomb.png", (LONG_AGO, LONG_AGO))
    dry = clova_ocr("batch", "receipt", folder, "--run", "run", "--pages", "all", "--prepare", "--dry-run")
    assert (dry.exit_code, clova.requests) == (0, 0), dry.output
    assert f"billable calls      {DIFFERENT + 10:>10}" in dry.stdout
    for why in ("encrypted", "pixels", "is empty"):
        assert why in dry.stdout
    assert "--prepare" not in dry.stdout  # no advice to give what was given
    result = clova_ocr("batch", "receipt", folder, "--run", "run", "--pages", "all", "--prepare")
    assert result.exit_code == 1, result.output
    records = {(Path(source_of(record)).name, record["page"]): record for record in exported("run")}
    for name in (*BROKEN_PDFS, "bomb.png", "cut.jpg", "cut.pdf", "cut.tif", "empty.jpg", "exe.jpg"):
        assert (name, records[name, None]["status"]) == (name, "skipped")
    for name in BROKEN_PDFS:
        assert (name, REFUSED[name][1] in records[name, None]["error"]["message"]) == (name, True)
    read: set[tuple[str, int | None]] = {("pages.pdf", page) for page in (1, 2, 3)} | {
        ("fax.tif", page) for page in (1, 2, 3)
    }
    read |= {(name, None) for name in ("photo.heic", "heic.jpg", "picture.webp", "picture.gif", "picture.bmp")}
    assert {key: records[key]["status"] for key in read} == dict.fromkeys(read, "succeeded")
    assert clova.billed.total() == DIFFERENT + len({records[key]["sha256"] + str(key[1]) for key in read})


@pytest.mark.parametrize("run", [[], ["--run", "run"]])
def test_lists_with_faults(clova: Emulator, folder: Path, run: list[str]) -> None:
    """A bad line and one that is too long stop a command before it pays; a mark, CRLF and equal ids do not matter."""
    assert folder.exists()
    good = '\ufeff{"path": "in/plain.png", "id": 1}\r\n\r\n{"path": "in/a.png", "id": 1}\r\n'
    for bad, line in (('{"path": \r\n', 4), ('{"path": "' + "x" * 10_000_000 + '"}\r\n', 4)):
        Path("list.jsonl").write_text(good + bad, "utf-8", newline="")
        result = clova_ocr("batch", "receipt", "--from", "list.jsonl", *run)
        assert (result.exit_code, clova.requests) == (2, 0)
        assert f"list.jsonl, line {line}: " in result.stderr
    Path("list.jsonl").write_text(good, "utf-8", newline="")
    result = clova_ocr("batch", "receipt", "--from", "list.jsonl", *run)
    assert (result.exit_code, clova.billed.total()) == (0, 2), result.output
    paid = clova.billed.total()
    Path("gone.jsonl").write_text('{"path": "in/gone.png"}\n{"path": "in/loop.png"}\n')
    result = clova_ocr("batch", "receipt", "--from", "gone.jsonl", *run)
    assert (result.exit_code, clova.billed.total()) == (1, paid)
    assert "gone.png: No such file or directory" in result.stderr
    assert "loop.png: Too many levels of symbolic links" in result.stderr
    Path("empty.jsonl").touch()
    assert clova_ocr("batch", "receipt", "--from", "empty.jsonl").exit_code == 5


def test_the_fault_folder_as_an_archive(clova: Emulator, folder: Path) -> None:
    """The same files in an archive have the same outcomes."""
    members = [Member(name.encode(), data) for name, (data, _) in REFUSED.items() if isinstance(data, bytes)]
    good = {name: data for name, data in GOOD.items() if name.isascii() and "\\" not in name}
    members += [Member(name.encode(), data) for name, data in good.items()]
    write_zip(folder / "faults.zip", *members)
    os.utime(folder / "faults.zip", (LONG_AGO, LONG_AGO))
    result = clova_ocr("batch", "receipt", folder / "faults.zip", "--run", "run")
    assert result.exit_code == 1, result.output
    statuses = [record["status"] for record in exported("run")]
    assert statuses.count("skipped") == len(members) - len(good)
    assert statuses.count("succeeded") == len(good)
    assert clova.billed.total() == len(good) - 2


def test_the_outcomes_are_valid_lines(clova: Emulator, folder: Path) -> None:
    """No name breaks the line of its record, or the terminal."""
    result = clova_ocr("batch", "receipt", folder)
    assert clova.billed.total() == len(GOOD)
    for line in result.stdout.splitlines():
        json.loads(line)
    assert "\u202e" not in result.stderr
    assert "\r" not in result.stderr
