"""Parts of a run that the page does not show, in words: a reader must not take a part for the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.results.report.album import Album
    from clova_ocr_async.results.report.cause_words import Text

__all__ = ["not_shown"]

_NO_THUMBNAIL = (
    "{:,} documents have no thumbnail, because the page has a limit. A larger --embed-limit shows more.",
    "문서 {:,}건은 페이지 크기 제한 때문에 미리 보기가 없습니다. --embed-limit를 늘리면 더 많이 표시합니다.",
)
_NO_LARGE = (
    "{:,} documents have no large picture, because the page has a limit. --pictures copy puts them beside the page.",
    "문서 {:,}건은 페이지 크기 제한 때문에 큰 이미지가 없습니다. --pictures copy는 이를 페이지 옆 폴더에 둡니다.",
)
_NO_VALUES = (
    "{:,} documents show only the values to look at, because the page has a limit. A larger --embed-limit shows all.",
    "문서 {:,}건은 페이지 크기 제한 때문에 확인할 값만 표시합니다. --embed-limit를 늘리면 모든 값을 표시합니다.",
)
_NONE_LARGE = (
    "The pictures in full size. --pictures copy puts them beside the page.",
    "원본 크기의 이미지가 없습니다. --pictures copy는 이를 페이지 옆 폴더에 둡니다.",
)


def not_shown(album: Album, shortened: int) -> list[Text]:
    """Return what a page does not show.

    Args:
        album: Its pictures.
        shortened: The number of documents without all of their values.
    """
    missing = [] if album.missing is None else [{"en": album.missing, "ko": album.missing}]
    return missing + [{"en": en.format(count), "ko": ko.format(count)} for count, (en, ko) in _parts(album, shortened)]


def _parts(album: Album, shortened: int) -> Iterator[tuple[int, tuple[str, str]]]:
    if album.small:
        yield album.small, _NO_THUMBNAIL
    if album.large:
        yield album.large, _NO_LARGE
    if shortened:
        yield shortened, _NO_VALUES
    if album.pictures == "none":
        yield 0, _NONE_LARGE
