"""The report of a run, written in one pass: its pictures, what it leaves out, and how much it holds in memory."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from support.drawn import drawn
from support.files import saved_pages
from support.masked_samples import draw, ink_left
from support.run_records import RecordsView, cell, failed_record, read_record

from clova_ocr_async.documents import Picture
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.errors import ConfigurationError, ConnectionLostError, ImageError
from clova_ocr_async.ledger.corrections import Change, ChangeKind, Correction
from clova_ocr_async.ledger.states import State
from clova_ocr_async.results.report.album import Album
from clova_ocr_async.results.report.budget import Budget
from clova_ocr_async.results.report.not_shown import not_shown
from clova_ocr_async.results.report.reading import read_record as read
from clova_ocr_async.results.report.writer import ReportOptions, chosen_pictures, write_report

if TYPE_CHECKING:
    from clova_ocr_async.ledger.states import SourceRecord

NOW = dt.datetime(2026, 11, 30, 1, 2, 3, tzinfo=dt.UTC)
SIZE = (640, 480)
BOX = [(24.0, 32.0), (264.0, 32.0), (264.0, 232.0), (24.0, 232.0)]


class Folder:
    """A folder of pictures in memory."""

    name = "re port_files"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.links: dict[str, str] = {}

    def write(self, name: str, data: bytes) -> None:
        """Keep a file."""
        self.files[name] = data

    def link(self, name: str, target: str) -> None:
        """Keep a link."""
        self.links[name] = target


def options(**changes: Any) -> ReportOptions:
    """Return the options of a report."""
    usual: dict[str, Any] = {"title": "run", "made_at": NOW, "retry": lambda words, _: f"retry {sorted(words)}"}
    return ReportOptions(**(usual | changes))


def written(*records: SourceRecord, folder: Folder | None = None, **changes: Any) -> str:
    """Return the page of some records."""
    parts: list[bytes] = []
    write_report(RecordsView(records, len(records)), options(**changes), parts.append, folder)  # type: ignore[arg-type]
    return b"".join(parts).decode()


def rows_in(page: str) -> list[dict[str, Any]]:
    """Return the rows of a page."""
    blocks = re.findall(r'<script type="application/json" class="rows">(.*?)</script>', page, re.DOTALL)
    return [row for block in blocks for row in json.loads(block)]


def run_in(page: str) -> dict[str, Any]:
    """Return the facts of the run in a page."""
    (found,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)
    run: dict[str, Any] = json.loads(found)
    return run


def pictures_in(page: str) -> dict[int, Image.Image]:
    """Return the pictures in a page, decoded, by the number of their row."""
    return _decoded(re.findall(r'<script type="text/plain" class="picture" data-row="(\d+)">(.*?)</script>', page))


def thumbnails_in(page: str) -> dict[int, Image.Image]:
    """Return the thumbnails in a page, decoded, by the number of their row."""
    blocks = re.findall(r'<script type="text/plain" class="thumbs">(.*?)</script>', page, re.DOTALL)
    return _decoded(re.findall(r"^(\d+) (.*)$", "".join(blocks), re.MULTILINE))


def _decoded(found: list[tuple[str, str]]) -> dict[int, Image.Image]:
    return {int(number): Image.open(io.BytesIO(base64.b64decode(text))) for number, text in found}


def shop(path: Path, data: bytes, size: tuple[int, int] = SIZE, **picture: Any) -> SourceRecord:
    """Return the record of a receipt that was read from a file."""
    path.write_bytes(data)
    answer = {"result": {"storeInfo": {"name": cell("Shop", corners=BOX)}}}
    return read_record(str(path), "receipt", answer, data=data, picture=Picture(size=size, sent_size=size, **picture))


def encoded(form: str, **parameters: Any) -> bytes:
    """Return the drawn rectangles as a file."""
    file = io.BytesIO()
    drawn().save(file, form, **parameters)
    return file.getvalue()


def test_a_page_has_the_facts_of_its_run() -> None:
    """The page names its run, its time, its language and the price of a call, and whether it is masked."""
    run = run_in(written(language="ko", price="30.5", policy=None))
    assert {key: run[key] for key in ("version", "run", "made_at", "masked", "language", "price")} == {
        "version": 1,
        "run": "run",
        "made_at": "2026-11-30T01:02:03+00:00",
        "masked": False,
        "language": "ko",
        "price": 30.5,
    }
    assert run["totals"]["records"] == 0
    assert run_in(written())["price"] is None


def test_rows_go_by_without_being_held() -> None:
    """At most two hundred rows are held, however many there are; large pictures are held for fewer rows yet."""
    ahead: list[int] = []
    last = 0

    def write(text: bytes) -> None:
        nonlocal last
        if b'class="rows"' in text:
            ahead.append(view.yielded - last)
            last = view.yielded

    view = RecordsView((read_record(f"{number}", "receipt", {"result": {}}) for number in range(450)), 450)
    report = write_report(view, options(embed_limit=0), write)  # type: ignore[arg-type]
    assert (report.records, report.refused, ahead) == (450, 0, [200, 200, 50])


def test_hostile_values_stay_text() -> None:
    """Markup in names, values and errors is neither a tag in the page nor the end of a block."""
    evil = '</script><img src=x onerror="alert(1)">\u2028{{7*7}}'
    answer = {"result": {"storeInfo": {"name": cell(evil)}}}
    page = written(
        read_record(f"{evil}.png", "receipt", answer),
        failed_record("b.png", ImageError(f"image {evil} is plain text")),
        title=evil,
        retry=lambda *_: evil,
    )
    assert "<img" not in page
    assert "</script><img" not in page
    assert "\u2028" not in "".join(re.findall(r'class="rows">(.*?)</script>', page, re.DOTALL))
    first, second = rows_in(page)
    assert first["fields"][0]["t"] == evil
    assert first["source"] == f"{evil}.png"
    assert evil in second["error"]["message"]
    assert run_in(page)["causes"][0]["command"] == evil
    assert "49" not in re.sub(r'"made_at":"[^"]*"', "", json.dumps(rows_in(page)))


def test_corrections_are_on_the_page() -> None:
    """A value that a person corrected is shown with the old one and the name, masked as all values are."""
    answer = {"result": {"number": cell("4111 1111 1111 1112"), "name": cell("Kim", 0.4)}}
    record = read_record("a.png", "credit-card", answer)
    assert record.entry is not None
    changes = [
        Change(ChangeKind.CORRECT, "minji", "result.number", "4111 1111 1111 1112", "4111 1111 1111 1111"),
        Change(ChangeKind.CONFIRM, "minji", "result.name", "Kim", "Kim"),
    ]
    view = RecordsView([record], 1)
    view.corrected = [Correction(number, record.entry.item, 1.0, change) for number, change in enumerate(changes, 1)]
    parts: list[bytes] = []
    write_report(view, options(), parts.append)  # type: ignore[arg-type]
    page = b"".join(parts).decode()
    (row,) = rows_in(page)
    number, name = sorted(row["fields"], key=lambda field: len(field["t"]), reverse=True)
    assert (number["t"], number["corrected"]["old"]) == ("4111 11** **** 1111", "4111 11** **** 1112")
    assert number["corrected"]["by"] == name["confirmed"]["by"] == "minji"
    assert not re.search("11 ?1111 ?111[12]", page)
    assert run_in(page)["totals"]["to_review"] == 0


# ---------------------------------------------------------------------------------------------------------------------
# Pictures


def test_pictures_of_a_small_run_are_in_the_page(tmp_path: Path) -> None:
    """A small run's page holds each picture twice, upright and without metadata: small, and large enough to read."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "canarySECRET"
    turned = shop(
        tmp_path / "a.jpg", encoded("JPEG", exif=exif, comment=b"canarySECRET"), (480, 640), orientation=6, upright=True
    )
    large = drawn(4)
    file = io.BytesIO()
    large.save(file, "PNG")
    page = written(turned, shop(tmp_path / "b.png", file.getvalue(), large.size), pictures="embed")
    assert {number: image.size for number, image in pictures_in(page).items()} == {
        0: (480, 640),
        1: (1600, 1200),
    }
    thumbs = thumbnails_in(page)
    assert {number: image.size for number, image in thumbs.items()} == {0: (150, 200), 1: (200, 150)}
    assert {image.format for image in thumbs.values()} == {"WEBP"}
    assert not any(image.getexif() or image.info.get("icc_profile") for image in thumbs.values())
    assert "canarySECRET" not in page
    assert [row["picture"] for row in rows_in(page)] == ["embedded", "embedded"]
    assert [row["size"] for row in rows_in(page)] == [[480, 640], list(large.size)]


HEIC = Path(__file__).parents[2] / "pictures" / "files" / "orientation-1.heic"


@pytest.mark.parametrize("form", ["HEIF", "TIFF", "PNG", "JPEG"])
def test_copies_are_upright_and_hold_pixels_alone(tmp_path: Path, form: str) -> None:
    """A copy beside the page is a JPEG or PNG that every browser shows, whatever the original is."""
    folder = Folder()
    data = HEIC.read_bytes() if form == "HEIF" else encoded(form)
    record = shop(tmp_path / "한 #1?%\"'.x", data)
    page = written(record, pictures="copy", embed_limit=0, folder=folder)
    (row,) = rows_in(page)
    assert not thumbnails_in(page)
    ((name, data),) = folder.files.items()
    assert name == f"한 #1_%_'.1.{'jpg' if form in {'JPEG', 'HEIF'} else 'png'}"
    assert row["picture"] == f"re%20port_files/%ED%95%9C%20%231_%25_%27.1.{name[-3:]}"
    assert Image.open(io.BytesIO(data)).size == SIZE


def test_links_lead_to_what_a_browser_shows(tmp_path: Path) -> None:
    """A link leads to the original if a browser shows it as it is; other originals are copied."""
    folder = Folder()
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("m.png", encoded("PNG"))
    member = dataclasses.replace(shop(tmp_path / "m.png", encoded("PNG")), path=f"{tmp_path}/c.zip!/m.png")
    records = shop(tmp_path / "a.bin", encoded("JPEG")), shop(tmp_path / "b.tif", encoded("TIFF")), member
    found = rows_in(written(*records, pictures="link", policy=None, folder=folder))
    assert folder.links == {"a.1.jpg": str(tmp_path / "a.bin")}
    assert list(folder.files) == ["b.2.png", "m.3.png"]
    assert [row["picture"] for row in found] == [f"re%20port_files/{name}" for name in ("a.1.jpg", *folder.files)]


@pytest.mark.parametrize("where", ["embed", "copy"])
def test_masked_pictures_are_covered(tmp_path: Path, where: Any) -> None:
    """On a masked page no picture shows the hidden digits, and no file is named after them."""
    sample = draw("id-card", 0, "standard")
    file = io.BytesIO()
    sample.picture.save(file, "PNG")
    path = tmp_path / "900101-1234567.png"
    path.write_bytes(file.getvalue())
    size = sample.picture.size
    sent = Picture(size=size, sent_size=size)
    record = read_record(str(path), "id-card", sample.answer, data=file.getvalue(), picture=sent)
    folder = Folder()
    page = written(record, pictures=where, folder=folder)
    shown = pictures_in(page).get(0) or Image.open(io.BytesIO(next(iter(folder.files.values()))))
    assert ink_left(shown.convert("RGB"), sample.hidden) < 16
    everything = page + "".join(folder.files)
    assert not [digits for digits in ("1234567", *sample.numbers) if digits in everything]


def test_a_picture_that_is_gone_or_changed_is_named(tmp_path: Path) -> None:
    """A picture that is gone, has changed or cannot be masked has the reason in its row, and the page goes on."""
    gone, changed, shown = (shop(tmp_path / name, encoded("PNG")) for name in ("gone.png", "changed.png", "c.png"))
    (tmp_path / "gone.png").unlink()
    (tmp_path / "changed.png").write_bytes(b"another")
    passport = draw_sample("passport", seed=1)
    (tmp_path / "p.jpg").write_bytes(passport.data)
    refused = read_record(str(tmp_path / "p.jpg"), "passport", passport.truth.answer, data=passport.data)
    unnamed = dataclasses.replace(shown, path=None)
    page = written(gone, changed, refused, unnamed, failed_record("f.png", ImageError("x")), shown, pictures="embed")
    rows = rows_in(page)
    reasons = ["No such file", "has changed", "gives no polygons for a passport", "given as bytes"]
    for row, reason in zip(rows, reasons, strict=False):
        assert reason in row["no_picture"]["en"]
        assert row["no_picture"]["ko"] != row["no_picture"]["en"]
        assert row["fields"]
    assert ["picture" in row for row in rows] == [False] * 5 + [True]
    assert "no_picture" not in rows[4]
    assert set(thumbnails_in(page)) == {5}


def unread(path: Path, data: bytes, **values: Any) -> SourceRecord:
    """Return the record of a file whose answer was lost."""
    path.write_bytes(data)
    return failed_record(str(path), ConnectionLostError("no answer"), data=data, **values)


def some_unread(folder: Path) -> list[SourceRecord]:
    """Return records of pictures of some kinds that were not read."""
    pdf = draw_sample("receipt", seed=1, format="pdf").data
    return [
        unread(folder / "a.jpg", encoded("JPEG")),
        unread(folder / "b.pdf", pdf),
        unread(folder / "c.tif", saved_pages("TIFF", 2), page=2),
    ]


def test_an_unmasked_page_shows_pictures_that_were_not_read(tmp_path: Path) -> None:
    """A person sees why a picture was not read: it is shown, without boxes, also as a page of a file."""
    page = written(*some_unread(tmp_path), policy=None, pictures="embed")
    assert [row["picture"] for row in rows_in(page)] == ["embedded"] * 3
    assert pictures_in(page)[0].size == SIZE
    assert set(pictures_in(page)) == set(thumbnails_in(page)) == {0, 1, 2}
    folder = Folder()
    written(*some_unread(tmp_path), policy=None, pictures="link", folder=folder)
    assert (list(folder.links), list(folder.files)) == (["a.1.jpg"], ["b.2.jpg", "c.3.png"])


@pytest.mark.parametrize(("status", "state"), [("skipped", State.SKIPPED), ("pending", State.CLAIMED)])
def test_no_page_opens_a_picture_that_was_not_sent(tmp_path: Path, status: str, state: State) -> None:
    """Its decoding may be what ended the processes of the run, and would end the report."""
    found = some_unread(tmp_path)
    entries = [record.entry and dataclasses.replace(record.entry, state=state) for record in found]
    records = [
        dataclasses.replace(record, status=status, entry=entry) for record, entry in zip(found, entries, strict=True)
    ]
    page = written(*records, policy=None, pictures="embed")
    assert not any("picture" in row or "no_picture" in row for row in rows_in(page))


@pytest.mark.parametrize("where", ["embed", "copy"])
def test_a_masked_page_opens_no_picture_that_was_not_read(tmp_path: Path, where: Any) -> None:
    """Nothing shows what would have to be masked, so such a picture is not opened, whatever the document is."""
    folder = Folder()
    page = written(*some_unread(tmp_path), pictures=where, folder=folder)
    assert not any("picture" in row or "no_picture" in row for row in rows_in(page))
    assert pictures_in(page) == thumbnails_in(page) == {}
    assert folder.files == {}


def test_a_picture_that_was_not_read_and_cannot_be_shown_is_named(tmp_path: Path) -> None:
    """A file that has changed, has several pages or is not a picture has the reason in its row."""
    pages = draw_sample("receipt", seed=1, format="pdf").data
    changed = unread(tmp_path / "a.jpg", encoded("JPEG"))
    (tmp_path / "a.jpg").write_bytes(encoded("PNG"))
    records = [
        changed,
        unread(tmp_path / "b.tif", saved_pages("TIFF", 2)),
        unread(tmp_path / "c.txt", b"text"),
        unread(tmp_path / "d.pdf", pages[: len(pages) // 4]),
        dataclasses.replace(changed, entry=None, status="skipped"),
    ]
    rows = rows_in(written(*records, policy=None, pictures="embed"))
    for row, reason in zip(rows, ["has changed", "has 2 pages", "not a picture", "is damaged"], strict=False):
        assert reason in row["no_picture"]["en"]
    assert "no_picture" not in rows[4]


def test_values_that_cannot_be_masked_hide_the_picture(tmp_path: Path) -> None:
    """Where the text of an image cannot be masked, its picture is not shown either."""
    apart = [cell(part, corners=BOX) for part in ("900101", "-", "1234", "567")]
    answer = {"result": {"ic": {"personalNum": [cell("900101-1234567", corners=BOX)], "name": apart}}}
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    record = read_record(str(tmp_path / "a.png"), "id-card", answer, data=encoded("PNG"))
    (row,) = rows_in(written(record, pictures="embed"))
    assert "masked for certain" in row["no_picture"]["en"]
    assert row["error"]["type"] == "RedactionError"


def test_thumbnails_need_no_pictures_in_full_size(tmp_path: Path) -> None:
    """With ``none`` for pictures in full size, the page has thumbnails, and says that there are no others."""
    page = written(shop(tmp_path / "a.png", encoded("PNG")), pictures="none")
    assert set(thumbnails_in(page)) == {0}
    assert "picture" not in rows_in(page)[0]
    assert "in full size" in run_in(page)["not_shown"][0]["en"]


def test_a_page_without_pictures_opens_none(tmp_path: Path) -> None:
    """With neither thumbnails nor pictures no file is opened, and the page says what it leaves out."""
    record = shop(tmp_path / "a.png", encoded("PNG"))
    (tmp_path / "a.png").unlink()
    page = written(record, pictures="none", embed_limit=0)
    assert "no_picture" not in rows_in(page)[0]
    assert ["thumbnail" in text["en"] for text in run_in(page)["not_shown"]] == [True, False]


def test_a_missing_library_costs_the_pictures_alone(tmp_path: Path) -> None:
    """Without the extra ``pictures`` the page is written, and says once what is to be installed."""
    album = Album("embed", None, Budget(10, 2), None, str, picture_of=_not_installed)
    record = shop(tmp_path / "a.png", encoded("PNG"))
    for number in range(2):
        assert album.show(read(record, None), number).keys == {}
    (text,) = not_shown(album, 0)
    assert "pip install" in text["en"]


def _not_installed(*_: object) -> Any:
    raise ConfigurationError("showing a picture needs PIL: pip install 'clova-ocr-async[pictures]'")


def test_a_full_page_leaves_out_pictures_then_values(tmp_path: Path) -> None:
    """A page at its limit has no thumbnails, then only the values to look at; it says so with numbers."""
    doubtful = {"storeInfo": {"name": cell("x" * 200)}, "totalPrice": {"price": cell("1,000", 0.4)}}
    picture = shop(tmp_path / "a.png", encoded("PNG"))
    records = [picture, read_record("b.png", "receipt", {"result": doubtful})]
    parts: list[bytes] = []
    view = RecordsView(records, 200_000)  # more rows are expected than there is room for
    write_report(view, options(pictures="embed"), parts.append)  # type: ignore[arg-type]
    page = b"".join(parts).decode()
    first, second = rows_in(page)
    assert first.get("fields", []) == []
    assert [field["p"] for field in second["fields"]] == ["result.totalPrice.price"]
    assert not thumbnails_in(page)
    texts = [text["en"] for text in run_in(page)["not_shown"]]
    assert texts[0].startswith("1 documents have no thumbnail")
    assert texts[1].startswith("1 documents have no large picture")
    assert texts[2].startswith("2 documents show only the values")


def test_pictures_are_where_they_fit() -> None:
    """Without a choice the pictures of a small run are in the page, and those of a large one beside it."""
    assert [chosen_pictures(count, beside=beside) for count in (200, 201) for beside in (True, False)] == [
        *("embed", "embed"),
        *("copy", "none"),
    ]


def test_large_pictures_are_written_soon(tmp_path: Path) -> None:
    """Blocks end early where their pictures are large, so that few of them are held."""
    noise = Image.effect_noise((1600, 1600), 200)
    file = io.BytesIO()
    noise.save(file, "PNG")
    record = shop(tmp_path / "a.png", file.getvalue(), noise.size)
    page = written(record, record, record, record, record, record, pictures="embed")
    assert len(re.findall('class="rows"', page)) > 1
    assert hashlib.sha256(file.getvalue()).digest() == record.entry.item.sha256  # type: ignore[union-attr]
