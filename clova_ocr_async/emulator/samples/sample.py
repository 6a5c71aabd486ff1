"""Sample documents: pictures of fake papers, each with its ground truth inside the file.

``find_ground_truth`` returns the answer of a perfect recognition of such a file. Nothing on a picture belongs to a
person: SPECIMEN is written across it, names and designs are fake, and every check digit is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from clova_ocr_async.emulator.samples.canvas import FORMATS, Format, encode
from clova_ocr_async.emulator.samples.ground_truth import DOCUMENTS, GroundTruth
from clova_ocr_async.emulator.samples.identity_layouts import id_card, passport
from clova_ocr_async.emulator.samples.office_layouts import biz_license, name_card
from clova_ocr_async.emulator.samples.shop_layouts import credit_card, receipt
from clova_ocr_async.pictures.typeface import Typeface, find_typeface
from clova_ocr_async.protocol.echoed_input import shown, shown_path

if TYPE_CHECKING:
    import os

    from clova_ocr_async.emulator.samples.sheet import Layout

__all__ = ["Sample", "draw_sample", "write_samples"]


_LAYOUTS: dict[str, Layout] = {
    "receipt": receipt,
    "credit-card": credit_card,
    "name-card": name_card,
    "biz-license": biz_license,
    "id-card": id_card,
    "passport": passport,
}
_SEEDS_APART = 10_000  # documents of each type before the samples of one seed are those of the next one


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn document in a file.

    Attributes:
        document: The vendor's path word: receipt, credit-card, name-card, biz-license, id-card or passport.
        name: A name for the file, with its extension.
        format: The format: jpg, png, tiff or pdf.
        data: The bytes of the file.
        truth: Its ground truth; ``find_ground_truth(data)`` returns the same.
    """

    document: str
    name: str
    format: Format
    data: bytes = field(repr=False)
    truth: GroundTruth


def draw_sample(
    document: str,
    *,
    seed: int = 0,
    format: str = "png",  # noqa: A002 - the vendor's word
    typeface: Typeface | None = None,
) -> Sample:
    """Draw one sample document.

    Args:
        document: The vendor's path word: receipt, credit-card, name-card, biz-license, id-card or passport.
        seed: Decides the content: names, amounts, number of items, and the kind of an ID card (in turn a resident card,
            a driver's licence, a passport, an alien registration card). The format does not change it.
        format: The format: jpg, png, tiff or pdf.
        typeface: The typeface, which also decides the language; None for that of ``find_typeface``.

    Returns:
        The sample, equal for equal arguments.

    Raises:
        ValueError: The document or format does not exist.
    """
    layout = _LAYOUTS.get(document)
    if layout is None:
        raise ValueError(f"{shown(document)} is not a sample document; the documents are {', '.join(DOCUMENTS)}")
    if format not in FORMATS:
        raise ValueError(f"{shown(format)} is not a format of samples; the formats are {', '.join(FORMATS)}")
    # Seeded by a text, which every version of Python hashes in the same way.
    random = Random(f"{document} {seed}")  # noqa: S311 - equal documents for equal seeds, nothing secret
    canvas, answer = layout(random, seed, typeface or find_typeface())
    truth = GroundTruth(document, canvas.width, canvas.height, answer)
    return Sample(document, f"{document}-{seed:04}.{format}", format, encode(canvas.render(), format, truth), truth)


def write_samples(folder: str | os.PathLike[str], count: int = 60, *, seed: int = 0) -> list[Path]:
    """Write sample documents, in one folder for each document type.

    Types alternate, and so do the formats of each type: 24 files contain every type in every format.

    Args:
        folder: The folder to write to; created if it does not exist.
        count: The number of files.
        seed: Decides the content; another seed writes other samples.

    Returns:
        The files in the order of writing, named like ``receipt/receipt-0001.jpg``. An existing file with the same bytes
        is left as it is.

    Raises:
        FileExistsError: A file of that name exists and is not this sample; it is not changed.
        ValueError: The count is negative.
    """
    if count < 0:
        raise ValueError(f"cannot write {count} samples")
    typeface = find_typeface()
    paths: list[Path] = []
    for index in range(count):
        round_, turn = divmod(index, len(DOCUMENTS))
        document = DOCUMENTS[turn]
        # Shifted by one every four rounds, because the kinds of ID cards alternate by four as well.
        chosen = FORMATS[(round_ + round_ // len(FORMATS)) % len(FORMATS)]
        sample = draw_sample(document, seed=seed * _SEEDS_APART + round_, format=chosen, typeface=typeface)
        path = Path(folder) / document / f"{document}-{round_ + 1:04}.{chosen}"
        _write(path, sample.data)
        paths.append(path)
    return paths


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:  # "x": never overwrites a user's file, not even one that appears meanwhile
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        if not path.is_file() or path.read_bytes() != data:
            raise FileExistsError(
                f"{shown_path(str(path))} exists and is not the sample to write; nothing was changed"
            ) from None
