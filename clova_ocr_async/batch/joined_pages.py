"""The outcomes of the pages of each file, together again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from clova_ocr_async.batch.hashing import path_of
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.pictures.page import Page

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["JoinedPages", "join_pages"]


@dataclass(frozen=True, slots=True)
class JoinedPages(Generic[DocumentT]):
    """The outcomes of one file.

    Attributes:
        outcomes: The outcomes of its pages, in the order of the pages; one for a file that was sent whole.
    """

    outcomes: tuple[Outcome[DocumentT], ...]

    @property
    def succeeded(self) -> tuple[Success[DocumentT], ...]:
        """The pages that were read."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Success))

    @property
    def failed(self) -> tuple[Failure, ...]:
        """The pages that were not read. A file with some of both is half read."""
        return tuple(outcome for outcome in self.outcomes if isinstance(outcome, Failure))


def join_pages(outcomes: Iterable[Outcome[DocumentT]]) -> dict[str | None, JoinedPages[DocumentT]]:
    """Return the outcomes of a batch by the file that each belongs to, in the order of the pages.

    Examples:
        >>> files = join_pages([outcome async for outcome in outcomes])
        >>> for path, pages in files.items():
        ...     print(path, len(pages.succeeded), "pages read,", [str(failure.source) for failure in pages.failed])

    Args:
        outcomes: The outcomes, in any order.

    Returns:
        The outcomes by path, the files in the order of their first outcomes. Images that are not paths or pages, such
        as bytes, are together under None, in the order of their outcomes.
    """
    found: dict[str | None, list[Outcome[DocumentT]]] = {}
    for outcome in outcomes:
        found.setdefault(_path_of(outcome.source), []).append(outcome)
    # A stable sort: images without a page keep the order of their outcomes.
    return {path: JoinedPages(tuple(sorted(pages, key=_number_of))) for path, pages in found.items()}


def _path_of(source: object) -> str | None:
    path = path_of(source)
    return None if path is None else os.fsdecode(path)


def _number_of(outcome: Outcome[DocumentT]) -> int:
    return outcome.source.number if isinstance(outcome.source, Page) else 0
