"""The typeface of what is drawn on pictures (extra ``pictures`` or ``emulator``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

__all__ = ["HANGUL_FILE", "HANGUL_PACKAGE", "Typeface", "find_typeface"]

HANGUL_PACKAGE = "pylopdf_fonts_ko"
HANGUL_FILE = "NotoSansKR-Regular.otf"


@dataclass(frozen=True, slots=True)
class Typeface:
    """A font file with Hangul, or Pillow's own font, which has Latin letters only.

    Attributes:
        path: The font file; None for Pillow's own font.
    """

    path: Path | None

    @property
    def hangul(self) -> bool:
        """True if the typeface has Hangul."""
        return self.path is not None

    def font(self, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        """Return the font in one size, in pixels."""
        return _font(self.path, size)


@lru_cache(maxsize=64)  # opening a font file takes longer than drawing with it
def _font(path: Path | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if path is None:
        return ImageFont.load_default(size)
    # The basic layout engine: not every build of Pillow has the other one, and pictures must be equal on all machines.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def find_typeface(package: str = HANGUL_PACKAGE, file: str = HANGUL_FILE) -> Typeface:
    """Return the typeface with Hangul if its package is installed, else the one without.

    Args:
        package: The package that contains a font file with Hangul.
        file: The name of the font file.
    """
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return Typeface(next((path for folder in folders if (path := Path(folder, file)).is_file()), None))
