"""Draw mapped boxes onto originals, to look at: ``python tests/pictures/draw_boxes.py FOLDER``.

Each row of a sheet is a format, each column an orientation. The boxes were found in the picture that is sent, in full
or half size, and mapped back: onto the original as a viewer shows it (``shown``), or onto the raster in its file
(``stored``).
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.drawn import as_stored, drawn, exif_of, found

from clova_ocr_async.documents.objects import BoundingPoly, Vertex
from clova_ocr_async.pictures.convert import carry_out
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.plan import plan
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.protocol.image import ImageLimits

FILES = Path(__file__).parent / "files"
CELL = 330
KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "HEIC")


def _photo(kind: str, orientation: int) -> bytes:
    if kind == "HEIC":
        return (FILES / f"orientation-{orientation}.heic").read_bytes()
    file = io.BytesIO()
    as_stored(drawn(), orientation).save(file, kind, exif=b"Exif\0\0" + exif_of(orientation))
    return file.getvalue()


def _cells(kind: str, orientation: int, side: int) -> tuple[Image.Image, Image.Image]:
    data = _photo(kind, orientation)
    planned = plan(read_header(data), len(data), Preparation(), ImageLimits(max_side=side))
    sent, picture = carry_out(data, planned)
    shown, stored = drawn(), as_stored(drawn(), 1 if kind == "HEIC" else orientation).copy()
    for left, top, right, bottom in found(Image.open(io.BytesIO(sent)).convert("RGB")).values():
        corners = tuple(Vertex(x=x, y=y) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom)))
        polygon = BoundingPoly(vertices=corners)
        for canvas, raster in ((shown, False), (stored, True)):
            mapped = picture.to_original(polygon, stored=raster)
            points = [(vertex.x or 0, vertex.y or 0) for vertex in mapped.vertices]
            ImageDraw.Draw(canvas).line([*points, points[0]], fill=(255, 140, 0), width=7)
            ImageDraw.Draw(canvas).circle(points[0], 14, fill=(255, 0, 255))  # the top left of the sent box
    return shown, stored


def main() -> None:
    """Write a sheet for each raster and size."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for size, side in {"full": 8000, "half": 320}.items():
        sheets = {name: Image.new("RGB", (CELL * 8, CELL * len(KINDS)), "grey") for name in ("shown", "stored")}
        for row, kind in enumerate(KINDS):
            for column in range(8):
                for sheet, cell in zip(sheets.values(), _cells(kind, column + 1, side), strict=True):
                    cell.thumbnail((CELL - 10, CELL - 10))
                    sheet.paste(cell, (column * CELL, row * CELL))
        for name, sheet in sheets.items():
            sheet.save(folder / f"{name}-{size}.png")


if __name__ == "__main__":
    main()
