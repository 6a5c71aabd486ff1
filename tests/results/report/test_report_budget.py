"""The room in the page."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.results.report.budget import Budget

MOST = 60_000_000


@given(st.integers(1, 60), st.integers(100, 3_000_000), st.integers(1, 4_000_000))
def test_a_page_stays_within_its_limit(rows: int, row: int, picture: int) -> None:
    """With rows and pictures of any size a page has at most 60 MB, unless its rows without values are more."""
    budget, used = Budget(10_000, rows), 0
    for _ in range(rows):
        if budget.takes(picture):
            used += picture
        size = row if budget.takes_values(row) else min(row, 500)
        used += size
        budget.add_row(size)
    assert used <= MOST


def test_rows_come_before_pictures() -> None:
    """A thumbnail has no room if the rows to come need it; a row has its values while bare ones have room."""
    budget = Budget(10_000, 20_000)
    assert budget.has_thumbnail(9_999)
    assert not budget.has_thumbnail(10_000)
    assert not budget.takes(1_000)  # 20,000 rows of 3,000 bytes are all there is room for
    assert budget.takes_values(3_000)
    assert not budget.takes_values(MOST)


def test_more_documents_make_a_larger_page() -> None:
    """A larger limit of documents is a larger limit of bytes; a smaller one is not a smaller one."""
    assert Budget(20_000, 20_000).takes(50_000_000)
    assert Budget(0, 1).takes(50_000_000)
