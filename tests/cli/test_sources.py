"""Archives, lists with columns, pages and documents by folder, on the command line and in runs."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image as PILImage
from support.commands import PICTURES, clova_ocr, exported, records_in, status
from support.files import aged
from support.pdfs import pdf_of
from support.zips import Member, write_zip

from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from clova_ocr_async.emulator import Emulator


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)


def fax(path: str, count: int) -> None:
    """Write a TIFF of several pages, all different."""
    pages = [PILImage.new("L", (40 + number, 30), 255) for number in range(count)]
    pages[0].save(path, save_all=True, append_images=pages[1:])


@pytest.mark.parametrize("run", [False, True])
def test_the_pictures_of_an_archive_are_read_in_place(clova: Emulator, run: bool) -> None:
    """An archive is a PATH like a folder; each picture goes by its path, is paid once, and what is left out is said."""
    names = [b"a.png", "폴더/영수증.png".encode("cp949"), b"copy.png", b"__MACOSX/x.png", b"in.zip"]
    data = [PICTURES[0], PICTURES[1], PICTURES[0], PICTURES[2], b"PK\3\4"]
    write_zip(Path("scans.zip"), *(Member(name, content) for name, content in zip(names, data, strict=True)))
    options = ["--run", "run"] if run else []
    result = clova_ocr("batch", "receipt", "scans.zip", *options)
    assert result.exit_code == 0, result.output
    assert (
        "2 files left out: 2 in archives (1 archive in an archive, 1 in __MACOSX); to read them, unpack"
        in result.stderr
    )
    records = exported("run") if run else records_in(result.stdout)
    assert {record["source"] for record in records} == {
        "scans.zip!/a.png",
        "scans.zip!/폴더/영수증.png",
        "scans.zip!/copy.png",
    }
    assert all(record["sha256"] and record["status"] == "succeeded" for record in records)
    assert clova.billed.total() == (2 if run else 3)
    if run:
        again = clova_ocr("batch", "receipt", "scans.zip", *options)
        assert (again.exit_code, clova.billed.total()) == (0, 2)
    single = clova_ocr("recognize", "receipt", "scans.zip!/a.png")
    assert (single.exit_code, records_in(single.stdout)[0]["source"]) == (0, "scans.zip!/a.png")


def test_hostile_archives_are_refused(clova: Emulator) -> None:
    """Bombs, encrypted and broken members are skipped by name, dangerous names are counted, and nothing is written."""
    write_zip(
        Path("evil.zip"),
        Member(b"../../evil.png", PICTURES[0]),
        Member(b"/tmp/evil.png", PICTURES[0]),
        Member(b"C:\\evil.png", PICTURES[0]),
        Member(b"link.png", b"/etc/passwd", mode=0o120777),
        Member(b"bomb.png", bytes(5_000_000)),
        Member(b"locked.png", PICTURES[1], flags=1),
        Member(b"broken.png", PICTURES[2], checksum=7),
    )
    before = set(Path.cwd().rglob("*"))
    result = clova_ocr("batch", "receipt", "evil.zip", "--run", "run")
    assert (result.exit_code, clova.billed.total()) == (1, 0)
    assert {(record["source"], record["status"]) for record in exported("run")} == {
        ("evil.zip!/bomb.png", "skipped"),
        ("evil.zip!/locked.png", "skipped"),
        ("evil.zip!/broken.png", "skipped"),
    }
    assert "4 in archives (3 with an unsafe name, 1 symbolic link)" in result.stderr
    assert "evil.zip!/locked.png: it is encrypted" in result.stderr
    assert {path for path in set(Path.cwd().rglob("*")) - before if "run" not in path.parts} == set()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["batch", "receipt", "broken.zip"], "broken.zip: it is not a zip archive, or a broken one"),
        (["batch", "receipt", "a.zip!/gone.png"], "a.zip!/gone.png: no such file or folder"),
        (["recognize", "receipt", "a.png#2"], "for page 2 of the file give the file and --pages 2"),
        (["batch", "receipt", "b.png#2"], "b.png#2: no such file or folder\n"),
        (["batch", "receipt", "a.png#"], "a.png#: no such file or folder\n"),
        (["recognize", "receipt", "a.zip"], "a.zip is an archive; for all images in it use clova-ocr batch"),
        (["batch", "receipt", "https://host.example/a.jpg"], "PATH is a URL of 26 characters; URLs are not fetched"),
        (
            ["recognize", "receipt", "https://host.example/a.jpg"],
            "IMAGE is a URL of 26 characters; URLs are not fetched",
        ),
        (["batch", "receipt", "a.png", "--pages", "x"], "error: --pages: 'x' is neither a page nor a range of pages"),
        (["recognize", "receipt", "a.png", "--pages", "0"], "error: --pages: '0' begins with page 0"),
        (["recognize", "receipt", "-", "--pages", "all"], "-: standard input cannot be read again for each page"),
        (["batch", "receipt", "-", "--pages", "all"], "-: standard input cannot be read again for each page"),
        (["batch", "auto", "a.png"], "a.png: auto reads folders that are named after documents"),
        (["batch", "auto", "-"], "standard input: auto reads folders that are named after documents"),
        (["recognize", "auto", "a.png"], "'auto' is none of receipt"),
        (["batch", "automatic", "a.png"], "'automatic' is none of receipt, credit-card"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_sent(clova: Emulator, arguments: list[str], why: str) -> None:
    """Each mistake is an exit code 2 and a sentence that names it."""
    Path("a.png").write_bytes(PICTURES[0])
    Path("broken.zip").write_bytes(b"PK\3\4")
    write_zip(Path("a.zip"), Member(b"a.png", PICTURES[0]))
    result = clova_ocr(*arguments)
    assert (result.exit_code, clova.requests) == (2, 0), result.output
    assert why in result.stderr


@pytest.mark.parametrize("run", [[], ["--run", "run"], ["--dry-run"]])
def test_pages_that_no_file_has(clova: Emulator, run: list[str]) -> None:
    """If no file has the pages that are asked for, that is the reason that no image is found."""
    Path("a.pdf").write_bytes(pdf_of(2))
    result = clova_ocr("batch", "receipt", "a.pdf", "--pages", "3-4", *run)
    assert (result.exit_code, clova.requests) == (5, 0)
    assert "no images found in a.pdf: no file has the pages 3-4\n" in result.stderr


@pytest.mark.parametrize("run", [[], ["--run", "run"]])
def test_a_name_is_printed_once(clova: Emulator, run: list[str]) -> None:
    """The message about a file that cannot be read begins with its name, once."""
    Path("list.txt").write_text("gone.png\nhere.png\n", encoding="utf-8")
    aged(Path("here.png"))
    result = clova_ocr("batch", "receipt", "--from", "list.txt", *run)
    assert (result.exit_code, clova.requests) == (1, 0)
    lines = result.stderr.splitlines()
    assert "gone.png: No such file or directory" in lines
    assert "here.png: image 'here.png' is empty (0 bytes); check that the file was written to its end" in lines


@pytest.mark.parametrize("run", [False, True])
def test_folders_named_after_documents(clova: Emulator, run: bool) -> None:
    """With auto each picture is read as the document of its folder, in one run or one output."""
    for word, folder in (("receipt", "receipt"), ("id-card", "ID_CARD"), ("passport", "passport/deep")):
        Path("in", folder).mkdir(parents=True)
        Path("in", folder, "a.png").write_bytes(draw_sample(word).data)
    options = ["--run", "run"] if run else []
    dry = clova_ocr("batch", "auto", "in", *options, "--dry-run")
    assert (dry.exit_code, clova.requests) == (0, 0), dry.output
    assert "billable calls               3" in dry.stdout
    result = clova_ocr("batch", "auto", "in", *options)
    assert result.exit_code == 0, result.output
    records = exported("run") if run else records_in(result.stdout)
    assert {(record["source"], record["document"], record["status"]) for record in records} == {
        ("in/receipt/a.png", "receipt", "succeeded"),
        ("in/ID_CARD/a.png", "id-card", "succeeded"),
        ("in/passport/deep/a.png", "passport", "succeeded"),
    }
    assert clova.billed.total() == 3
    if run:
        again = clova_ocr("batch", "auto", "in", *options)
        assert (again.exit_code, clova.billed.total()) == (0, 3)
        assert "answered already             3" in clova_ocr("batch", "auto", "in", *options, "--dry-run").stdout
        assert status("run")["total"] == 3
    Path("in/others").mkdir()
    Path("in/others/b.png").write_bytes(PICTURES[1])
    refused = clova_ocr("batch", "auto", "in", *options)
    assert (refused.exit_code, clova.billed.total()) == (2, 3)
    assert "in/others is not named after a document" in refused.stderr


@pytest.mark.parametrize("run", [[], ["--run", "run"]])
def test_a_document_without_a_domain_is_refused_by_its_name(
    clova: Emulator, monkeypatch: pytest.MonkeyPatch, run: list[str]
) -> None:
    """All documents that a command needs have a domain, or nothing is sent."""
    monkeypatch.delenv("CLOVA_OCR_INVOKE_URL")
    monkeypatch.setenv("CLOVA_OCR_RECEIPT_INVOKE_URL", clova.url("receipt"))
    monkeypatch.setenv("CLOVA_OCR_RECEIPT_SECRET", clova.secret)
    for folder in ("receipt", "passport"):
        Path("in", folder).mkdir(parents=True)
        Path("in", folder, "a.png").write_bytes(PICTURES[0])
    result = clova_ocr("batch", "auto", "in", *run)
    assert (result.exit_code, clova.requests) == (2, 0), result.output
    assert "no domain reads Passport; set CLOVA_OCR_PASSPORT_INVOKE_URL" in result.stderr
    one = clova_ocr("batch", "auto", "in/receipt", *run)
    assert (one.exit_code, clova.billed.total()) == (0, 1), one.output


@pytest.mark.parametrize("run", [False, True])
def test_a_list_gives_pages_documents_and_columns(clova: Emulator, run: bool) -> None:
    """Own columns stand in every record; a list from an export is read again with its columns and pages."""
    Path("a.png").write_bytes(draw_sample("receipt").data)
    Path("b.png").write_bytes(draw_sample("id-card").data)
    fax("c.tif", 3)
    rows = "path,document,page,id,메모\na.png,receipt,1,7,하나\nb.png,id_card,,8,\nc.tif,receipt,2,9,셋\n"
    Path("list.csv").write_text(rows, encoding="cp949")
    options = ["--run", "run"] if run else []
    dry = clova_ocr("batch", "auto", "--from", "list.csv", *options, "--dry-run")
    assert "billable calls               3" in dry.stdout, dry.output
    result = clova_ocr("batch", "auto", "--from", "-", *options, stdin=rows.encode("cp949"))
    assert result.exit_code == 0, result.output
    assert "standard input: read as CP949, the encoding of Korean Windows" in result.stderr
    records = exported("run") if run else records_in(result.stdout)
    found = {(record["source"], record["page"], record["document"], record["columns"]["id"]) for record in records}
    assert found == {("a.png", None, "receipt", "7"), ("b.png", None, "id-card", "8"), ("c.tif", 2, "receipt", "9")}
    assert {record["columns"]["메모"] for record in records} == {"하나", "", "셋"}
    assert all(record["sha256"] for record in records)
    assert clova.billed.total() == 3
    Path("again.jsonl").write_text(
        "".join(json.dumps(record | {"billed": False}) + "\n" for record in records), "utf-8"
    )
    again = clova_ocr("batch", "auto", "--from", "again.jsonl")
    assert again.exit_code == 0, again.output
    repeated = records_in(again.stdout)
    assert {(record["source"], record["page"], record["columns"]["id"]) for record in repeated} == {
        ("a.png", None, "7"),
        ("b.png", None, "8"),
        ("c.tif", 2, "9"),
    }


@pytest.mark.parametrize("run", [[], ["--run", "run"], ["--dry-run"]])
def test_two_lines_give_one_image_different_columns(clova: Emulator, run: list[str]) -> None:
    """Lines with different columns for one image stop a command by their numbers, as a record has those of one line."""
    Path("a.png").write_bytes(PICTURES[0])
    Path("one.csv").write_text("path,name\na.png,Kim\n")
    Path("two.csv").write_text(f"path,name\nb.png,Kim\n{Path('a.png').absolute()},Lee\n")
    result = clova_ocr("batch", "receipt", "--from", "one.csv", "--from", "two.csv", *run)
    assert (result.exit_code, clova.requests) == (2, 0)
    assert (
        "two.csv, line 3: one.csv, line 2, has the same image with other columns; its record takes those of one line: "
        "make the columns equal, or leave a line out" in result.stderr
    )
    assert "Lee" not in result.output
    assert not Path("run").exists()


def test_two_lines_give_one_image_equal_columns(clova: Emulator) -> None:
    """A line that is repeated, and one without columns, do no harm; pages of a file have columns of their own."""
    Path("a.png").write_bytes(PICTURES[0])
    fax("c.tif", 2)
    rows = ({"path": "a.png", "id": 1}, {"path": "a.png", "id": 1}, {"path": "a.png"})
    pages = ({"path": "c.tif", "page": page, "id": page} for page in (1, 2))
    Path("list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (*rows, *pages)))
    result = clova_ocr("batch", "receipt", "--from", "list.jsonl", "--run", "run")
    assert (result.exit_code, clova.billed.total()) == (0, 3), result.output
    assert {(record["source"], record["columns"]["id"]) for record in exported("run")} == {
        ("a.png", 1),
        ("c.tif", 1),
        ("c.tif", 2),
    }


def test_a_list_in_the_other_normal_form_finds_its_files(clova: Emulator) -> None:
    """Names that macOS has taken apart are found by a list that has them in one piece."""
    Path(unicodedata.normalize("NFD", "영수증.png")).write_bytes(PICTURES[0])
    result = clova_ocr("batch", "receipt", "--from", "-", stdin=unicodedata.normalize("NFC", "영수증.png\n").encode())
    assert (result.exit_code, clova.billed.total()) == (0, 1), result.output


def test_a_row_that_names_a_missing_page_is_skipped(clova: Emulator) -> None:
    """A page that a file does not have is an outcome of its own, and costs nothing."""
    fax("c.tif", 2)
    Path("list.csv").write_text("path,page\nc.tif,2\nc.tif,5\n")
    result = clova_ocr("batch", "receipt", "--from", "list.csv", "--run", "run")
    assert (result.exit_code, clova.billed.total()) == (1, 1), result.output
    assert {(record["page"], record["status"]) for record in exported("run")} == {(2, "succeeded"), (5, "skipped")}


@pytest.mark.parametrize("run", [False, True])
@pytest.mark.parametrize(("pages", "expected"), [("all", {1, 2, 3}), ("2-9", {2, 3}), ("1,3", {1, 3})])
def test_pages_of_faxes_are_read(clova: Emulator, run: bool, pages: str, expected: set[int]) -> None:
    """With --pages each page is an image; a file of one page stays whole, and the dry run counts the same."""
    Path("in").mkdir()
    fax("in/fax.tif", 3)
    Path("in/a.png").write_bytes(PICTURES[0])
    one = set() if pages == "2-9" else {None}
    options = ["--run", "run"] if run else []
    dry = clova_ocr("batch", "receipt", "in", "--pages", pages, "--price", "80", *options, "--dry-run")
    count = len(expected | one)
    assert f"billable calls               {count}  {count * 80} KRW" in dry.stdout, dry.output
    result = clova_ocr("batch", "receipt", "in", "--pages", pages, *options)
    assert result.exit_code == 0, result.output
    records = exported("run") if run else records_in(result.stdout)
    assert {record["page"] for record in records} == expected | one
    assert {record["source"] for record in records if record["page"]} == {"in/fax.tif"}
    assert all(record["sha256"] for record in records)
    assert clova.billed.total() == count
    if run:
        clova_ocr("batch", "receipt", "in", "--pages", pages, *options)
        assert clova.billed.total() == count


@pytest.mark.usefixtures("clova")
def test_pages_of_a_file_in_an_archive() -> None:
    """A fax in an archive is divided like any other."""
    fax("fax.tif", 2)
    write_zip(Path("a.zip"), Member(b"fax.tif", Path("fax.tif").read_bytes()))
    for options in ([], ["--run", "run"]):
        result = clova_ocr("batch", "receipt", "a.zip", "--pages", "all", *options)
        assert result.exit_code == 0, result.output
        records = exported("run") if options else records_in(result.stdout)
        assert {(record["source"], record["page"]) for record in records} == {
            ("a.zip!/fax.tif", 1),
            ("a.zip!/fax.tif", 2),
        }
        assert all(record["sha256"] for record in records)


@pytest.mark.parametrize("run", [[], ["--run", "run"]])
def test_pictures_are_prepared_on_request(clova: Emulator, run: list[str]) -> None:
    """A WebP picture is refused with the way out, and read with --prepare; a plain picture stays as it is."""
    Path("in").mkdir()
    PILImage.new("RGB", (60, 40), "white").save("in/a.webp")
    Path("in/b.png").write_bytes(PICTURES[0])
    plain = clova_ocr("batch", "receipt", "in", *run)
    assert (plain.exit_code, clova.billed.total()) == (1, 1)
    assert "--prepare" in plain.stderr
    dry = clova_ocr("batch", "receipt", "in", "--prepare", *run, "--dry-run")
    assert (dry.exit_code, clova.billed.total()) == (0, 1), dry.output
    prepared = clova_ocr("batch", "receipt", "in", "--prepare", *run)
    assert prepared.exit_code == 0, prepared.output
    records = exported("run") if run else records_in(prepared.stdout)
    steps = {record["source"]: record["prepared"] for record in records}
    assert steps["in/b.png"] is None
    assert steps["in/a.webp"]
    assert clova.billed.total() == (2 if run else 3)
    single = clova_ocr("recognize", "receipt", "in/a.webp", "--prepare")
    assert single.exit_code == 0, single.output
