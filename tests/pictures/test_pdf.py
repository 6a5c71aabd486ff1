from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import pikepdf
import PIL.Image
import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed
import pytest
from pikepdf import Array, Dictionary, Name
from support.pdfs import add_form, ink, noise, pdf_of, saved, scans, text_of, written

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures import Preparation
from clova_ocr_async.pictures.pages import count_pages, cut_page, require_pages

SAMPLES = sorted((Path(__file__).parents[1] / "samples" / "pdf").glob("*.pdf"))


def cut(file: Any, number: int = 1, max_bytes: int | None = None, **settings: Any) -> Any:
    """Cut a page with some settings."""
    return cut_page(file, number, max_bytes=max_bytes, preparation=Preparation(**settings) if settings else None)


def test_a_page_is_cut_without_a_loss(tmp_path: Path) -> None:
    """Each page becomes a PDF of one page, with its text still text; the picture states page, sizes and hash."""
    path = tmp_path / "스캔.pdf"
    path.write_bytes(pdf_of(12))
    for number in range(1, 13):
        data, picture = cut(path, number)
        assert count_pages(data) == 1
        assert text_of(data).strip() == f"page {number}"
        assert picture.steps == (f"page {number} of 12",)
        assert (picture.page, picture.size, picture.sent_size) == (number, (300, 200), None)
        assert picture.sha256 == hashlib.sha256(data).hexdigest()


def test_equal_files_give_equal_bytes(tmp_path: Path) -> None:
    """A page that is cut twice, from a path and from bytes, is the same file."""
    data = saved(scans(3))
    path = tmp_path / "scan.pdf"
    path.write_bytes(data)
    assert len({cut(path, 2)[0], cut(data, 2)[0], cut(path, 2)[0]}) == 1


def test_a_page_has_the_same_id_at_any_time() -> None:
    """The id of a file that qpdf writes is made of the time by default; that of a page is qpdf's fixed one."""
    with pikepdf.open(io.BytesIO(cut(pdf_of(2), 2)[0])) as pdf:
        assert [bytes(part).hex()[:16] for part in pdf.trailer.ID] == ["3141592653589793"] * 2


def test_a_file_of_one_page_is_sent_byte_for_byte(tmp_path: Path) -> None:
    """The only page of a file is the file itself, with page and steps left empty."""
    path = tmp_path / "one.pdf"
    path.write_bytes(pdf_of(1))
    data, picture = cut(path)
    assert data == path.read_bytes()
    assert (picture.page, picture.steps, picture.sha256, picture.size) == (None, (), None, (300, 200))


def test_shared_resources_do_not_travel() -> None:
    """A page brings the pictures that it shows, not those of all pages that share its resources."""
    data = saved(scans(60, inherited=True))
    assert sum(len(cut(data, number)[0]) for number in range(1, 61)) < 1.2 * len(data)


def _of_one_dictionary(pdf: pikepdf.Pdf) -> pikepdf.Pdf:
    """Let all pages have one object as their resources, and another one in it as their pictures."""
    pictures = Dictionary({key: picture for page in pdf.pages for key, picture in page.obj.Resources.XObject.items()})
    shared = pdf.make_indirect(Dictionary(XObject=pdf.make_indirect(pictures)))
    for page in pdf.pages:
        page.obj.Resources = shared
    return pdf


@pytest.mark.parametrize("inherited", [False, True])
def test_shared_resources_stay_for_the_next_pages(inherited: bool) -> None:
    """Each page has its own picture, in whatever order pages that share resources are cut, and it alone."""
    data = saved(scans(3, inherited=True) if inherited else _of_one_dictionary(scans(3)))
    for number in (3, 1, 2, 3):
        with pikepdf.open(io.BytesIO(cut(data, number)[0])) as pdf:
            assert list(pdf.pages[0].obj.Resources.XObject.keys()) == [f"/Im{number - 1}"]


@pytest.mark.parametrize("number", [7, 10_000])
def test_no_such_page(number: int) -> None:
    """A page that the file does not have is refused with the pages that it has."""
    with pytest.raises(ImageError, match=rf"the image has 6 pages, so there is no page {number:,}; .* from 1 to 6"):
        cut(pdf_of(6), number)


def test_a_page_over_the_limit_is_rendered() -> None:
    """A page that is larger than the limit becomes a JPEG within it, and the steps state why."""
    data = saved(_with_ballast(2, 400_000))
    sent, picture = cut(data, 2, max_bytes=300_000)
    assert len(sent) <= 300_000
    assert PIL.Image.open(io.BytesIO(sent)).size == picture.sent_size == (834, 556)
    assert picture.steps[0] == "page 2 of 2"
    assert picture.steps[1].startswith("rendered at 200 dpi to jpeg (the page has 4")


def test_a_wasteful_page_is_rendered() -> None:
    """A page that brings more than 2 MB, and more than 4 times its rendering, becomes a JPEG."""
    sent, picture = cut(saved(_with_ballast(2, 2_100_000)), 1)
    assert sent[:3] == b"\xff\xd8\xff"
    assert "rendered at 200 dpi to jpeg (the page has 2,1" in picture.steps[1]


def test_a_large_page_that_is_worth_its_size_stays(tmp_path: Path) -> None:
    """A page of more than 2 MB is cut all the same if its rendering is not much smaller."""
    grain = PIL.Image.frombytes("L", (1700, 2200), noise(1700 * 2200))
    path = tmp_path / "grain.pdf"
    grain.save(path, save_all=True, append_images=[grain], quality=90, resolution=200)
    sent, picture = cut(path, 2)
    assert (sent[:4], len(sent) > 2_000_000, picture.steps) == (b"%PDF", True, ("page 2 of 2",))


def test_a_large_page_that_cannot_be_rendered_is_cut() -> None:
    """A page that pdfium cannot draw is sent as it was cut, if it may be."""
    pdf = _with_ballast(2, 2_100_000)
    _hold_image(pdf, 20_000, 20_000)
    assert cut(saved(pdf), 1)[0][:4] == b"%PDF"


def _with_ballast(pages: int, size: int) -> pikepdf.Pdf:
    """Return a PDF with a large font on each page, as Korean ones have."""
    pdf = written(*["text"] * pages)
    font = pdf.make_indirect(
        Dictionary(
            Type=Name.Font,
            Subtype=Name.TrueType,
            BaseFont=Name.Other,
            FontDescriptor=Dictionary(
                Type=Name.FontDescriptor, FontName=Name.Other, Flags=4, FontFile2=pdf.make_stream(noise(size))
            ),
        )
    )
    for page in pdf.pages:
        page.obj.Resources.Font.F2 = font
        page.obj.Contents = pdf.make_stream(b"BT /F1 24 Tf 20 100 Td (text) Tj /F2 8 Tf ( ) Tj ET")
    return pdf


def _hold_image(pdf: pikepdf.Pdf, width: object, height: object) -> None:
    """Put a picture of some size on each page."""
    image = pdf.make_stream(b"")
    image.Type, image.Subtype, image.Width, image.Height = Name.XObject, Name.Image, width, height
    for page in pdf.pages:
        page.obj.Resources.XObject = Dictionary(Im=image)
        page.obj.Contents = pdf.make_stream(b"BT /F1 24 Tf (t) Tj /F2 8 Tf ( ) Tj ET q 300 0 0 200 0 0 cm /Im Do Q")


def test_rendering_on_request() -> None:
    """With render=True each page is a JPEG at the dpi that was asked for, the only page of a file too."""
    sent, picture = cut(pdf_of(3), 3, render=True, dpi=144)
    assert (picture.sent_size, picture.page) == ((600, 400), 3)
    assert picture.steps == ("page 3 of 3", "rendered at 144 dpi to jpeg")
    assert picture.sha256 == hashlib.sha256(sent).hexdigest()
    sent, picture = cut(pdf_of(1), render=True)
    assert (sent[:2], picture.page, picture.steps) == (b"\xff\xd8", None, ("rendered at 200 dpi to jpeg",))


def test_a_lower_quality_gives_fewer_bytes() -> None:
    """The quality of a rendering is that of the preparation."""
    data = pdf_of(2)
    assert len(cut(data, 1, render=True, quality=30)[0]) < len(cut(data, 1, render=True, quality=95)[0])


def test_a_rendering_stays_within_8000_pixels() -> None:
    """A large page is rendered at a lower dpi, and the steps state that."""
    pdf = written("poster", "poster", MediaBox=[0, 0, 14400, 144])
    _, picture = cut(saved(pdf), 1, render=True)
    assert picture.sent_size == (8000, 80)
    assert picture.steps[1] == "rendered at 40 dpi to jpeg (200 dpi would exceed the limits)"


def test_a_rendering_is_made_smaller_for_the_limit_of_bytes() -> None:
    """A rendering over the limit of bytes is made at a lower dpi."""
    sent, picture = cut(pdf_of(2), 1, max_bytes=6_000, render=True)
    assert len(sent) <= 6_000
    assert "would exceed the limits" in picture.steps[1]


def test_a_page_that_cannot_be_made_small_enough() -> None:
    """A page that stays over the limit of bytes in every try is refused with the limit to raise."""
    with pytest.raises(
        ImageError, match=r"page 1 of the image has .* and 100 are allowed; raise ImageLimits.max_bytes"
    ):
        cut(pdf_of(2), 1, max_bytes=100)


@pytest.mark.parametrize("unit", [1, 2])
def test_the_unit_of_a_page(unit: int) -> None:
    """A page whose unit is longer than a point is rendered as large as it is; its sizes stay in its own units."""
    _, picture = cut(saved(written("a", "b", UserUnit=unit)), 1, render=True, dpi=72)
    assert (picture.sent_size, picture.size) == ((300 * unit, 200 * unit), (300, 200))


BOXES = [None, [0, 0, 300, 200], [50, 40, 250, 150], [-50, 50, 450, 150], [250, 150, 50, 40], [5, 5, 5, 5], [1, 2, 3]]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270, -90, 450, 45])
@pytest.mark.parametrize("box", BOXES)
def test_geometry_is_that_of_pdfium(rotation: int, box: list[int] | None) -> None:
    """Size, rotation and crop box of a page are those that pdfium finds, and the cut page keeps them."""
    pdf = written("a", "b", Rotate=rotation, **({} if box is None else {"CropBox": Array(box)}))
    data = saved(pdf)
    document = pdfium.PdfDocument(data)
    page = document[0]
    size, turned = page.get_size(), page.get_rotation()
    page.close()
    document.close()
    sent, picture = cut(data, 1)
    assert picture.size == pytest.approx(size)
    assert picture.rotation == turned
    assert cut(sent)[1].crop_box == picture.crop_box
    rendered = cut(data, 1, render=True, dpi=72)[1]
    assert rendered.sent_size == pytest.approx(size, abs=1)


def test_inherited_geometry() -> None:
    """Boxes and rotation that pages inherit are kept."""
    pdf = written("a", "b")
    for page in pdf.pages:
        del page.obj["/MediaBox"]
    pdf.Root.Pages.MediaBox, pdf.Root.Pages.Rotate = Array([0, 0, 100, 50]), 90
    sent, picture = cut(saved(pdf), 2)
    assert (picture.size, picture.rotation) == ((50, 100), 90)
    assert cut(sent)[1].size == (50, 100)


def test_pages_of_different_sizes() -> None:
    """Each page has its own size."""
    pdf = written("a", "b")
    pdf.add_blank_page(page_size=(842, 595))
    assert [cut(saved(pdf), number)[1].size for number in (1, 3)] == [(300, 200), (842, 595)]


@pytest.mark.parametrize("shown", [True, False], ids=["drawn", "left to the reader"])
def test_fields_of_a_form_stay_visible(shown: bool) -> None:
    """Filled fields are in the page that was cut and in its rendering, and no other page comes with them."""
    data = saved(add_form(written("a", "b", "c"), drawn=shown))
    for settings in ({}, {"render": True, "dpi": 72}):
        sent, _ = cut(data, 2, **settings)
        assert ink(sent, (0, 0.7, 0.5, 1)) > 0.03
        assert ink(sent, (0.5, 0.7, 1, 1)) > 0.03
    with pikepdf.open(io.BytesIO(cut(data, 2)[0])) as pdf:
        assert sum(item.get("/Type") == "/Page" for item in pdf.objects if isinstance(item, Dictionary)) == 1


def test_fields_that_no_form_lists() -> None:
    """Fields of a file without a form are in the cut page as well."""
    sent, _ = cut(_saved_with_orphans(), 2)
    assert ink(sent, (0, 0.7, 0.5, 1)) > 0.03


def _saved_with_orphans() -> bytes:
    """Return a PDF with fields on its pages and no list of them."""
    pdf = add_form(written("a", "b"))
    del pdf.Root.AcroForm
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pikepdf's, about what is missing
        return saved(pdf)


def test_links_to_other_pages_bring_none() -> None:
    """A page with a link to another one is cut alone."""
    pdf = written("a", "b")
    link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=[0, 0, 9, 9], Dest=Array([pdf.pages[1].obj, Name.Fit]))
    pdf.pages[0].obj.Annots = Array([pdf.make_indirect(link)])
    sent, _ = cut(saved(pdf), 1)
    assert text_of(sent).strip() == "a"
    assert count_pages(sent) == 1


def test_hidden_layers_stay_hidden() -> None:
    """A layer that readers do not show is not shown in the cut page."""
    pdf = written("a", "b")
    layer = pdf.make_indirect(Dictionary(Type=Name.OCG, Name="secret"))
    pdf.Root.OCProperties = Dictionary(OCGs=[layer], D=Dictionary(OFF=[layer], Order=[layer]))
    for page in pdf.pages:
        page.obj.Resources.Properties = Dictionary(L=layer)
        page.obj.Contents = pdf.make_stream(b"/OC /L BDC 0 0 300 200 re f EMC")
    assert ink(cut(saved(pdf), 2)[0]) == 0


def test_owner_password_only() -> None:
    """A file that opens without a password is cut, and the steps state that its protection is gone."""
    data = saved(written("a", "b"), encryption=pikepdf.Encryption(owner="secret", user=""))
    sent, picture = cut(data, 2)
    assert text_of(sent).strip() == "b"
    assert picture.steps == ("page 2 of 2", "decrypted (owner password)")


@pytest.mark.parametrize("pages", [1, 3])
def test_a_user_password(pages: int) -> None:
    """A file that needs a password is refused with the command that removes it, and cannot be counted."""
    data = saved(written(*"abc"[:pages]), encryption=pikepdf.Encryption(owner="o", user="u"))
    assert count_pages(data) is None
    with pytest.raises(ImageError, match="is encrypted and needs a password; remove it first: qpdf --decrypt"):
        cut(data, 1)


def _without_table(data: bytes) -> bytes:
    """Return a PDF without its cross-reference table."""
    return data[: data.rfind(b"\nxref") + 1] + b"trailer << /Root 1 0 R >>\nstartxref\n0\n%%EOF\n"


def plain(pdf: pikepdf.Pdf) -> bytes:
    """Return a PDF with a classic table."""
    return saved(pdf, object_stream_mode=pikepdf.ObjectStreamMode.disable)


def without_object(data: bytes, number: int) -> bytes:
    """Return a PDF one of whose objects cannot be found."""
    start = data.index(b"\n%d 0 obj" % number) + 1
    return data[:start] + b"%" + data[start + 1 :]


def pages_of(data: bytes) -> list[int]:
    """Return the numbers of the objects that are the pages of a PDF."""
    with pikepdf.open(io.BytesIO(data)) as pdf:
        return [page.obj.objgen[0] for page in pdf.pages]


@pytest.mark.parametrize("pages", ["a", "abc"])
def test_a_file_that_had_to_be_recovered(pages: str) -> None:
    """A file without its table is refused, as parts of it may be missing, and the error names a repair."""
    data = _without_table(plain(written(*pages)))
    assert count_pages(data) is None
    with pytest.raises(
        ImageError, match=r"the image is damaged, and parts of it may be lost; .* qpdf in\.pdf out\.pdf"
    ):
        cut(data, len(pages))


@pytest.mark.parametrize("lost", [1, 2])
def test_a_file_that_lost_pages(lost: int) -> None:
    """A file is refused if some of its pages cannot be found, also if only one is left."""
    data = plain(written("a", "b", "c"))
    for number in pages_of(data)[-lost:]:
        data = without_object(data, number)
    assert count_pages(data) is None
    with pytest.raises(ImageError, match="the image is damaged, and parts of it may be lost"):
        cut(data, 1)


def test_a_page_that_had_to_be_recovered() -> None:
    """A page is refused if a part of it is not where the table has it; the others are cut."""
    data = plain(scans(3))
    with pikepdf.open(io.BytesIO(data)) as pdf:
        picture = pdf.pages[0].obj.Resources.XObject.Im0.objgen[0]
    lost = without_object(data, picture)
    assert count_pages(lost) == 3
    assert cut(lost, 3)[1].page == 3
    with pytest.raises(ImageError, match="page 1 of the image is damaged, and parts of it may be lost"):
        cut(lost, 1)


def test_junk_before_the_header() -> None:
    """Bytes before the header, as mail programs leave them, do no harm."""
    data = b"\r\nContent-Type: application/pdf\r\n\r\n" + pdf_of(3)
    assert count_pages(data) == 3
    assert text_of(cut(data, 2)[0]).strip() == "page 2"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_file_that_is_cut_off(share: float) -> None:
    """A file without its end is refused, though pages could be recovered without their content."""
    data = plain(scans(6))
    part = data[: int(len(data) * share)]
    assert count_pages(part) is None
    with pytest.raises(
        ImageError, match="is cut off: the end of its pdf data is missing; get the whole file"
    ) as caught:
        cut(part, 1)
    assert caught.value.truncated


def test_padding_behind_the_end_is_not_taken_for_a_missing_end() -> None:
    """A file with much padding, whose table qpdf then does not find, is damaged and not cut off: its end is there."""
    with pytest.raises(ImageError, match=r"damaged.*qpdf in\.pdf out\.pdf") as caught:
        cut(plain(scans(2)) + bytes(3000), 1)
    assert not caught.value.truncated


def test_a_file_whose_middle_is_missing() -> None:
    """A file whose end is there and whose pages are gone is refused."""
    data = plain(scans(6))
    with pytest.raises(ImageError, match="damaged"):
        cut(data[:1000] + data[-300:], 1)


def test_a_page_whose_content_is_gone() -> None:
    """A page of which nothing is left is refused; the others are cut."""
    data = plain(scans(3))
    gone = data.replace(b"/Length 20000", b"/Length 19000", 1)
    assert count_pages(gone) == 3
    assert cut(gone, 3)[1].page == 3
    with pytest.raises(ImageError, match="page 1 of the image is damaged, and nothing of the page is left"):
        cut(gone, 1)


@pytest.mark.parametrize(
    "data", [b"%PDF-1.4", b"%PDF-1.4\n%%EOF", b"%PDF-1.7\n" + noise(3000) + b"\nstartxref\n5\n%%EOF"]
)
def test_rubbish_after_the_header(data: bytes) -> None:
    """A file that only begins as a PDF is refused."""
    assert count_pages(data) is None
    with pytest.raises(ImageError, match=r"the image cannot be read \(PdfError\): the file is damaged"):
        cut(data, 1)


def test_no_page() -> None:
    """A PDF without pages is refused."""
    with pytest.raises(ImageError, match="the image has no page; check that the file was written to its end"):
        require_pages(saved(pikepdf.new()))


def test_a_page_tree_with_a_loop() -> None:
    """A page tree that leads back to itself is refused."""
    pdf = written("a", "b")
    node = pdf.make_indirect(Dictionary(Type=Name.Pages, Count=2, Kids=[], Parent=pdf.Root.Pages))
    node.Kids = Array([pdf.pages[0].obj, node])
    pdf.Root.Pages.Kids = Array([node, pdf.pages[1].obj])
    with pytest.raises(ImageError, match="damaged"):
        require_pages(saved(pdf))


@pytest.mark.parametrize("count", [b"0", b"9"])
def test_a_count_that_lies(count: bytes) -> None:
    """The pages are counted, not read from the number in the file."""
    assert count_pages(plain(written("a", "b")).replace(b"/Count 2", b"/Count " + count)) == 2


def test_ten_thousand_pages(tmp_path: Path) -> None:
    """A file of 10,000 pages is counted, and its last page is cut."""
    pdf = pikepdf.new()
    pdf.add_blank_page(page_size=(300, 200))
    kids = Array([pdf.make_indirect(Dictionary(Type=Name.Page, MediaBox=[0, 0, 300, 200])) for _ in range(10_000)])
    pdf.Root.Pages.Kids, pdf.Root.Pages.Count = kids, 10_000
    path = tmp_path / "long.pdf"
    pdf.save(path)
    assert count_pages(path) == 10_000
    assert cut(path, 10_000)[1].steps == ("page 10,000 of 10,000",)


def test_pages_after_many_others(tmp_path: Path) -> None:
    """A document that is opened anew between two pages, to free memory, gives the same pages."""
    path = tmp_path / "scan.pdf"
    scans(12, 1_900_000).save(path)
    pages = [cut(path, number)[0] for number in range(1, 13)]
    assert pages[-2:] == [cut(path.read_bytes(), number)[0] for number in (11, 12)]
    assert len(set(pages)) == 12


def test_instructions_that_unpack_to_gigabytes() -> None:
    """A page whose drawing instructions would fill the memory is refused before they are unpacked."""
    pdf = written("a", "b")
    pdf.pages[0].obj.Contents = pdf.make_stream(bytes(150_000_000))
    pdf.pages[1].obj.Contents = Array([pdf.make_stream(b"q"), pdf.make_stream(b"Q")])
    data = saved(pdf)
    assert len(data) < 500_000
    with pytest.raises(ImageError, match="page 1 of the image has drawing instructions of more than 104,857,600 bytes"):
        cut(data, 1)
    assert cut(data, 2)[0]


def test_parts_that_unpack_to_gigabytes() -> None:
    """A part that is drawn by a name is looked at too, and a part that draws itself ends."""
    pdf = written("a", "b")
    inner = pdf.make_stream(bytes(150_000_000))
    outer = pdf.make_stream(b"/Inner Do /Outer Do")
    for part in (inner, outer):
        part.Type, part.Subtype, part.BBox = Name.XObject, Name.Form, Array([0, 0, 9, 9])
    picture = pdf.make_stream(b"")
    picture.Subtype = Name.Image
    outer.Resources = Dictionary(XObject=Dictionary(Inner=inner, Outer=outer, Picture=picture))
    pdf.pages[0].obj.Resources.XObject = Dictionary(Outer=outer)
    pdf.pages[0].obj.Contents = pdf.make_stream(b"/Outer Do")
    with pytest.raises(ImageError, match="drawing instructions of more than"):
        cut(saved(pdf), 1)


def test_other_ways_to_pack_instructions() -> None:
    """Instructions that are packed twice are refused where they may be long; broken ones are read as far as they go."""
    pdf = written("a", "b")
    for page, filters in zip(pdf.pages, ([Name.FlateDecode, Name.FlateDecode], Name.FlateDecode), strict=True):
        page.obj.Contents = pikepdf.Stream(pdf, noise(200_000))
        page.obj.Contents.Filter = Array(filters) if isinstance(filters, list) else filters
    data = saved(pdf, compress_streams=False)
    with pytest.raises(ImageError, match="drawing instructions of more than"):
        cut(data, 1)
    with pytest.raises(ImageError, match="page 2 of the image is damaged, and nothing of the page is left"):
        cut(data, 2)


def test_a_picture_too_large_to_be_decoded() -> None:
    """A page with a picture of billions of pixels is cut; it is refused where it would be rendered."""
    pdf = _with_ballast(2, 1000)
    _hold_image(pdf, 50_000, 50_000)
    data = saved(pdf)
    assert cut(data, 1)[0][:4] == b"%PDF"
    with pytest.raises(
        ImageError, match="holds a picture of 2,500,000,000 pixels, and at most 300,000,000 are decoded"
    ):
        cut(data, 1, render=True)


def test_a_page_that_cannot_be_rendered() -> None:
    """A page without an area cannot be rendered, and the error names the page."""
    data = saved(written("a", "b", CropBox=Array([400, 400, 500, 500])))
    with pytest.raises(ImageError, match="page 2 of the image cannot be rendered"):
        cut(data, 2, render=True)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_pages_of_other_programs(file: Path) -> None:
    """Each page of what other programs write is cut, and shows what it showed."""
    pages = int(file.stem.split("-")[-2])
    if "encrypted" in file.stem:
        assert count_pages(file) is None
        return
    assert count_pages(file) == pages
    for number in range(1, pages + 1):
        sent, _ = cut(file, number)
        assert text_of(sent) == text_of(file.read_bytes(), number - 1)
