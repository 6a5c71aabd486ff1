"""The work that hostile bytes cause: twice the bytes, at most about twice the work."""

from __future__ import annotations

import contextlib
import inspect
import sys
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from clova_ocr_async.errors import APIError, ImageError
from clova_ocr_async.protocol import Image, ImageLimits
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.image import check_image
from clova_ocr_async.protocol.request import parse_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SIZES = (250, 500, 1000, 2000)
MULTIPART = 'multipart/form-data; boundary="b"'


def work_of(function: Callable[[], object]) -> int:
    """Return how many instructions of Python a call takes, the same at every run and on every machine."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event in {"opcode", "call"}
        return trace

    before = sys.gettrace()
    if (frame := inspect.currentframe()) is not None:
        frame.f_trace_opcodes = True  # Python 3.12 traces instructions only if one frame has asked for it before
    sys.settrace(trace)
    try:
        if sys.version_info >= (3, 13):  # it traces the instructions of a function from its second call on
            function()
            count = 0
        function()
    finally:
        sys.settrace(before)
    return count


def judge(data: bytes) -> None:
    """Run all checks of an image before it is sent."""
    with contextlib.suppress(ImageError):
        check_image(Image(data), ImageLimits(max_pages=None, allow_truncated=True), pages=lambda _: None)


def parse(body: bytes, content_type: str = MULTIPART) -> None:
    """Read a request as the emulator does."""
    with contextlib.suppress(APIError):
        parse_request(content_type, body)


def pdf(trailer: bytes, *, objects: bytes = b"", table: bytes = b"0 0\n") -> bytes:
    """Build a PDF of one table and a trailer."""
    data = b"%PDF-1.4\n" + objects
    return data + b"xref\n" + table + b"trailer\n<<" + trailer + b">>\nstartxref\n%d\n%%%%EOF" % len(data)


def entry(at: int) -> bytes:
    """Return a line of a table."""
    return b"%010d 00000 n \n" % at


def pdf_of_shared_bytes(n: int) -> bytes:
    """Return a PDF whose many page nodes all begin within one comment and share what follows it."""
    objects = b"".join(b"%d 0 obj%%" % number for number in range(3, n)) + b"\n<</Type/Pages/Kids["
    objects += b"".join(b"%d 0 R " % number for number in range(3, n)) + b"]>>\n"
    head = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>\n2 0 obj<</Type/Pages/Count 9/Kids[3 0 R]>>\n"
    places = [head.index(b"1 0 obj"), head.index(b"2 0 obj")]
    places += [len(head) + objects.index(b"%d 0 obj%%" % number) for number in range(3, n)]
    data = head + objects
    table = b"0 %d\n" % (n - 1) + entry(0) + b"".join(map(entry, places))
    end = b"trailer\n<</Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(data)
    return data + b"xref\n" + table + end


def pdf_of_subsections(n: int) -> bytes:
    """Return a PDF of many subsections, the objects of its many pages in the last."""
    head = b"%PDF-1.4\n"
    pages = n // 10
    bodies = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count %d/Kids[" % pages]
    bodies[1] += b"".join(b"%d 0 R " % (number + 3) for number in range(pages)) + b"]>>"
    bodies += [b"<</Type/Page>>"] * pages
    places: list[int] = []
    for number, body in enumerate(bodies, 1):
        places.append(len(head))
        head += b"%d 0 obj" % number + body + b"\n"
    table = b"900000 0\n" * n + b"1 %d\n" % len(bodies) + b"".join(map(entry, places))
    end = b"trailer\n<</Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(head)
    return head + b"xref\n" + table + end


def pdf_of_updates(n: int) -> bytes:
    """Return a PDF whose table names itself as the one before, with a long trailer."""
    return pdf(b"/Prev 9/A[" + b"1 " * n + b"]")


def tiff(n: int, *, entries: int = 1, back: bool = False) -> bytes:
    """Build a TIFF of many directories that all name the same list of strips."""
    strips = n
    data = b"II*\0" + (8 + 4 * strips).to_bytes(4, "little") + b"\x08\0\0\0" * strips
    for number in range(n):
        data += entries.to_bytes(2, "little")
        field = (273).to_bytes(2, "little") + b"\4\0" + strips.to_bytes(4, "little") + b"\x08\0\0\0"
        data += field * entries
        behind = len(data) + 4 if number < n - 1 else 0
        data += (8 + 4 * strips if back else behind).to_bytes(4, "little")
    return data


JPEG = b"\xff\xd8\xff\xe0\0\x04ab"
IMAGES: dict[str, Callable[[int], bytes]] = {
    "pdf: R R R": lambda n: pdf(b"/A 0 " + b"R " * n),
    "pdf: 0 0 R 0 0 R": lambda n: pdf(b"/A " + b"0 0 R " * n),
    "pdf: 0 0 R R R": lambda n: pdf(b"/A 0 0 " + b"R " * n),
    "pdf: numbers": lambda n: pdf(b"1 " * n),
    "pdf: names": lambda n: pdf(b"/A" * n),
    "pdf: one name": lambda n: pdf(b"/A 1" * n),
    "pdf: brackets": lambda n: pdf(b"/A " + b"[" * n + b"]" * n),
    "pdf: open brackets": lambda n: pdf(b"/A " + b"<<[" * n),
    "pdf: parentheses": lambda n: pdf(b"/A " + b"(" * n),
    "pdf: strings": lambda n: pdf(b"/A [" + b"(a(b)c)" * n + b"]"),
    "pdf: blanks": lambda n: pdf(b" %\n" * n),
    "pdf: shared bytes": pdf_of_shared_bytes,
    "pdf: subsections": pdf_of_subsections,
    "pdf: updates of itself": pdf_of_updates,
    "pdf: ends": lambda n: b"%PDF-1.4\n" + b"startxref\n0\n%%EOF\n1 0 obj\n" * n,
    "pdf: for the web": lambda n: b"%PDF-1.4\n" + b"/Linearized /L " * n,
    "jpeg: bare markers": lambda n: JPEG + b"\xff\x01" * n,
    "jpeg: segments": lambda n: JPEG + b"\xff\xfe\0\2" * n,
    "jpeg: scans": lambda n: JPEG + b"\xff\xda\0\2" * n,
    "jpeg: fill": lambda n: JPEG + b"\xff" * n,
    "jpeg: starts": lambda n: JPEG + b"\xff\xd8\xff\xd9" * n,
    "png: data": lambda n: b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0IDAT\0\0\0\0" * n,
    "tiff: shared strips": tiff,
    "tiff: loop": lambda n: tiff(n, back=True),
    "tiff: entries": lambda n: tiff(2, entries=n),
    "text": lambda n: b"<a?b=" * n,
    "iso media": lambda n: b"\xff\xff\xff\xffftyp" + b"heic" * n,
}
PART = b'--b\r\ncontent-disposition: form-data; name="message"\r\n\r\n'
BODIES: dict[str, Callable[[int], bytes]] = {
    "dispositions": lambda n: b"--b\r\n" + b"content-disposition:form-data;" * n + b"\r\n\r\nx\r\n--b--",
    "names": lambda n: b"--b\r\ncontent-disposition:form-data" + b"; name=;" * n + b"\r\n\r\nx\r\n--b--",
    "quotes": lambda n: b"--b\r\ncontent-disposition:form-data" + b'; name="' * n + b"\r\n\r\nx\r\n--b--",
    "blanks": lambda n: b"--b\r\ncontent-disposition" + b" " * n + b":form-data;" + b" " * n + b"\r\n\r\nx\r\n--b--",
    "lines": lambda n: b"--b\r\n" + b"content-disposition: form-data\r\n" * n + b"\r\n\r\nx\r\n--b--",
    "parts": lambda n: PART * n + b"{}\r\n--b--",
    "open parts": lambda n: b"--b\r\n" * n,
    "near delimiters": lambda n: PART + b"\r\n-\r\n--a" * n,
    "brackets": lambda n: PART + b"[" * n + b"\r\n--b--",
}


def check_doubling(work: list[int]) -> None:
    """Check that twice the bytes are at most about twice the work."""
    for less, more in pairwise(work):
        assert more <= 2.2 * less + 500, work


@pytest.mark.parametrize("name", IMAGES)
def test_twice_the_bytes_of_an_image_are_twice_the_work(name: str) -> None:
    """The work of the checks of an image grows at most linearly with any bytes."""
    make = IMAGES[name]
    judge(make(10))  # what is done once, at the first time
    check_doubling([work_of(partial(judge, make(size))) for size in SIZES])


@pytest.mark.parametrize("name", BODIES)
def test_twice_the_bytes_of_a_body_are_twice_the_work(name: str) -> None:
    """The work of parsing a request grows at most linearly with any body."""
    make = BODIES[name]
    parse(make(10))
    check_doubling([work_of(partial(parse, make(size))) for size in SIZES])


REPEATED = [name for name in IMAGES if name not in {"pdf: shared bytes", "pdf: subsections"} and "tiff" not in name]


@pytest.mark.parametrize("name", [*REPEATED, *BODIES])
def test_megabytes_of_the_nastiest_bytes_come_to_an_end(name: str) -> None:
    """The work outside of Python's own instructions is linear as well: megabytes would take hours otherwise."""
    make, use = (IMAGES[name], judge) if name in IMAGES else (BODIES[name], parse)
    use(make(1_000_000))


def test_a_pdf_is_read_once() -> None:
    """The header of a PDF without a page count is parsed once before the pages are counted exactly."""
    data = pdf(b"/A[" + b"1 " * 2000 + b"]")
    image, limits = Image(data), ImageLimits(max_pages=None)
    once = work_of(lambda: check_image(image, limits))
    assert work_of(lambda: check_image(image, limits, pages=lambda _: 1)) < 1.2 * once


@pytest.mark.parametrize("text", ["?", "a", "{", " ", "/9j/", "a?b", "'", "-", "data:", "http://"])
def test_a_text_of_any_length_is_named_by_its_beginning(text: str) -> None:
    """Showing a long text in a message costs no more than showing a short one."""
    short, long = (work_of(partial(shown_path, text * size)) for size in (10_000, 1_000_000))
    assert long <= 2 * short


def test_a_reference_to_nothing_ends_the_reading_of_a_pdf() -> None:
    """An R that does not follow two numbers makes a dictionary unreadable at once, however long it is."""
    short, long = (work_of(partial(judge, pdf(b"/A 0 " + b"R " * size))) for size in (100, 10_000))
    assert long == short
