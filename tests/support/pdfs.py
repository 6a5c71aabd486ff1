"""PDFs as other programs write them, and worse ones."""

from __future__ import annotations

import io
import random
import re
from typing import TYPE_CHECKING, Any

import pikepdf
import pypdf
import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed
from pikepdf import Array, Dictionary, Name

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["add_form", "drawn", "ink", "noise", "pdf_of", "saved", "scans", "text_of", "written"]


def saved(pdf: pikepdf.Pdf, **options: Any) -> bytes:
    """Return the bytes of a PDF."""
    file = io.BytesIO()
    pdf.save(file, **options)
    return file.getvalue()


def written(*texts: str, **keys: object) -> pikepdf.Pdf:
    """Return a PDF with a page for each text; ``keys`` go into the dictionary of each page."""
    pdf = pikepdf.new()
    for text in texts:
        pdf.add_blank_page(page_size=(300, 200))
        page = pdf.pages[-1].obj
        page.Contents = pdf.make_stream(f"BT /F1 24 Tf 20 100 Td ({text}) Tj ET".encode())
        page.Resources = Dictionary(
            Font=Dictionary(F1=Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica))
        )
        for key, value in keys.items():
            page[f"/{key}"] = value
    return pdf


def pdf_of(pages: int) -> bytes:
    """Return a PDF whose pages say their numbers."""
    return saved(written(*(f"page {number}" for number in range(1, pages + 1))))


def noise(size: int, seed: int = 0) -> bytes:
    """Return bytes that no compression makes smaller."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same in each run


def scans(pages: int, size: int = 20_000, *, inherited: bool = False) -> pikepdf.Pdf:
    """Return a PDF with a picture on each page; the pictures are resources of the page, or of all pages together."""
    pdf = pikepdf.new()
    pictures: dict[str, Any] = {}
    for number in range(pages):
        picture = pdf.make_stream(noise(size, number))
        picture.Type, picture.Subtype, picture.Filter = Name.XObject, Name.Image, Name.DCTDecode
        picture.Width, picture.Height, picture.BitsPerComponent, picture.ColorSpace = 100, 100, 8, Name.DeviceGray
        pictures[f"/Im{number}"] = picture
        pdf.add_blank_page(page_size=(300, 200))
        page = pdf.pages[-1].obj
        page.Contents = pdf.make_stream(f"q 300 0 0 200 0 0 cm /Im{number} Do Q".encode())
        if inherited:
            del page.Resources
        else:
            page.Resources = Dictionary(XObject=Dictionary({f"/Im{number}": picture}))
    if inherited:
        pdf.Root.Pages.Resources = Dictionary(XObject=Dictionary(pictures))
    return pdf


def add_form(pdf: pikepdf.Pdf, *, drawn: bool = True, listed: bool = True) -> pikepdf.Pdf:
    """Add a filled field to each page, and one that all pages share.

    Args:
        pdf: The PDF.
        drawn: Whether the fields bring a drawing of their value; else the reader is to make it.
        listed: Whether the document has a list of its fields.
    """
    shared = pdf.make_indirect(Dictionary(FT=Name.Tx, T="shared", V="SHARED", DA="/Helv 30 Tf 0 g", Kids=[]))
    font = Dictionary(Helv=Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica))
    fields = [shared]
    for number, page in enumerate(pdf.pages):
        own = pdf.make_indirect(
            Dictionary(
                Type=Name.Annot,
                Subtype=Name.Widget,
                FT=Name.Tx,
                T=f"field{number}",
                V="VALUE",
                DA="/Helv 30 Tf 0 g",
                Rect=[10, 10, 140, 60],
                F=4,
            )
        )
        kid = pdf.make_indirect(
            Dictionary(Type=Name.Annot, Subtype=Name.Widget, Parent=shared, Rect=[150, 10, 290, 60], F=4)
        )
        for widget in (own, kid):
            widget.P = page.obj
            if drawn:
                look = pdf.make_stream(b"BT 0 g /Helv 30 Tf 2 12 Td (XXXX) Tj ET")
                look.Type, look.Subtype, look.BBox = Name.XObject, Name.Form, Array([0, 0, 130, 50])
                look.Resources = Dictionary(Font=font)
                widget.AP = Dictionary(N=look)
        shared.Kids.append(kid)
        fields.append(own)
        page.obj.Annots = Array([own, kid])
    if listed:
        pdf.Root.AcroForm = pdf.make_indirect(
            Dictionary(Fields=fields, NeedAppearances=not drawn, DR=Dictionary(Font=font), DA="/Helv 0 Tf 0 g")
        )
    return pdf


def text_of(data: bytes, page: int = 0) -> str:
    """Return the text of a page, as another program extracts it."""
    return pypdf.PdfReader(io.BytesIO(data)).pages[page].extract_text()


def drawn(data: bytes, page: int = 0) -> PIL.Image.Image:
    """Return a page of a PDF, or a picture, in grey."""
    if not re.match(rb"%PDF", data):
        import PIL.Image  # noqa: PLC0415 - the module of the type above

        return PIL.Image.open(io.BytesIO(data)).convert("L")
    document = pdfium.PdfDocument(data)
    try:
        document.init_forms()
        loaded = document[page]
        picture: PIL.Image.Image = loaded.render(scale=1).to_pil().convert("L")
        loaded.close()
        return picture
    finally:
        document.close()


def ink(data: bytes, box: tuple[float, float, float, float] = (0, 0, 1, 1)) -> float:
    """Return the share of dark pixels in a part of a picture, given by shares of its sides."""
    picture = drawn(data)
    width, height = picture.size
    part = picture.crop((int(box[0] * width), int(box[1] * height), int(box[2] * width), int(box[3] * height)))
    return sum(part.histogram()[:128]) / (part.width * part.height)
