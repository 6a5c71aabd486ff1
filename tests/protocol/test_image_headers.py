from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed
import pytest
from PIL import Image

from clova_ocr_async.protocol.image_headers import (
    Dimensions,
    jpeg_dimensions,
    pdf_dimensions,
    png_dimensions,
    tiff_dimensions,
)

UNKNOWN = Dimensions()
SAMPLES = Path(__file__).parents[1] / "samples" / "pdf"


def _saved(kind: str, size: tuple[int, int] = (60, 40), *, mode: str = "RGB", pages: int = 1, **options: Any) -> bytes:
    file = io.BytesIO()
    if pages > 1:
        options |= {"save_all": True, "append_images": [Image.new(mode, size) for _ in range(pages - 1)]}
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def _saved_by_pdfium(pages: int) -> bytes:
    document, file = pdfium.PdfDocument.new(), io.BytesIO()
    for _ in range(pages):
        document.new_page(100, 100).close()
    document.save(file)
    document.close()
    return file.getvalue()


# PNG and JPEG


def test_png() -> None:
    """The side lengths of a PNG are those of its IHDR, and it has one page."""
    assert png_dimensions(_saved("PNG", (61, 37))) == (61, 37, 1)


def test_a_pixel_bomb_is_only_read() -> None:
    """The header of a PNG that would unpack to gigabytes is read without unpacking it."""
    head = _saved("PNG")
    bomb = head[:16] + struct.pack(">II", 50_000, 50_000) + head[24:]
    assert png_dimensions(bomb) == (50_000, 50_000, 1)


@pytest.mark.parametrize("cut", [8, 20, 23])
def test_png_broken(cut: int) -> None:
    """A PNG cut within its header has unknown side lengths."""
    assert png_dimensions(_saved("PNG")[:cut]) == (None, None, 1)


def test_png_of_no_width() -> None:
    """A side of zero pixels is unknown, not zero."""
    head = _saved("PNG")
    assert png_dimensions(head[:16] + bytes(4) + head[20:]) == (None, 40, 1)


def _exif_with_thumbnail() -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    return exif.tobytes() + _saved("JPEG", (16, 9))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"mode": "L"},
        {"mode": "CMYK"},
        {"restart_marker_blocks": 1},
        {"exif": _exif_with_thumbnail()},
        {"icc_profile": b"p" * 150_000, "comment": b"c" * 60_000, "exif": _exif_with_thumbnail()},
    ],
    ids=["baseline", "progressive", "grey", "cmyk", "restarts", "thumbnail", "many segments"],
)
def test_jpeg(options: dict[str, Any]) -> None:
    """The side lengths of a JPEG are those of its own frame, with any segments before it."""
    assert jpeg_dimensions(_saved("JPEG", (61, 37), **options)) == (61, 37, 1)


def _frame(marker: int, width: int = 61, height: int = 37) -> bytes:
    return struct.pack(">BBHBHHB", 0xFF, marker, 11, 8, height, width, 1) + b"\x01\x11\x00"


SOI, EOI, SOS, COMMENT = b"\xff\xd8", b"\xff\xd9", b"\xff\xda\x00\x02", b"\xff\xfe\x00\x04\xff\xc0"


@pytest.mark.parametrize("marker", sorted({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}))
def test_every_jpeg_frame(marker: int) -> None:
    """Each of SOF0 to SOF15 is a frame marker."""
    assert jpeg_dimensions(SOI + _frame(marker)) == (61, 37, 1)


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC])
def test_no_jpeg_frame(marker: int) -> None:
    """DHT, JPG and DAC have numbers among the frame markers, and are not frame markers."""
    assert jpeg_dimensions(SOI + _frame(marker, 1, 1) + _frame(0xC0)) == (61, 37, 1)


@pytest.mark.parametrize(
    "before",
    [b"\xff" * 9, b"garbage", b"\xff\x00", b"\xff\x01\xff\xd0\xff\xd7", COMMENT],
    ids=["fill bytes", "no marker", "stuffed zero", "bare markers", "comment that looks like a frame"],
)
def test_what_may_stand_before_a_jpeg_frame(before: bytes) -> None:
    """Fill bytes, padding and segments without a length before the frame are passed over as readers do."""
    assert jpeg_dimensions(SOI + before + _frame(0xC0)) == (61, 37, 1)


@pytest.mark.parametrize(
    "data",
    [
        SOI,
        SOI + b"\xff",
        SOI + b"\xff\xe0",
        SOI + b"\xff\xe0\x00",
        SOI + b"\xff\xe0\xff\xff" + _frame(0xC0),
        SOI + b"\xff\xe0\x00\x01" + _frame(0xC0),
        SOI + SOI + b"\x00\x02" + _frame(0xC0),
        SOI + EOI + b"\x00\x02" + _frame(0xC0),
        SOI + SOS + _frame(0xC0),
        SOI + _frame(0xC0)[:6],
        SOI + COMMENT * 10_000 + _frame(0xC0),
    ],
    ids=[
        *("ends", "cut marker", "no length", "cut length", "length past the end", "length below two", "second start"),
        *("end marker", "scan first", "cut frame", "ten thousand segments"),
    ],
)
def test_jpeg_broken(data: bytes) -> None:
    """A JPEG whose frame cannot be reached has unknown side lengths."""
    assert jpeg_dimensions(data) == (None, None, 1)


def test_jpeg_of_a_height_told_later() -> None:
    """A height of zero, which a DNL segment completes, is unknown, and the width is known."""
    assert jpeg_dimensions(SOI + _frame(0xC0, height=0)) == (61, None, 1)


def test_jpeg_cut_within_its_frame() -> None:
    """A frame header that ends after the height leaves the width unknown."""
    assert jpeg_dimensions(SOI + _frame(0xC0)[:8]) == (None, 37, 1)


# TIFF


@pytest.mark.parametrize("pages", [1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "tiff_lzw"}, {"mode": "I;16B"}, {"big_tiff": True}],
    ids=["little-endian", "compressed", "big-endian", "BigTIFF"],
)
def test_tiff(options: dict[str, Any], pages: int) -> None:
    """The pages of a TIFF are counted exactly, in both byte orders and both offset widths."""
    data = _saved("TIFF", (61, 37), pages=pages, **options)
    assert data[:2] == (b"MM" if options.get("mode") else b"II")
    assert tiff_dimensions(data) == (61, 37, pages)


Tags = dict[int, int]
PAGE: Tags = {254: 0, 256: 61, 257: 37}


def _tiff(*directories: Tags, order: str = "<", big: bool = False, kind: int = 4, last: int = 0) -> bytes:
    """Build a TIFF of directories only; ``last`` is the offset after the last one."""
    word, count, entry = ("Q", "Q", "HHQQ") if big else ("I", "H", "HHII")
    data = bytearray(struct.pack(order + "2sH", b"II" if order == "<" else b"MM", 43 if big else 42))
    data += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "I", 8)
    for number, tags in enumerate(directories, 1):
        data += struct.pack(order + count, len(tags))
        for tag, value in tags.items():
            size = struct.calcsize(order + word) * 8 - {1: 8, 3: 16, 4: 32, 16: 64}.get(kind, 64)
            data += struct.pack(order + entry, tag, kind, 1, value << size if order == ">" and size > 0 else value)
        behind = len(data) + struct.calcsize(order + word)
        data += struct.pack(order + word, behind if number < len(directories) else last)
    return bytes(data)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "BigTIFF"])
@pytest.mark.parametrize("kind", [1, 3, 4], ids=["BYTE", "SHORT", "LONG"])
def test_tiff_field_types(order: str, kind: int, *, big: bool) -> None:
    """A side length is read in whatever integer type it was written."""
    assert tiff_dimensions(_tiff(PAGE, PAGE, order=order, big=big, kind=kind)) == (61, 37, 2)


def test_tiff_long8() -> None:
    """BigTIFF's own integer type is read too."""
    assert tiff_dimensions(_tiff(PAGE, big=True, kind=16)) == (61, 37, 1)


def test_tiff_field_of_another_type() -> None:
    """A side length that is not an integer is unknown, and the page still counts."""
    assert tiff_dimensions(_tiff(PAGE, kind=5)) == (None, None, 1)


def test_tiff_field_of_several_values() -> None:
    """A side length of more than one value is unknown."""
    data = _tiff(PAGE)
    assert tiff_dimensions(data.replace(struct.pack("<HHI", 256, 4, 1), struct.pack("<HHI", 256, 4, 2))) == (
        None,
        37,
        1,
    )


@pytest.mark.parametrize(
    "thumbnail",
    [{254: 1, 256: 6, 257: 3}, {255: 2, 256: 6, 257: 3}, {254: 4, 256: 6, 257: 3}],
    ids=["reduced", "reduced by the old tag", "mask"],
)
def test_tiff_thumbnail(thumbnail: Tags) -> None:
    """Reduced versions and masks are not pages, before or after the page, and never give its side lengths."""
    assert tiff_dimensions(_tiff(PAGE, thumbnail)) == (61, 37, 1)
    assert tiff_dimensions(_tiff(thumbnail, PAGE)) == (61, 37, 1)
    assert tiff_dimensions(_tiff(PAGE, thumbnail, PAGE, thumbnail)) == (61, 37, 2)


def test_tiff_of_thumbnails_only() -> None:
    """A file of one reduced version has one page; of several, the number is unknown."""
    thumbnail = {254: 1, 256: 6, 257: 3}
    assert tiff_dimensions(_tiff(thumbnail)) == (6, 3, 1)
    assert tiff_dimensions(_tiff(thumbnail, thumbnail)) == (6, 3, None)


def test_tiff_page_of_several() -> None:
    """A directory with the bit "one page of several" is a page."""
    assert tiff_dimensions(_tiff({**PAGE, 254: 2}, {**PAGE, 254: 2})) == (61, 37, 2)


def test_tiff_sub_directories_are_no_pages() -> None:
    """A directory that only a SubIFDs field points to is not counted."""
    assert tiff_dimensions(_tiff({**PAGE, 330: 8})) == (61, 37, 1)


@pytest.mark.parametrize("last", [8, 9_999, 0xFFFFFFFF], ids=["loop", "outside", "far outside"])
def test_tiff_chain_broken(last: int) -> None:
    """A chain that loops or leaves the file leaves the pages unknown, and keeps what was read before."""
    assert tiff_dimensions(_tiff(PAGE, last=last)) == (61, 37, None)


@pytest.mark.parametrize(
    "data",
    [
        b"II*\x00",
        b"II+\x00",
        b"MM\x00*\x00\x00\x00\x02",
        _tiff()[:4] + struct.pack("<I", 8) + b"\xff\xff",
        _tiff({}),
        _tiff(PAGE, big=True)[:16] + b"\xff" * 8 + _tiff(PAGE, big=True)[24:],
        _tiff(PAGE)[:-5],
    ],
    ids=["no offset", "no BigTIFF offset", "points into the header", "lies", "no entry", "lies big", "cut"],
)
def test_tiff_broken(data: bytes) -> None:
    """A first directory that is cut or lies about its length leaves everything unknown."""
    assert tiff_dimensions(data)[2] is None


def test_tiff_without_directories() -> None:
    """The facts of a TIFF with an empty chain are unknown."""
    assert tiff_dimensions(b"II*\x00" + bytes(4)) == UNKNOWN


def test_tiff_of_too_many_entries() -> None:
    """Beyond a hundred thousand fields the pages are unknown, however well the chain is made."""
    entries = dict.fromkeys(range(1000, 61_000), 1)
    assert tiff_dimensions(_tiff(PAGE | entries)) == (61, 37, 1)
    assert tiff_dimensions(_tiff(PAGE | entries, PAGE | entries)) == (61, 37, None)


# PDF


@pytest.mark.parametrize("pages", [1, 2, 3, 150])
def test_pdf_of_pillow(pages: int) -> None:
    """The pages of what Pillow saves are counted exactly, also where the tree is too big to be walked."""
    assert pdf_dimensions(_saved("PDF", (4, 4), mode="L", pages=pages)) == (None, None, pages)


@pytest.mark.parametrize("pages", [1, 2, 3, 150])
def test_pdf_of_pdfium(pages: int) -> None:
    """The pages of what pdfium saves are counted exactly."""
    assert pdf_dimensions(_saved_by_pdfium(pages)) == (None, None, pages)


@pytest.mark.parametrize("more", [1, 2])
def test_pdf_updated_by_pillow(more: int, tmp_path: Path) -> None:
    """After an incremental update the newest revision counts."""
    file = tmp_path / "updated.pdf"
    file.write_bytes(_saved("PDF", pages=2))
    for _ in range(more):
        Image.new("L", (4, 4)).save(file, "PDF", append=True)
    assert pdf_dimensions(file.read_bytes()).pages == 2 + more


@pytest.mark.parametrize(
    ("name", "pages"),
    [
        ("reportlab-2-pages", 2),
        ("img2pdf-1-page", 1),
        ("qpdf-linearized-2-pages", 2),
        ("qpdf-object-streams-2-pages", None),
        ("mupdf-update-adds-page-2-pages", 2),
        ("mupdf-update-deletes-page-1-page", 1),
        ("pypdf-update-in-xref-stream-2-pages", None),
        ("pypdf-encrypted-1-page", None),
        ("pypdf-owner-locked-1-page", None),
        ("pypdf-attachment-of-3-pages-1-page", 1),
    ],
)
def test_pdf_of_other_programs(name: str, pages: int | None) -> None:
    """The pages of other programs' files are exact if the file is plain, else unknown."""
    assert pdf_dimensions((SAMPLES / f"{name}.pdf").read_bytes()).pages == pages


CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
PAGES = b"<</Type/Pages/Count 1/Kids[3 0 R]>>"
LEAF = b"<</Type/Page/Parent 2 0 R>>"
TRAILER = b"<</Size 9/Root 1 0 R>>"


def _pdf(*objects: bytes, trailer: bytes = TRAILER, tail: bytes = b"") -> bytes:
    """Build a PDF of the objects 1, 2, 3 ... with a classic table; ``{at}`` in the trailer is where it stands."""
    data, offsets = b"%PDF-1.4\n", list[int]()
    for number, content in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = trailer.replace(b"{at}", b"%d" % len(data))
    parts = (len(offsets) + 1, b"0000000000 65535 f \n", table, trailer, len(data), tail)
    return data + b"xref\n0 %d\n%s%strailer\n%s\nstartxref\n%d\n%%%%EOF\n%s" % parts


def test_pdf_plain() -> None:
    """The smallest plain file has its one page."""
    assert pdf_dimensions(_pdf(CATALOG, PAGES, LEAF)).pages == 1


@pytest.mark.parametrize(
    ("catalog", "pages"),
    [
        (CATALOG, b"<< /Type /Pages /Kids [ 3 0 R ] /Count %9 /Count 9\n 1 >>"),
        (CATALOG, b"<</Type/Pages/A(/Count 9 \\) (>>) )/Kids[3 0 R]/B<2F436F756E742039>/Count 1>>"),
        (
            CATALOG,
            b"<</A<</Count 9/Type/Page>>/B[/Count 9]/C 1 0 R/D null/E -1.5/F/Count/Type/Pages/Count 1/Kids[3 0 R]>>",
        ),
        (b"%<</Pages 4 0 R>>\n<</Type/Catalog/Pages 2 0 R/Names[(/Pages)<</Pages 4 0 R>>]>>", PAGES),
        (CATALOG, b"<</Type/Pages/Count 5 0 R/Kids[3 0 R]>>"),
    ],
    ids=["comment", "strings", "nested values", "names", "count elsewhere"],
)
def test_pdf_that_could_be_misread(catalog: bytes, pages: bytes) -> None:
    """Text in comments, strings and nested values is not taken for the page tree."""
    other = b"<</Type/Pages/Count 9/Kids[3 0 R]>>"
    assert pdf_dimensions(_pdf(catalog, pages, LEAF, other, b"1")).pages == 1


def test_pdf_inside_a_stream() -> None:
    """A whole PDF of two pages inside a stream of a PDF of one page is not seen."""
    inner = _saved("PDF", pages=2)
    stream = b"<</Length %d>>stream\n%s\nendstream" % (len(inner), inner)
    assert pdf_dimensions(_pdf(CATALOG, PAGES, LEAF, stream)).pages == 1


def test_pdf_of_a_deep_tree() -> None:
    """The pages of all the nodes of a tree are its pages."""
    root = b"<</Type/Pages/Count 3/Kids[3 0 R 4 0 R]>>"
    node = b"<</Type/Pages/Count 2/Kids[5 0 R 6 0 R]>>"
    assert pdf_dimensions(_pdf(CATALOG, root, LEAF, node, LEAF, LEAF)).pages == 3


@pytest.mark.parametrize(
    "objects",
    [
        (CATALOG, PAGES.replace(b"1", b"2"), LEAF),
        (CATALOG, PAGES.replace(b"3 0 R", b"3 0 R 3 0 R"), LEAF),
        (CATALOG, PAGES.replace(b"3 0 R", b"2 0 R"), LEAF),
        (CATALOG, PAGES.replace(b"3 0 R", b"3 0 R 4 0 R"), LEAF, LEAF),
        (CATALOG, PAGES.replace(b"3 0 R", b"3 0 R " * 200), LEAF),
        (CATALOG, PAGES.replace(b"3 0 R", b"".join(b"%d 0 R " % n for n in range(3, 150))), *[LEAF] * 150),
        (CATALOG, PAGES.replace(b"3 0 R", b"3 0"), LEAF),
        (CATALOG, PAGES.replace(b"[3 0 R]", b" 3 0 R"), LEAF),
        (CATALOG, PAGES.replace(b"/Kids", b"/Lambs"), LEAF),
        (CATALOG, PAGES.replace(b"3 0 R", b"3 0 R 3 0 R").replace(b"1", b"2"), LEAF),
        (CATALOG, PAGES.replace(b"[3 0 R]", b"<<3 0 R>>"), LEAF),
        (CATALOG, PAGES.replace(b"[3 0 R]", b"[]").replace(b"1", b"0"), LEAF),
        (CATALOG, PAGES.replace(b"1", b"0"), LEAF),
        (CATALOG, PAGES.replace(b"1", b"-1"), LEAF),
        (CATALOG, PAGES.replace(b"1", b"1.0"), LEAF),
        (CATALOG, PAGES.replace(b"1", b"9" * 5_000), LEAF),
        (CATALOG, PAGES.replace(b"1", b"(1)"), LEAF),
        (CATALOG, PAGES.replace(b"1", b"[1]"), LEAF),
        (CATALOG, PAGES.replace(b"1", b"8 0 R"), LEAF),
        (CATALOG, PAGES.replace(b"/Count 1", b""), LEAF),
        (CATALOG, PAGES.replace(b"/Count 1", b"/Count 2/Count 1"), LEAF),
        (CATALOG, PAGES.replace(b"/Count", b"/C#6funt 2/Count"), LEAF),
        (CATALOG, PAGES.replace(b"/Count 1", b"/Count 1/Odd"), LEAF),
        (CATALOG, PAGES.replace(b">>", b"/Odd>>"), LEAF),
        (CATALOG, PAGES.replace(b"/Count 1", b"/Count 1 2 3"), LEAF),
        (CATALOG, PAGES.replace(b"/Count 1", b"R/Count 1"), LEAF),
        (CATALOG, PAGES.replace(b">>", b""), b""),
        (CATALOG, PAGES.replace(b"/Count 1", b"/Count {1}"), LEAF),
        (CATALOG, PAGES.replace(b"/Count 1", b"/A (((()/Count 1"), LEAF),
        (CATALOG, PAGES, b"[1]"),
        (CATALOG, PAGES, LEAF.replace(b"/Page", b"/Sage")),
        (CATALOG, PAGES.replace(b"/Pages", b"/Cages"), LEAF),
        (CATALOG.replace(b"/Catalog", b"/Dogalog"), PAGES, LEAF),
        (CATALOG.replace(b"2 0 R", b"2 1 R"), PAGES, LEAF),
        (CATALOG.replace(b"2 0 R", b"0 65535 R"), PAGES, LEAF),
        (CATALOG.replace(b"2 0 R", b"<</Count 1>>"), PAGES, LEAF),
        (CATALOG, b"<<" + b"/A 1 " * 120_000 + PAGES[2:], LEAF),
        (CATALOG.replace(b">>", b"/A[%s]>>" % (b"[]" * 105_000)), PAGES, LEAF),
        (CATALOG, b"<<" + b" " * 300_000 + PAGES[2:], LEAF),
    ],
)
def test_pdf_not_plain(objects: tuple[bytes, ...]) -> None:
    """The pages are unknown if the page tree is missing, contradicts itself or is unusual."""
    assert pdf_dimensions(_pdf(*objects)) == UNKNOWN


@pytest.mark.parametrize(
    "trailer",
    [
        b"<</Size 9>>",
        b"<<>>",
        b"",
        b"<</Root 1 0 R/Encrypt 4 0 R>>",
        b"<</Root 1 0 R/XRefStm 9>>",
        b"<</Root 1 0 R/Prev {at}>>",
        b"<</Root 1 0 R/Prev 9>>",
        b"<</Root 1 0 R/Prev 999999999>>",
        b"<</Root 1 0 R/Prev 1 0 R>>",
        b"<</Root/Pages>>",
    ],
    ids=[
        *(
            "no root",
            "empty",
            "none",
            "encrypted",
            "hybrid",
            "loop",
            "no table",
            "outside",
            "indirect",
            "root is a name",
        ),
    ],
)
def test_pdf_trailer_not_plain(trailer: bytes) -> None:
    """The pages are unknown if the trailer is broken, or leads to parts that are not plain."""
    assert pdf_dimensions(_pdf(CATALOG, PAGES, LEAF, trailer=trailer)) == UNKNOWN


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"%PDF-", b"junk\n%PDF-"),
        (b"xref\n0", b"xray\n0"),
        (b"startxref", b"startyref"),
        (b"startxref\n", b"startxref\n9"),
        (b"%%EOF", b"%EOF"),
        (b"0 4\n", b"0 5\n"),
        (b"0 4\n", b"4\n"),
        (b"0 4\n", b"1 4\n"),
        (b" 00000 n \n", b" 00000 n\n"),
        (b" 00000 n \n", b" 00000 f \n"),
        (b"1 0 obj", b"1 0 obi"),
        (b"0 4\n", b"0 0\n" * 10_001 + b"0 4\n"),
    ],
)
def test_pdf_table_broken(old: bytes, new: bytes) -> None:
    """A table that is not where or what it should be leaves the pages unknown."""
    plain = _pdf(CATALOG, PAGES, LEAF)
    assert old in plain
    assert pdf_dimensions(plain.replace(old, new)) == UNKNOWN


def test_pdf_of_too_many_updates() -> None:
    """A file of a hundred revisions is counted, and of more is unknown."""
    data = _pdf(CATALOG, PAGES, LEAF)
    for revision in range(2, 102):
        assert revision not in {2, 100} or pdf_dimensions(data).pages == 1
        before, at = data.rsplit(b"startxref\n", 1)[1].split()[0], len(data)
        data += b"xref\n0 0\ntrailer\n<</Root 1 0 R/Prev %s>>\nstartxref\n%d\n%%%%EOF\n" % (before, at)
    assert pdf_dimensions(data) == UNKNOWN


@pytest.mark.parametrize("entry", [b"0000000000 00001 f \n", b"0000000054 00000 f \n", b"0000000009 00000 n \n"])
def test_pdf_update_that_takes_the_tree_away(entry: bytes) -> None:
    """An object that the newest revision frees or misplaces does not exist, although an older revision has it."""
    data = _pdf(CATALOG, PAGES, LEAF)
    assert data[54:].startswith(b"2 0 obj")
    before, at = data.rsplit(b"startxref\n", 1)[1].split()[0], len(data)
    update = b"xref\n2 1\n%strailer\n<</Root 1 0 R/Prev %s>>\nstartxref\n%d\n%%%%EOF\n" % (entry, before, at)
    assert pdf_dimensions(data + update) == UNKNOWN


def test_pdf_update_not_ended() -> None:
    """An update whose end is broken leaves the pages unknown; the revision before it does not count any more."""
    assert pdf_dimensions(_pdf(CATALOG, PAGES, LEAF, tail=b"2 0 obj 0 endobj\nstartxref\n99")) == UNKNOWN


def test_pdf_followed_by_something() -> None:
    """Bytes after the end do not matter while the end stands in the last four kilobytes."""
    assert pdf_dimensions(_pdf(CATALOG, PAGES, LEAF, tail=b"\x00" * 4_000)).pages == 1
    assert pdf_dimensions(_pdf(CATALOG, PAGES, LEAF, tail=b"\x00" * 5_000)) == UNKNOWN


# A quadratic reader would need hours for each of these, and this one is done before the suite's time limit.

SIZE = 8_000_000


def _hostile_pdf(body: bytes) -> bytes:
    return b"%PDF-1.4\n" + body + b"\nstartxref\n9\n%%EOF"


@pytest.mark.parametrize(
    "data",
    [
        SOI + b"\xff" * SIZE,
        SOI + b"\xff\x00" * (SIZE // 2),
        SOI + b"\xff\xd0" * (SIZE // 2),
        SOI + b"\xff\xe0\x00\x02" * (SIZE // 4),
    ],
    ids=["fill bytes", "stuffed zeros", "restart markers", "empty segments"],
)
def test_hostile_jpeg(data: bytes) -> None:
    """Megabytes of markers cost no more than their length."""
    assert jpeg_dimensions(data) == (None, None, 1)


def test_hostile_tiff() -> None:
    """Megabytes of directories that overlap or follow each other cost no more than their length."""
    assert tiff_dimensions(b"II*\x00\x08\x00\x00\x00" + b"\x01\x10\x00\x00" * (SIZE // 4)) == UNKNOWN
    assert tiff_dimensions(_tiff(*[{256: 5}] * 150_000)) == (5, None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"xref\ntrailer<<" + b"/A 1 " * (SIZE // 5),
        b"xref\ntrailer<</A" + b"(" * SIZE,
        b"xref\ntrailer<</A" + b"(()" * (SIZE // 3),
        b"xref\ntrailer<</A" + b"[" * SIZE,
        b"xref\ntrailer<</A" + b"<" * SIZE,
        b"xref\ntrailer<</A" + b"%\n" * (SIZE // 2),
        b"xref" + b" " * SIZE,
        b"xref\n" + b"0 0\n" * (SIZE // 4),
        b"xref\n" + b"1" * SIZE,
        b"".join(b"xref\ntrailer<</Prev %09d/A[<<" % (9 + 34 * number) for number in range(1, SIZE // 34)),
    ],
    ids=[
        "names",
        "open strings",
        "strings",
        "arrays",
        "hex",
        "comments",
        "blanks",
        "sections",
        "digits",
        "nested tables",
    ],
)
def test_hostile_pdf(body: bytes) -> None:
    """Megabytes of tokens, blanks or tables inside each other cost no more than their length."""
    assert pdf_dimensions(_hostile_pdf(body)) == UNKNOWN
