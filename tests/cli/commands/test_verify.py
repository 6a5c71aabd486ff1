"""The search of files for what a masked copy must not hold."""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import struct
import zipfile
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pikepdf
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import xlsxwriter  # type: ignore[import-untyped]
from PIL import Image, PngImagePlugin
from support.commands import clova_ocr
from support.pdfs import saved as saved_pdf
from support.pdfs import written

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.pdf_remains import hidden_parts
from clova_ocr_async.results.verification import find_leaks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMBER = "900101-1234567"
CARD = "4111111111111111"
PLAIN = Image.new("RGB", (64, 48), "white")


def saved(form: str, picture: Image.Image = PLAIN, **options: Any) -> bytes:
    """Return a picture as a file."""
    file = io.BytesIO()
    picture.copy().save(file, form, **options)
    return file.getvalue()


def png_text() -> bytes:
    """Return a PNG with a text."""
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "x")
    return saved("PNG", pnginfo=note)


def exif(thumbnail: bytes = b"") -> bytes:
    """Return a JPEG with EXIF data, and perhaps a thumbnail in them."""
    found = Image.Exif()
    found[270] = "x"
    return saved("JPEG", exif=found.tobytes() + thumbnail)


def jpeg_with(segment: bytes) -> bytes:
    """Return a JPEG with one more segment."""
    data = saved("JPEG")
    return data[:2] + segment + data[2:]


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def transparent() -> bytes:
    """Return a PNG that shows nothing of its pixels."""
    picture = Image.new("RGBA", (8, 8), "white")
    picture.putalpha(0)
    return saved("PNG", picture)


def pdf_with(change: Callable[[pikepdf.Pdf], object]) -> bytes:
    """Return a PDF that was changed."""
    with pikepdf.open(io.BytesIO(PDF)) as pdf:
        change(pdf)
        return saved_pdf(pdf)


def attach(pdf: pikepdf.Pdf) -> None:
    """Attach a file to a PDF."""
    pdf.attachments["a.txt"] = b"x"


def annotate(pdf: pikepdf.Pdf) -> None:
    """Give the page of a PDF a list of notes."""
    pdf.pages[0].obj.Annots = pikepdf.Array([])


def inform(pdf: pikepdf.Pdf) -> None:
    """Give a PDF a subject."""
    pdf.docinfo["/Subject"] = "x"


def describe(pdf: pikepdf.Pdf) -> None:
    """Give a PDF a title in XMP."""
    with pdf.open_metadata() as metadata:
        metadata["dc:title"] = "x"


def photograph(pdf: pikepdf.Pdf) -> None:
    """Put a JPEG with a comment into a PDF."""
    picture = pdf.make_stream(saved("JPEG", comment=b"x"))
    picture.Filter = pikepdf.Name.DCTDecode
    pdf.Root.Picture = picture


PDF = saved_pdf(written(""))
JPEG = saved("JPEG")
TIFF = saved("TIFF", compression="tiff_adobe_deflate")


def xlsx(*rows: tuple[Any, ...], **options: Any) -> bytes:
    """Return a workbook."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, options) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    return file.getvalue()


def parquet(**columns: list[Any]) -> bytes:
    """Return a Parquet file."""
    file = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), file)
    data: bytes = file.getvalue().to_pybytes()
    return data


def zipped(**members: bytes) -> bytes:
    """Return a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("folder/", b"")
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def commented_zip(archive_comment: bytes = b"", member_comment: bytes = b"") -> bytes:
    """Return an archive with comments."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = archive_comment
        member = zipfile.ZipInfo("a")
        member.comment = member_comment
        archive.writestr(member, b"")
    return file.getvalue()


def zip_of_bad_name() -> bytes:
    """Return an archive with a name that says it is UTF-8 and is not."""
    data = bytearray(zipped(é=b"").replace("é".encode(), b"\xff\xff"))
    assert data.count(b"\xff\xff") == 2
    return bytes(data)


def lzma_zip() -> bytes:
    """Return an archive that is packed in a way of its own."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"x")
    return file.getvalue()


def other_parquet() -> bytes:
    """Return a Parquet file with a number beside a field."""
    file = pa.BufferOutputStream()
    field = pa.field("id", pa.string(), metadata={"note": NUMBER})
    pq.write_table(pa.table({"id": ["x"]}, schema=pa.schema([field])), file)
    data: bytes = file.getvalue().to_pybytes()
    return data


def map_parquet() -> bytes:
    """Return a Parquet file with a column of maps."""
    file = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": pa.array([[("a", NUMBER)]], pa.map_(pa.string(), pa.string()))}), file)
    data: bytes = file.getvalue().to_pybytes()
    return data


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1_000)  # a compound file of Microsoft
SHEET = "xl/worksheets/sheet1.xml"
STRINGS = "xl/sharedStrings.xml"


def twice_listed_xlsx() -> bytes:
    """Return a workbook with two lists of texts, of which programs read the last one."""
    data = zipped(**{STRINGS: f"<si><t>{NUMBER}</t></si>".encode(), STRINGS.replace("xl", "yl"): b"<si><t>x</t></si>"})
    return data.replace(b"yl/sharedStrings", b"xl/sharedStrings")


def other_xlsx(*texts: str) -> bytes:
    """Return a workbook with prefixes and attributes in an order that Excel does not write; it shows the first text."""
    cell = '<x:c t="s" r="B7"><x:v>0</x:v></x:c>'
    strings = "<x:sst>" + "".join(f"<x:si><x:t>{text}</x:t></x:si>" for text in texts) + "<x:si/></x:sst>"
    return zipped(**{STRINGS: strings.encode(), SHEET: cell.encode()})


def page(data: bytes, kind: str = "image/jpeg", escape: Callable[[str], str] = str) -> bytes:
    """Return an HTML page that shows a file that stands in it."""
    address = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return f'<!doctype html>\n<title>x</title>\n<img src="{escape(address)}" alt="x">\n'.encode()


OFFICE = "application/vnd.openxmlformats-officedocument"
PRINTER = "xl/printerSettings/printerSettings1.bin"


def devmode(of_driver: bytes = b"", behind: bytes = b"") -> bytes:
    """Return the settings of a printer as Windows keeps them: a name, sizes, and what the driver keeps for itself."""
    private = bytes(range(256)) * 3 + of_driver
    name = "Canon MG3000 series Printer".encode("utf-16-le").ljust(64, b"\0")
    sizes = struct.pack("<4H", 0x0401, 0x0600, 220, len(private))
    form = b"\x03\x4f\x00\x00\x01\x00\x09\x00".ljust(30, b"\0") + "A4".encode("utf-16-le").ljust(118, b"\0")
    return name + sizes + form + private + behind


def saved_in_excel(settings: bytes, part: str = PRINTER) -> bytes:
    """Return a workbook as Excel saves it once a person has set up the page: the sheet names settings of a printer."""
    file = io.BytesIO()
    relation = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<Relationships xmlns="http://schemas.openxmlformats.org'
        '/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/'
        f'relationships/printerSettings" Target="../{part.removeprefix("xl/")}"/></Relationships>'
    )
    changes = {
        SHEET: ("</worksheet>", '<pageSetup paperSize="9" orientation="portrait" r:id="rId1"/></worksheet>'),
        "[Content_Types].xml": (
            "<Default",
            f'<Default Extension="bin" ContentType="{OFFICE}.spreadsheetml.printerSettings"/><Default',
        ),
    }
    with zipfile.ZipFile(io.BytesIO(xlsx(("name", "id"), ("A", "900101-*******")))) as book:
        members = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            old, new = (text.encode() for text in changes.get(name, ("", "")))
            archive.writestr(name, data.replace(old, new, 1) if old else data)
        archive.writestr(SHEET.replace("sheet1.xml", "_rels/sheet1.xml.rels"), relation)
        archive.writestr(part, settings)
    return file.getvalue()


def damaged_zip() -> bytes:
    """Return an archive whose only member cannot be unpacked."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(9_000))
    return file.getvalue().replace(zlib.compress(bytes(9_000), wbits=-15)[:8], b"\xff" * 8)


LEAKS: dict[str, tuple[str, bytes, str]] = {
    "exif": ("a.jpg", exif(), "EXIF metadata"),
    "thumbnail in exif": ("a.jpg", exif(JPEG), "thumbnail"),
    "xmp": ("a.jpg", jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")), "XMP metadata"),
    "profile": ("a.jpg", saved("JPEG", icc_profile=b"x" * 200), "colour profile"),
    "second picture": ("a.jpg", jpeg_with(segment(0xE2, b"MPF\0abc")), "second picture"),
    "iptc": ("a.jpg", jpeg_with(segment(0xED, b"Photoshop 3.0\0")), "IPTC metadata"),
    "other segment": ("a.jpg", jpeg_with(segment(0xE5, b"x")), "metadata"),
    "thumbnail of jfif": ("a.jpg", jpeg_with(segment(0xE0, b"JFIF\0" + b"\1" * 30)), "thumbnail"),
    "thumbnail of jfxx": ("a.jpg", jpeg_with(segment(0xE0, b"JFXX\0" + JPEG)), "thumbnail"),
    "comment": ("a.jpg", saved("JPEG", comment=b"x"), "comment"),
    "trailing": ("a.jpg", JPEG + b"x", "trailing bytes"),
    "broken": ("a.jpg", JPEG[:-20], "broken file"),
    "number in bytes": (
        "a.jpg",
        jpeg_with(segment(0xEE, b"Adobe\0")) + NUMBER.encode(),
        "resident registration number",
    ),
    "png text": ("a.png", png_text(), "comment"),
    "png chunk": ("a.png", saved("PNG")[:33] + b"\0\0\0\0xxXx\0\0\0\0" + saved("PNG")[33:], "metadata"),
    "png frames": ("a.png", saved("PNG", save_all=True, append_images=[Image.new("RGB", (64, 48))]), "second frame"),
    "png profile": ("a.png", saved("PNG", icc_profile=b"x" * 200), "colour profile"),
    "png trailing": ("a.png", saved("PNG") + b"x", "trailing bytes"),
    "png broken": ("a.png", saved("PNG")[:-12], "broken file"),
    "transparent": ("a.png", transparent(), "transparent pixels"),
    "transparent and broken": ("a.png", transparent()[:60] + b"x" * 20, "transparent pixels"),
    "tiff pages": ("a.tiff", saved("TIFF", save_all=True, append_images=[PLAIN.copy()]), "second frame"),
    "tiff text": ("a.tiff", saved("TIFF", tiffinfo={270: "x"}), "metadata"),
    "tiff thumbnail": (
        "a.tiff",
        saved("TIFF", save_all=True, tiffinfo={254: 1}, append_images=[PLAIN.copy(), PLAIN.copy()]),
        "thumbnail",
    ),
    "tiff broken": ("a.tiff", b"II*\0\xff\xff\0\0", "broken file"),
    "webp": ("a.webp", saved("WEBP"), "format that cannot be checked"),
    "text layer": ("a.pdf", saved_pdf(written(NUMBER)), "text layer"),
    "number in a text layer": ("a.pdf", saved_pdf(written(NUMBER)), "resident registration number"),
    "pdf information": ("a.pdf", pdf_with(inform), "document information"),
    "pdf xmp": ("a.pdf", pdf_with(describe), "XMP metadata"),
    "pdf attachment": ("a.pdf", pdf_with(attach), "embedded file"),
    "pdf annotation": ("a.pdf", pdf_with(annotate), "annotation over a page"),
    "pdf picture": ("a.pdf", pdf_with(photograph), "comment, of a picture in the PDF"),
    "pdf version": ("a.pdf", PDF + PDF, "earlier version"),
    "pdf trailing": ("a.pdf", PDF + b"x" * 10, "trailing bytes"),
    "pdf broken": ("a.pdf", b"%PDF-1.7 nothing", "format that cannot be checked"),
    "csv": ("a.csv", f"name,id\nA,{NUMBER}\n".encode(), "row 2, column 2"),
    "tsv": ("a.tsv", f"name\tid\nA\t{NUMBER}\n".encode("cp949"), "row 2, column 2"),
    "alien": ("a.csv", b"900101-5234567\n", "alien registration number"),
    "digits alone": ("a.csv", b"9001011234567\n", "resident registration number"),
    "full width": ("a.txt", "９００１０１－１２３４５６７".encode(), "resident registration number"),  # noqa: RUF001
    "other digits": ("a.txt", "٩٠٠١٠١-١٢٣٤٥٦٧".encode(), "resident registration number"),
    "digits apart": ("a.txt", b"9 0 0 1 0 1 - 1 2 3 4 5 6 7", "resident registration number"),
    "misread letter": ("a.txt", b"9O0101-I234567", "resident registration number"),
    "misread dash": ("a.txt", "900101ㅡ1234567".encode(), "resident registration number"),
    "what does not print": ("a.txt", "900101\u200b-\u200b1234567".encode(), "resident registration number"),
    "utf-16 without a mark": ("a.csv", f"id\n{NUMBER}\n".encode("utf-16-le"), "resident registration number"),
    "utf-32": ("a.txt", NUMBER.encode("utf-32"), "resident registration number"),
    "packed": ("a.csv.gz", gzip.compress(NUMBER.encode()), "format that cannot be checked"),
    "another country": ("a.txt", "Café, 1".encode("latin-1"), "in none of UTF-8, UTF-16 and CP949"),
    "utf-16": ("a.txt", NUMBER.encode("utf-16"), "resident registration number"),
    "no encoding": ("a.txt", b"\xff\x00 " + NUMBER.encode(), "resident registration number"),
    "card": ("a.txt", CARD.encode(), "card number"),
    "card in groups": ("a.txt", b"1234-5678-9012-3456", "card number"),
    "zone": ("a.txt", b"PMKORHONG<<GILDONG<<<<<<<<<<<<<<<<<<<<<<<<<<", "machine readable zone"),
    "second line of a zone": ("a.txt", b"M123A45670KOR9001010M30081501234567V12345674", "machine readable zone"),
    "jsonl": ("a.jsonl", json.dumps({"a": [{"b": NUMBER}]}).encode(), "line 1"),
    "json number": ("a.jsonl", b'{"a": 9001011234567}', "line 1"),
    "json float": ("a.jsonl", b'{"a": 9001011234567.0}', "line 1"),
    "json behind a blank": ("a.jsonl", b' {"a": "\\uff19\\uff10\\uff10101-1234567"}', "line 1"),
    "json over lines": ("a.json", b'{\n"a": "\\uff19\\uff10\\uff10101-1234567"}', "line 2"),
    "json correction": (
        "a.jsonl",
        json.dumps({"corrections": [{"path": "result.registerNumber[0]", "old": NUMBER}]}).encode(),
        "line 1",
    ),
    "json key": ("a.jsonl", json.dumps({NUMBER: 1}).encode(), "line 1"),
    "deep json": ("a.jsonl", b"[" * 900 + f'"{NUMBER}"'.encode() + b"]" * 900, "line 1"),
    "broken json": ("a.jsonl", b'{"a": "' + NUMBER.encode(), "line 1"),
    "xlsx": ("a.xlsx", xlsx(("id",), (NUMBER,)), "cell A2"),
    "xlsx number": ("a.xlsx", xlsx(("id",), (9001011234567,)), "cell A2"),
    "xlsx inline": ("a.xlsx", xlsx(("id",), (NUMBER,), constant_memory=True), "cell A2"),
    "xlsx of other programs": ("a.xlsx", other_xlsx(NUMBER), "cell B7"),
    "xlsx text of no cell": ("a.xlsx", other_xlsx("x", NUMBER), "a text that no cell shows"),
    "xlsx of entities": ("a.xlsx", other_xlsx("900101&#45;123456&#55;"), "cell B7"),
    "xlsx with the name of a public column in a cell": (
        "a.xlsx",
        xlsx(("id",), ("corp_register_num",), (NUMBER,)),
        "cell A3",
    ),
    "xlsx of two lists of texts": ("a.xlsx", twice_listed_xlsx(), "member 1 of the archive, line 1"),
    "xlsx list of choices": ("a.xlsx", zipped(**{SHEET: f"<c/><list>{NUMBER}</list>".encode()}), "beside its cells"),
    "xlsx cut off": ("a.xlsx", zipped(**{SHEET: f"<c><v>{NUMBER}".encode()}), "beside its cells"),
    "xlsx link": ("a.xlsx", zipped(**{f"{SHEET}.rels": f"<a b='{NUMBER}'/>".encode()}), "member 1 of the archive"),
    "xlsx without places": ("a.xlsx", zipped(**{SHEET: f"<c><v>{NUMBER}</v></c>".encode()}), "a cell"),
    "xlsx of a printer with a number": ("a.xlsx", saved_in_excel(devmode(NUMBER.encode())), "archive, in its bytes"),
    "xlsx of a printer with a wide number": (
        "a.xlsx",
        saved_in_excel(devmode(b"\0" + f"\0{NUMBER}\0".encode("utf-16-le"))),
        "archive, in its bytes",
    ),
    "xlsx of a printer with a number of full width": (
        "a.xlsx",
        saved_in_excel(devmode(behind="\0９００１０１－１２３４５６７".encode("utf-16-be"))),  # noqa: RUF001 - as a test
        "archive, in its bytes",
    ),
    "xlsx of packed settings": ("a.xlsx", saved_in_excel(gzip.compress(NUMBER.encode() * 9)), "cannot be checked"),
    "xlsx of short settings": ("a.xlsx", saved_in_excel(b"\xff\xff"), "cannot be checked"),
    "xlsx of too many settings": ("a.xlsx", saved_in_excel(devmode(behind=bytes(2**20))), "cannot be checked"),
    "xlsx of macros": ("a.xlsm", saved_in_excel(OLE, "xl/vbaProject.bin"), "cannot be checked"),
    "xlsx of an object": ("a.xlsx", saved_in_excel(OLE, "xl/embeddings/oleObject1.bin"), "cannot be checked"),
    "xlsb": ("a.xlsb", zipped(**{"xl/worksheets/sheet1.bin": b"9001011234567.0"}), "a sheet in binary form"),
    "xlsx of beginnings": ("a.xlsx", zipped(**{SHEET: b"<c>" * 300_000 + NUMBER.encode()}), "beside its cells"),
    "xlsx of attributes": ("a.xlsx", zipped(**{SHEET: b"<c " * 300_000 + NUMBER.encode()}), "beside its cells"),
    "xlsx of one long cell": ("a.xlsx", zipped(**{SHEET: b"<c>" + b" " * 3_000_000}), "encrypted or broken"),
    "page": ("a.html", page(exif(JPEG)), "thumbnail, line 3, embedded data, at byte"),
    "page with entities": (
        "a.html",
        page(exif(), escape=lambda text: text.replace("+", "&#43;").replace("/", "&#x2F;")),
        "EXIF metadata, line 3, embedded data",
    ),
    "page in capitals": (
        "a.html",
        page(exif(), escape=lambda text: text.replace("base64", "BASE64").replace("+", "%2B").replace("=", "%3D")),
        "EXIF metadata, line 3, embedded data",
    ),
    "page over lines": (
        "a.html",
        page(exif(), escape=lambda text: text.replace(",", ",\n")),
        "embedded data without an end in the line",
    ),
    "page cut by lines": (
        "a.html",
        page(exif(), escape=lambda text: f"{text[:60]}\n{text[60:]}"),
        "embedded data without an end in the line",
    ),
    "page cut by blanks": (
        "a.html",
        page(JPEG, escape=lambda text: f"{text[:-9]} {text[-9:]}"),
        "broken file, which cannot be checked, line 3, embedded data, its end is missing",
    ),
    "page of webp": ("a.html", page(saved("WEBP"), "image/webp"), "format that cannot be checked, line 3"),
    "page in a page": ("a.html", page(page(NUMBER.encode(), "text/plain")), "line 3, embedded data, line 3"),
    "page in json": (
        "a.json",
        json.dumps({"html": page(exif()).decode()}).replace("/", "\\/").encode(),
        "EXIF metadata, line 1, embedded data",
    ),
    "page in a zip": ("a.zip", zipped(a=page(exif())), "EXIF metadata, member 1 of the archive, line 3"),
    "zip": ("a.zip", zipped(**{"a.jpg": saved("JPEG", comment=b"x")}), "comment, member 1 of the archive"),
    "zip name": ("a.zip", zipped(**{f"{NUMBER}.txt": b""}), "in the name of member 1"),
    "zip in zips": ("a.zip", zipped(a=zipped(a=zipped(a=zipped(a=b"")))), "too large or too deep"),
    "zip comment": ("a.zip", commented_zip(NUMBER.encode()), "in the comment of the archive"),
    "zip member's comment": ("a.zip", commented_zip(b"", NUMBER.encode()), "in the comment of member 1"),
    "zip name that is not text": ("a.zip", zip_of_bad_name(), "encrypted or broken"),
    "zip of another packing": ("a.zip", lzma_zip(), "packed in a way"),
    "zip broken": ("a.zip", b"PK\x03\x04 nothing", "format that cannot be checked"),
    "zip damaged": ("a.zip", damaged_zip(), "format that cannot be checked"),
    "parquet in a zip": ("a.zip", zipped(a=parquet(id=[NUMBER])), "in a column of the Parquet file"),
    "parquet": ("a.parquet", parquet(id=[NUMBER, None]), "in a column of the Parquet file"),
    "parquet number": ("a.parquet", parquet(id=[9001011234567]), "in a column of the Parquet file"),
    "parquet of objects": ("a.parquet", parquet(id=[{"a": [NUMBER]}]), "in a column of the Parquet file"),
    "parquet of bytes": ("a.parquet", parquet(id=[NUMBER.encode()]), "in a column of the Parquet file"),
    "parquet of decimals": ("a.parquet", parquet(id=[Decimal(9001011234567)]), "in a column of the Parquet file"),
    "parquet float": ("a.parquet", parquet(id=[9001011234567.0, None]), "in a column of the Parquet file"),
    "parquet of maps": ("a.parquet", map_parquet(), "in a column of the Parquet file"),
    "parquet about a field": ("a.parquet", other_parquet(), "in a column of the Parquet file"),
    "parquet broken": ("a.parquet", b"PAR1 nothing", "format that cannot be checked"),
    "alien number in the form of a barcode": ("a.txt", b"8801015200018", "alien registration number"),
    "number without a check digit": ("a.txt", b"9001011200008", "resident registration number"),
    "long cell": ("a.csv", b"x" * 200_000, "a cell of more than"),
    "long line": ("a.txt", b"x" * 2**24, "a line of more than"),
    "name": (f"{NUMBER}.csv", b"x", "in the file's name"),
}


@pytest.mark.parametrize(("name", "data", "message"), LEAKS.values(), ids=LEAKS)
def test_a_planted_leak_of_each_kind_is_found(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    """The leak is named by its kind and place and never by its value, and the exit code is 1."""
    file = tmp_path / name
    file.write_bytes(data)
    found = clova_ocr("verify", file)
    assert found.exit_code == 1
    assert message in found.stdout
    assert "1234567" not in found.output
    assert CARD not in found.output


PUBLIC = "110111-1707178"
CLEAN: dict[str, bytes] = {
    "a.jpg": JPEG,
    "grey.jpg": saved("JPEG", PLAIN.convert("L"), progressive=True),
    "cmyk.jpg": saved("JPEG", PLAIN.convert("CMYK")),
    "a.png": saved("PNG"),
    "opaque.png": saved("PNG", PLAIN.convert("RGBA")),
    "a.tiff": TIFF,
    "a.pdf": PDF,
    "a.csv": f"key,corp_register_num\n900101-*******,{PUBLIC}\n8801016234562,4111-11**-****-1111\n".encode(),
    "rest.csv": f"법인등록번호(나머지)\n{PUBLIC}\n".encode(),
    "corrections.jsonl": json.dumps(
        {"corrections": [{"path": "result.corpRegisterNum[0]", "old": PUBLIC, "new": PUBLIC}]}
    ).encode(),
    "corrected.csv": f"법인등록번호(수정),corp_register_num_corrected\n{PUBLIC},{PUBLIC}\n".encode(),
    "a.jsonl": json.dumps(
        {"corpRegisterNum": [{"text": PUBLIC}], "sha256": "a9001011234567b", "x": 0.9001011234567, "y": True}
    ).encode(),
    "a.xlsx": xlsx(("key", "corp_register_num"), ("x", PUBLIC)),
    "a.html": page(JPEG) + page(saved("PNG"), "image/png") + b'<link href="data:,"><p>x;base64,${x};base64,A"',
    "excel.xlsx": saved_in_excel(devmode()),
    "a.parquet": parquet(corp_register_num=[PUBLIC], number=[1.5], key=["4111-11**-****-1111"]),
    "a.zip": zipped(a=b"900101-*******", b=JPEG),
    "escape.json": b'{\n"a": "\\ud800\\uff19"}',
    "zone.txt": b"M123A45670KOR9001010M30081501234567V1234567, M123A45670KOR9001010M3008150*******V12345674",
    "a.txt": b"no. 901301-1234567, 4234567890123457, 550e8400-1234-1234-1234-123456789012",
}


@pytest.mark.parametrize(("name", "data"), CLEAN.items(), ids=CLEAN)
def test_a_clean_file_passes(tmp_path: Path, name: str, data: bytes) -> None:
    """A file without a leak has exit code 0: public numbers, barcodes, hashes and starred numbers are not leaks."""
    file = tmp_path / name
    file.write_bytes(data)
    found = clova_ocr("verify", file)
    assert (found.exit_code, found.stdout) == (0, "")


def test_a_file_that_cannot_be_read_is_not_clean(tmp_path: Path) -> None:
    """A folder, and a file that is not there, are named without a number in the name, and the exit code is 1."""
    found = clova_ocr("verify", tmp_path, tmp_path / f"{NUMBER}.png")
    assert (found.exit_code, found.stderr.count(": not searched: ")) == (1, 2)
    assert found.stderr.endswith("\n0 files searched, 0 with something to remove; 2 files were not\n")
    assert NUMBER not in found.output


class WatchedFile(io.FileIO):
    """A file that records how much is read of it at once."""

    most = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and record the length."""
        data = super().read(size)
        self.most = max(self.most, len(data))
        return data


ROWS = [f"{number:08} " + "x" * 120 for number in range(18_000)]
LARGE: dict[str, Callable[[], bytes]] = {
    "a.csv": lambda: "\n".join(ROWS).encode(),
    "a.jsonl": lambda: "\n".join(json.dumps({"a": row}) for row in ROWS).encode(),
    "a.txt": lambda: "\n".join(ROWS).encode("utf-16"),
    "a.parquet": lambda: parquet(a=ROWS),
    "a.xlsx": lambda: xlsx(*((row,) for row in ROWS), constant_memory=True),
    "a.zip": lambda: zipped(a="\n".join(ROWS).encode()),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_texts_and_tables_are_read_in_parts(tmp_path: Path, name: str) -> None:
    """However large a text, table or archive is, at most a megabyte of it is read at once."""
    file = tmp_path / name
    file.write_bytes(LARGE[name]())
    with WatchedFile(file) as watched:
        assert list(find_leaks(watched, name)) == []
        assert watched.most <= 2**20


@pytest.mark.parametrize("head", [b"\xff\xd8\xff", b"%PDF-1.7", b"\0\0\0\x20ftypheic"])
def test_a_picture_that_is_too_large_is_not_searched(tmp_path: Path, head: bytes) -> None:
    """A picture or PDF that does not fit into memory is reported, and is not read."""
    file = tmp_path / "a"
    file.write_bytes(head)
    os.truncate(file, 2**30)
    with WatchedFile(file) as watched:
        (leak,) = find_leaks(watched)
        assert watched.most <= 2**20
    assert leak.kind == "format that cannot be checked"


def test_a_text_that_begins_like_a_container_of_pictures_is_a_text(tmp_path: Path) -> None:
    """A file with the mark of HEIC that has no header of one is searched as the text that it is."""
    file = tmp_path / "a.txt"
    file.write_text(f"the ftyp {NUMBER}")
    assert "resident registration number" in clova_ocr("verify", file).stdout


def test_a_pdf_that_qpdf_refuses_cannot_be_checked() -> None:
    """A file that only one of the two libraries opens is not clean."""
    with pytest.raises(ImageError, match="encrypted or broken"):
        hidden_parts(b"%PDF-1.7 nothing")
