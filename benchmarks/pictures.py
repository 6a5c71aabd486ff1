"""The cost of making the pictures that are sent: pages of a scanned PDF, beside bare libraries; files in archives.

A PDF of 200 pages with a JPEG on each is taken apart. *Bare pikepdf* opens the file once, and cuts each page as its
documentation shows, with unreferenced resources removed and equal bytes each time (``deterministic_id``, an MD5 of each
page); it neither hashes a page nor notices that the file was replaced. *With a fixed id* it does without that MD5, as
the client does; the rest of the difference is a SHA-256 of each page, the checks, and that the client opens the file
anew now and then, so that its memory does not grow. *Rendering* is the way of pdf2image and of most recipes: each page
becomes a JPEG of 200 dpi by pypdfium2. *Naive cutting* leaves the resources as they are; where all pages share them,
each page is as large as the file. OCRmyPDF and img2pdf make PDFs and take none apart, so they have no row.
"""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frame import (
    KIB,
    Row,
    alone,
    apart,
    apart_in_turn,
    compared,
    effort,
    figure,
    forget_peak,
    in_turn,
    missing,
    peak_memory,
    picture,
    unmeasured,
)
from photo_slots import served

from clova_ocr_async import (
    BatchDispatcher,
    ClovaOCRClient,
    Domain,
    ImageLimits,
    Page,
    Receipt,
    Success,
    images_in,
    pages_in,
)
from clova_ocr_async.batch.hashing import hash_now
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.pictures.pages import cut_page

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES, BYTES = 200, 312_000
SIDES = (1654, 2339)  # A4 at 200 dpi


def scanned_pdf(folder: Path, pages: int, *, inherited: bool = False) -> Path:
    """Write a PDF with a JPEG on each page; its resources are the page's own, or all pages' together."""
    import pikepdf  # noqa: PLC0415 - not installed everywhere
    from pikepdf import Dictionary, Name  # noqa: PLC0415

    path, chance = folder / f"{pages}-{inherited}.pdf", random.Random(pages)  # noqa: S311 - the same in each run
    with pikepdf.new() as pdf:
        pictures = {f"/Im{number}": pdf.make_stream(_jpeg(chance)) for number in range(pages)}
        for name, picture in pictures.items():
            picture.Type, picture.Subtype, picture.Filter = Name.XObject, Name.Image, Name.DCTDecode
            picture.Width, picture.Height, picture.BitsPerComponent = *SIDES, 8
            picture.ColorSpace = Name.DeviceGray
            pdf.add_blank_page(page_size=(595, 842))
            page = pdf.pages[-1].obj
            page.Contents = pdf.make_stream(f"q 595 0 0 842 0 0 cm {name} Do Q".encode())
            if inherited:
                del page.Resources
            else:
                page.Resources = Dictionary(XObject=Dictionary({name: picture}))
        if inherited:
            pdf.Root.Pages.Resources = Dictionary(XObject=Dictionary(pictures))
        pdf.save(path)
    return path


def _jpeg(chance: random.Random) -> bytes:
    """Return a JPEG of the usual size of a scanned page; the bytes behind its end are never the same."""
    import PIL.Image  # noqa: PLC0415

    file = io.BytesIO()
    PIL.Image.new("L", SIDES, 255).save(file, "JPEG")
    return file.getvalue() + chance.randbytes(BYTES - file.tell())


def ours(path: Path, pages: int) -> int:
    """Cut each page as the client does; return the bytes of all."""
    return sum(len(cut_page(path, number, max_bytes=None, preparation=None)[0]) for number in range(1, pages + 1))


def bare(path: Path, pages: int) -> int:
    """Cut each page with pikepdf alone."""
    return _cut(path, pages, remove=True)


def fixed_id(path: Path, pages: int) -> int:
    """Cut each page with pikepdf alone, and give all of them one id."""
    return _cut(path, pages, remove=True, fixed=True)


def naive(path: Path, pages: int) -> int:
    """Cut each page, with whatever it refers to."""
    return _cut(path, pages, remove=False)


def _cut(path: Path, pages: int, *, remove: bool, fixed: bool = False) -> int:
    import pikepdf  # noqa: PLC0415

    total = 0
    with pikepdf.open(path) as source:
        for number in range(pages):
            with pikepdf.new() as target:
                target.pages.append(source.pages[number])
                if remove:
                    target.remove_unreferenced_resources()
                file = io.BytesIO()
                target.save(file, deterministic_id=not fixed, static_id=fixed)
                total += file.tell()
    return total


def rendering(path: Path, pages: int) -> int:
    """Render each page as a JPEG of 200 dpi."""
    import pypdfium2  # type: ignore[import-untyped]  # noqa: PLC0415

    total = 0
    document: Any = pypdfium2.PdfDocument(path)
    for number in range(pages):
        page = document[number]
        file = io.BytesIO()
        page.render(scale=200 / 72).to_pil().save(file, "JPEG", quality=92)
        total += file.tell()
        page.close()
    document.close()
    return total


def seconds(work: Callable[[Path, int], int], path: Path, pages: int) -> float:
    """Return CPU seconds for the pages of a file."""
    began = time.process_time()
    work(path, pages)
    return time.process_time() - began


def rounds_of_pages(path: str, pages: int, rounds: int) -> dict[str, list[float]]:
    """Measure in turn what cutting all pages costs."""
    return in_turn(
        {work.__name__: lambda work=work: seconds(work, Path(path), pages) for work in (ours, bare, fixed_id)},  # type: ignore[misc]
        rounds,
    )


def peak_of(path: str, pages: int) -> float:
    """Return the most MiB of a process that cuts all pages."""
    forget_peak()
    ours(Path(path), pages)
    return peak_memory()


def peak_of_run(path: str, pages: int) -> float:
    """Return the most MiB of a process that reads all pages in a run, each a call of a tenth of a second."""

    async def read(domain: Domain, run: str) -> int:
        client = ClovaOCRClient(domain)
        async with client, BatchDispatcher(client, ledger=run).dispatch(pages_in(path), Receipt) as outcomes:
            return sum([isinstance(outcome, Success) async for outcome in outcomes])

    with tempfile.TemporaryDirectory() as run, served(0.1) as domain:
        done = asyncio.run(read(domain, run))
    if done != pages:
        raise RuntimeError(f"{pages - done} pages were not read")
    return peak_memory()


def rates(path: str, pages: int) -> dict[str, float]:
    """Return pages a second and core, by what is done to them."""
    return {work.__name__: pages / seconds(work, Path(path), pages) for work in (ours, rendering)}


def of_pages(folder: Path, *, quick: bool) -> list[Row]:
    """Measure pages of PDFs."""
    pages = 20 if quick else PAGES
    if why := missing("pikepdf") or missing("pypdfium2"):
        return [unmeasured("cutting pages over bare pikepdf", why, 1.5)]
    own, shared = (str(scanned_pdf(folder, pages, inherited=inherited)) for inherited in (False, True))
    much = effort(3, quick=quick)
    found: list[Row] = []
    for path, what in ((own, "own resources"), (shared, "shared resources")):
        costs = apart_in_turn(much, rounds_of_pages, path, pages)
        found.append(compared(f"cutting {pages} pages ({what}) over bare pikepdf", costs["ours"], costs["bare"], 1.5))
        question = f"of that, with a fixed id in bare pikepdf ({what})"
        found.append(compared(question, costs["ours"], costs["fixed_id"]))
    sizes = ours(Path(shared), 3), naive(Path(shared), 3)
    found.append(figure("bytes of a page of shared resources over naive cutting", [sizes[0] / sizes[1]], 1.0))
    peaks = [apart(peak_of, path, pages) for path in (own, shared)]
    found.append(figure(f"peak memory of cutting {pages} pages", peaks, 130.0, unit="MiB"))
    peaks = [apart(peak_of_run, path, pages) for path in (own, shared)]
    found.append(figure(f"peak memory of a run over {pages} pages", peaks, 130.0, unit="MiB"))
    several = [apart(rates, own, min(pages, 20)) for _ in range(much.rounds)]
    for name, what in (("ours", "cut"), ("rendering", "rendered at 200 dpi, as pdf2image does")):
        found.append(figure(f"pages {what}", [one[name] for one in several], unit="pages/s a core"))
    return found


def peak_of_members(archive: str) -> float:
    """Return the most MiB of a process that reads all files of an archive, one after the other."""
    loader = ImageLoader(ImageLimits())
    forget_peak()
    for source in images_in(archive):
        asyncio.run(loader.load(source))
    return peak_memory()


def peak_of_packed(archive: str) -> float:
    """Return the most MiB of a process that hashes a PDF in an archive, and cuts its pages."""
    path = f"{archive}!/scan.pdf"
    forget_peak()
    hash_now(Page(path, 1), ImageLimits())
    for number in range(1, 11):
        cut_page(path, number, max_bytes=None, preparation=None)
    return peak_memory()


def of_archives(folder: Path, *, quick: bool) -> list[Row]:
    """Measure files in zip archives: memory must not grow with their number, or their pages."""
    few, many = (10, 50) if quick else (100, 1000)
    archives = [folder / f"{count}.zip" for count in (few, many)]
    for path, count in zip(archives, (few, many), strict=True):
        with zipfile.ZipFile(path, "w") as archive:
            for number in range(count):
                archive.writestr(f"{number}.png", picture(20 * KIB))
    peaks = [apart(peak_of_members, str(path)) for path in archives]
    found = [figure(f"peak memory of reading a zip of {many:,} files over one of {few}", [peaks[1] / peaks[0]], 1.1)]
    if why := missing("pikepdf"):
        return [*found, unmeasured("peak memory of a PDF in a zip", why, 1.1)]
    few, many = (10, 20) if quick else (20, PAGES)
    for count in (few, many):
        with zipfile.ZipFile(folder / f"pdf-{count}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.write(scanned_pdf(folder, count), "scan.pdf")
    peaks = [apart(peak_of_packed, str(folder / f"pdf-{count}.zip")) for count in (few, many)]
    question = f"peak memory of cutting 10 pages of a PDF of {many} in a zip over one of {few}"
    return [*found, figure(question, [peaks[1] / peaks[0]], 1.1)]


GROUPS = (of_pages, of_archives)
"""The measured contenders; each is given a folder for its files."""


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        return list(itertools.chain.from_iterable(group(Path(folder), quick=quick) for group in GROUPS))


if __name__ == "__main__":
    alone(rows)
