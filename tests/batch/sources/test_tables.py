"""Lists with columns: tables in CSV and JSON Lines give each image its page, its document and columns of its own."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.batch.sources import manifest_lines
from clova_ocr_async.batch.sources.file_names import as_on_disk
from clova_ocr_async.batch.sources.listed_image import ListedImage
from clova_ocr_async.batch.sources.manifest import Manifest, images_from
from clova_ocr_async.batch.sources.own_columns import OwnColumns
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.pictures.page import Page

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | str], Path]:
    """Return a function that writes a manifest into the current folder."""
    monkeypatch.chdir(tmp_path)

    def written(content: bytes | str, name: str = "list") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def listed(manifest: Path) -> list[ListedImage]:
    """Return the images a manifest lists."""
    return list(Manifest(manifest).images())


def refused(manifest: Path, document: str | None = "receipt") -> str:
    """Return why a manifest is refused, without the path of its folder."""
    with pytest.raises(ConfigurationError) as error:
        Manifest(manifest).check(document, OwnColumns())
    return str(error.value).removeprefix(f"{manifest.parent}/")


ROWS = [
    ListedImage("a.jpg", None, "receipt", b'{"id":"1","memo":"one"}'),
    ListedImage("b.pdf", 3, "id-card", b'{"id":"2","memo":"two, with\\r\\na break"}'),
    ListedImage("c d.jpg", None, None, b'{"id":"","memo":""}'),
]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_table_is_read(write: Callable[..., Path], delimiter: str, mark: str) -> None:
    """Cells may be quoted and hold line breaks; the delimiter is the header's; own columns keep their names."""
    rows = [
        ["path", "Document", "PAGE", "id", "memo"],
        ["a.jpg", "receipt", "", "1", "one"],
        ["b.pdf", "ID_CARD", " 3", "2", '"two, with\r\na break"'],
        [],
        ["c d.jpg", "", "", "", ""],
        ["", "", "", "", ""],
    ]
    manifest = write(mark + "\r\n".join(delimiter.join(row) for row in rows))
    assert listed(manifest) == ROWS
    assert list(images_from(manifest)) == [Path("a.jpg"), Page(Path("b.pdf"), 3), Path("c d.jpg")]


def test_json_lines_are_read_with_the_same_keys(write: Callable[..., Path]) -> None:
    """JSON Lines have the keys of a table, and own values of any kind."""
    manifest = write(
        '{"path": "a.jpg", "document": "receipt", "id": "1", "memo": "one"}\n'
        '{"source": "b.pdf", "page": "3", "document": "id-card", "id": 2, "tags": ["x", {"y": null}]}\n'
        '{"path": "c.pdf", "page": 1, "document": null}\n'
    )
    assert listed(manifest) == [
        ROWS[0],
        ListedImage("b.pdf", 3, "id-card", b'{"id":2,"tags":["x",{"y":null}]}'),
        ListedImage("c.pdf", 1),
    ]


def test_our_own_records_are_read_back(write: Callable[..., Path]) -> None:
    """Of a record of a command the page and the list's own columns come back, and nothing else of it does."""
    record = {"source": "b.pdf", "page": 2, "sha256": None, "document": "receipt", "status": "failed", "attempts": 1}
    manifest = write("".join(json.dumps(record | more) + "\n" for more in ({}, {"columns": {"id": "7"}})))
    assert listed(manifest) == [
        ListedImage("b.pdf", 2, "receipt", b"", from_record=True),
        ListedImage("b.pdf", 2, "receipt", b'{"id":"7"}', from_record=True),
    ]
    assert Manifest(manifest).check("id-card", OwnColumns()) == {"id-card"}
    assert Manifest(manifest).check(None, OwnColumns()) == {"receipt"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            "path,document\na.jpg,recept\n",
            "list, line 2: document is 'recept'; it must be one of receipt, credit-card,",
        ),
        ("path,page\na.jpg,x\n", "list, line 2: page is 'x'; it must be a whole number from 1"),
        ("path,page\na.jpg,0\n", "list, line 2: page is 0; it must be"),
        ("path,page\na.jpg,-1\n", "list, line 2: page is '-1'; it must be"),
        ('{"path":"a.jpg","page":true}\n', "list, line 1: page is True; it must be"),
        ('{"path":"a.jpg","page":1.5}\n', "list, line 1: page is 1.5; it must be"),
        ('{"path":"a.jpg","document":7}\n', "list, line 1: document is 7; it must be one of receipt"),
        ('path,memo\na.jpg,"one\ntwo"\n,x\n', "list, line 4: the path is empty"),
        ("\n\npath,memo\n\na.jpg\n", "list, line 5: it has 1 cell, and the header has 2"),
        ("path,memo\na.jpg,x,y\n", "list, line 2: it has 3 cells, and the header has 2"),
        ("path,id,id\na.jpg,x,y\n", "list, line 1: two columns have the name 'id'"),
        ("path,PATH\na.jpg,x\n", "list, line 1: two columns have the name 'path'"),
        ("path,source\na.jpg,x\n", "list, line 1: it has a column path and a column source; leave one of them out"),
        ('{"path":"a.jpg","source":"b.jpg"}\n', "list, line 1: it has a path and a source; leave one of them out"),
        ("path,,id\na.jpg,x,y\n", "list, line 1: column 2 has no name"),
        ('path,memo\na.jpg,"open\nb.jpg,x\n', "list, line 2: it is not CSV: unexpected end of data"),
        ('path,memo\na.jpg,"x"y\n', "list, line 2: it is not CSV: ',' expected after '\"'"),
        ("path,memo\na.jpg," + "x" * 200_000 + "\n", "list, line 2: it is not CSV: field larger than field limit"),
        (b"path,memo\na.jpg,x\nb.jpg,\xff\xff\n", "list, line 3: it is not UTF-8; save the list as UTF-8"),
        (
            "path\nhttps://host.example/a.jpg\n",
            "list, line 2: it is a URL of 26 characters, not a path; a manifest holds",
        ),
        (
            "path,document\na.jpg,passport\n",
            "list, line 2: its document is passport, and the command reads receipt; leave",
        ),
    ],
)
def test_a_wrong_row_is_refused_by_its_number(write: Callable[..., Path], content: str | bytes, why: str) -> None:
    """Every mistake of a list is found before anything is sent, and named by the first line of its row."""
    assert refused(write(content)).startswith(why)


def test_a_url_is_not_fetched(write: Callable[..., Path]) -> None:
    """The message says so, and names the way out."""
    assert refused(write("http://host.example/a.jpg\n")).endswith(
        "; URLs are not fetched: download the file, and list its path"
    )


def test_auto_needs_a_document_for_each_image(write: Callable[..., Path]) -> None:
    """Without a document of the command, a row without one is refused."""
    assert refused(write("path,document\na.jpg,receipt\nb.jpg,\n"), None).startswith(
        "list, line 3: it has no document, and auto needs one: receipt, credit-card"
    )
    assert Manifest(write("path,document\na.jpg,receipt\nb.jpg,ID_CARD\n")).check(None, OwnColumns()) == {
        "receipt",
        "id-card",
    }


def test_a_table_without_a_column_path_is_refused(write: Callable[..., Path]) -> None:
    """A file that is a table by its name needs the column; a list of paths may have that name too."""
    manifest = write("file,document\na.jpg,receipt\n", "list.csv")
    assert (
        refused(manifest) == "list.csv, line 1: no column is named path; a table begins with the names of its columns"
    )
    write("", "a,b.jpg")
    assert [image.path for image in listed(write("a,b.jpg\nc.jpg\n", "list.csv"))] == ["a,b.jpg", "c.jpg"]
    assert listed(write("", "list.csv")) == []


def test_a_list_may_begin_with_a_file_that_is_named_path(write: Callable[..., Path]) -> None:
    """A first line that is the name of a file is that file, and not a header."""
    assert [image.path for image in listed(write("path\na.jpg\n"))] == ["a.jpg"]
    write("", "path")
    assert [image.path for image in listed(write("path\na.jpg\n"))] == ["path", "a.jpg"]


def test_rows_padded_by_a_spreadsheet_are_read(write: Callable[..., Path]) -> None:
    """Empty cells and columns at the end, as spreadsheets write them, do not matter."""
    assert listed(write("path,id,,\na.jpg,1,,\nb.jpg,2\n,,,\n")) == [
        ListedImage("a.jpg", columns=b'{"id":"1"}'),
        ListedImage("b.jpg", columns=b'{"id":"2"}'),
    ]


def test_names_that_are_not_text_stand_in_tables_as_in_records(write: Callable[..., Path]) -> None:
    """A column source_bytes names the bytes of a path."""
    assert listed(write("source,source_bytes\nx,Yf8uanBn\ny.jpg,\n")) == [
        ListedImage("a\udcff.jpg"),
        ListedImage("y.jpg"),
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "cp949", "utf-8-sig"])
@pytest.mark.parametrize("content", ["영수증.jpg\r\n", 'path,부서\r\n영수증.jpg,"영업\n1"\r\n'], ids=["lines", "table"])
def test_lists_of_windows_are_read(
    write: Callable[..., Path], encoding: str, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Lists in the encodings of Korean Windows and of Excel are read; CP949 only if the files exist, and it is said."""
    write("", "영수증.jpg")
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    manifest = write(mark + content.encode(encoding))
    with caplog.at_level(logging.WARNING):
        assert list(images_from(manifest)) == [Path("영수증.jpg")]
    [image] = listed(manifest)
    assert image.path == "영수증.jpg"
    if content.startswith("path"):
        assert msgspec.json.decode(image.columns) == {"부서": "영업\n1"}
    said = [message for message in caplog.messages if "read as CP949, the encoding of Korean Windows" in message]
    assert len(said) == (encoding == "cp949")


def test_a_table_in_cp949_with_ascii_names_is_read(write: Callable[..., Path]) -> None:
    """If only the user's own columns are not ASCII, no file has to exist."""
    [image] = listed(write("path,부서\na.jpg,영업\n".encode("cp949")))
    assert msgspec.json.decode(image.columns) == {"부서": "영업"}


def test_a_list_in_cp949_of_files_that_do_not_exist_is_refused(write: Callable[..., Path]) -> None:
    """Bytes that may be CP949 by chance are not guessed to be that."""
    assert "it is not UTF-8 but may be CP949" in refused(write("path\n영수증.jpg\n".encode("cp949")))
    assert "it is not UTF-8 but may be CP949" in refused(write("영수증.jpg\n".encode("cp949")))
    assert "no column is named path" in refused(write("경로\n영수증.jpg\n".encode("cp949"), "list.csv"))


def test_a_list_whose_mark_is_wrong_is_refused(write: Callable[..., Path]) -> None:
    """A file that begins like UTF-16 and is not is refused as that."""
    assert refused(write(b"\xff\xfea\0\n\0\x00\xd8\n\0")).startswith(
        "list: it begins like a file in UTF-16 and is not one"
    )


@pytest.mark.parametrize(("on_disk", "in_list"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_are_found_in_the_other_normal_form(write: Callable[..., Path], on_disk: str, in_list: str) -> None:
    """A list in one normal form finds files in the other, in folders of either, and keeps paths that exist."""
    form: dict[str, Callable[[str], str]] = {
        "NFC": lambda text: unicodedata.normalize("NFC", text),
        "NFD": lambda text: unicodedata.normalize("NFD", text),
    }
    there, given = form[on_disk], form[in_list]
    folder = Path(there("문서"))
    folder.mkdir()
    (folder / there("영수증.jpg")).touch()
    assert (folder / given("영수증.jpg")).exists() is False
    [image] = listed(write(given("문서/영수증.jpg") + "\n"))
    assert image.path == there("문서/영수증.jpg")
    absolute = str(Path.cwd())
    assert as_on_disk(f"{absolute}/{given('문서/영수증.jpg')}") == f"{absolute}/{there('문서/영수증.jpg')}"
    assert as_on_disk(given("문서/없음.jpg")) == given("문서/없음.jpg")
    assert as_on_disk(given("없음/영수증.jpg")) == given("없음/영수증.jpg")
    assert as_on_disk("\0영수증") == "\0영수증"


def test_two_files_of_one_name_are_an_error(write: Callable[..., Path]) -> None:
    """A name that two files have is not guessed."""
    mixed = unicodedata.normalize("NFC", "가") + unicodedata.normalize("NFD", "나")
    for form in ("NFC", "NFD"):
        write("", unicodedata.normalize(form, mixed))
    with pytest.raises(ConfigurationError, match=r"list, line 2: 2 files of \. have the name .*\(NFC, NFD\)"):
        listed(write(f"a.jpg\n{mixed}\n"))


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.integers() | st.none(), max_size=3), max_size=4
    )
)
def test_own_columns_come_back_from_json(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    """Whatever own columns a list has, they come through as they are."""
    special = {"path", "source", "source_bytes", "page", "document", "status", "sha256"}
    own = [{key: value for key, value in row.items() if key not in special} for row in rows]
    manifest = tmp_path_factory.mktemp("list") / "list.jsonl"
    manifest.write_text("".join(json.dumps({"path": "a.jpg"} | row) + "\n" for row in own), "utf-8")
    found = [json.loads(image.columns or b"{}") for image in listed(manifest)]
    assert found == own


class FailingFile(io.BytesIO):
    """A file of a disk that fails at the second line."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the first line, and no other one."""
        if self.tell():
            raise OSError(5, "Input/output error")
        return super().readline(size)


def test_a_disk_that_fails_between_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the line that could not be read."""

    def failing(_: str) -> FailingFile:
        return FailingFile(b"a.jpg\nb.jpg\n")

    monkeypatch.setattr(manifest_lines, "open_manifest", failing)
    with pytest.raises(ConfigurationError, match="list, line 2: Input/output error"):
        list(manifest_lines.lines_of("list", "utf-8"))
