"""Sample documents: pictures of nobody's papers whose exact truth travels inside the file.

`find_ground_truth` returns what a perfect reading of such a file answers. Nothing on a picture belongs to a person:
SPECIMEN stands across it, names and designs are made up, and every check digit is wrong.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from clova_ocr_async.emulator.samples.canvas import FORMATS, Format, Typeface, encode, find_typeface
from clova_ocr_async.emulator.samples.ground_truth import DOCUMENTS, GroundTruth
from clova_ocr_async.emulator.samples.identity_layouts import id_card, passport
from clova_ocr_async.emulator.samples.office_layouts import biz_license, name_card
from clova_ocr_async.emulator.samples.sheet import Layout
from clova_ocr_async.emulator.samples.shop_layouts import credit_card, receipt
from clova_ocr_async.protocol.echoed_input import shown, shown_path

_LAYOUTS: Final[dict[str, Layout]] = {
    "receipt": receipt,
    "credit-card": credit_card,
    "name-card": name_card,
    "biz-license": biz_license,
    "id-card": id_card,
    "passport": passport,
}
_SEEDS_APART: Final = 10_000


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn document in a file.

    Attributes:
        document: The vendor's path word: receipt, credit-card, name-card, biz-license, id-card or passport.
        name: A name for the file, with its ending.
        format: What kind of file it is: jpg, png, tiff or pdf.
        data: The bytes of the file.
        truth: What a perfect reading of it answers; `find_ground_truth(data)` is the same.
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
        seed: What to draw: names, amounts, how many items, which kind of ID card (by turns a resident's card, a
            driver's licence, a passport, an alien's). The format does not change it.
        format: The kind of file: jpg, png, tiff or pdf.
        typeface: What to write with; `None` for the one `find_typeface` finds. Decides the language, too.

    Returns:
        The sample, the same for the same arguments.

    Raises:
        ValueError: There is no such document or format.
    """
    layout = _LAYOUTS.get(document)
    if layout is None:
        raise ValueError(f"no sample document is called {shown(document)}; there are {', '.join(DOCUMENTS)}")
    if format not in FORMATS:
        raise ValueError(f"no sample has the format {shown(format)}; there are {', '.join(FORMATS)}")
    random = Random(f"{document} {seed}")  # noqa: S311 - the same document for the same seed, nothing secret
    canvas, answer = layout(random, seed, typeface or find_typeface())
    truth = GroundTruth(document, canvas.width, canvas.height, answer)
    return Sample(document, f"{document}-{seed:04}.{format}", format, encode(canvas.finish(), format, truth), truth)


def write_samples(folder: str | os.PathLike[str], count: int = 60, *, seed: int = 0) -> list[Path]:
    """Write sample documents, one folder a type.

    The types come by turns, and so do the formats of each type: with 24 files every type is there in every format.

    Args:
        folder: Where to write; created if it is not there.
        count: How many files.
        seed: Which samples: another seed gives other ones.

    Returns:
        The files in the order they were written, named like `receipt/receipt-0001.jpg`. A file that is there already,
        byte for byte, is left as it is.

    Raises:
        FileExistsError: A file of that name is there and is not this sample; it is not touched.
        ValueError: The count is negative.
    """
    if count < 0:
        raise ValueError(f"cannot write {count} samples")
    typeface = find_typeface()
    paths: list[Path] = []
    for index in range(count):
        round_, turn = divmod(index, len(DOCUMENTS))
        document = DOCUMENTS[turn]
        # Moved on by one every four rounds, since some kinds come by turns of four as well.
        chosen = FORMATS[(round_ + round_ // len(FORMATS)) % len(FORMATS)]
        sample = draw_sample(document, seed=seed * _SEEDS_APART + round_, format=chosen, typeface=typeface)
        path = Path(folder) / document / f"{document}-{round_ + 1:04}.{chosen}"
        _write(path, sample.data)
        paths.append(path)
    return paths


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        if not path.is_file() or path.read_bytes() != data:
            raise FileExistsError(
                f"{shown_path(str(path))} is there already and is not the sample to write; nothing was changed"
            ) from None
