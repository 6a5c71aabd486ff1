from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.pictures.page_selection import PageSelection

numbers = st.integers(1, 60)
pieces = st.one_of(numbers.map(str), st.tuples(numbers, numbers).map(lambda two: f"{min(two)}-{max(two)}"))


def _pages(text: str) -> set[int]:
    """Return the pages of a text the slow way, one by one."""
    found: set[int] = set()
    for piece in text.split(","):
        first, _, last = piece.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize("text", ["all", "ALL", " All "])
def test_all(text: str) -> None:
    """The word "all" selects each page of a file."""
    assert list(PageSelection.parse(text).numbers(3)) == [1, 2, 3]
    assert str(PageSelection.parse(text)) == "all"


@pytest.mark.parametrize(
    ("text", "pages"), [("1-3,7", [1, 2, 3, 7]), ("7, 1 - 3", [1, 2, 3, 7]), ("2,2,2", [2]), ("9", [9]), ("11-12", [])]
)
def test_numbers_and_ranges(text: str, pages: list[int]) -> None:
    """Pages come in the order of the file and each once; pages that the file does not have are left out."""
    assert list(PageSelection.parse(text).numbers(10)) == pages


@given(st.lists(pieces, min_size=1).map(",".join), st.integers(0, 70))
def test_any_selection_means_its_pages(text: str, count: int) -> None:
    """A selection of any pieces in any order is the set of their pages, as far as the file has them."""
    selection = PageSelection.parse(text)
    assert list(selection.numbers(count)) == sorted(page for page in _pages(text) if page <= count)


@given(st.lists(pieces, min_size=1).map(",".join))
def test_a_selection_is_written_as_it_is_parsed(text: str) -> None:
    """The text of a selection is one that parses to the same selection."""
    selection = PageSelection.parse(text)
    assert PageSelection.parse(str(selection)) == selection


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    """Any text is a selection or an error of the configuration, never another error."""
    with suppress(ConfigurationError):
        list(PageSelection.parse(text).numbers(5))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "a page is missing at a comma"),
        ("1,,3", "a page is missing at a comma"),
        ("1-3,x", "'x' is neither a page nor a range of pages; write \"all\", or"),
        ("-3", "'-3' is neither"),
        ("3-", "'3-' is neither"),
        ("1.5", "'1.5' is neither"),
        ("1-2-3", "'1-2-3' is neither"),
        ("٣", "'٣' is neither"),
        ("1234567890", "'1234567890' is neither"),
        ("0", "'0' begins with page 0, and the first page is 1"),
        ("0-3", "'0-3' begins with page 0"),
        ("2,9-7", "the range '9-7' ends before it begins; write 7-9"),
    ],
)
def test_an_error_names_the_piece_and_the_way_out(text: str, named: str) -> None:
    """A text that is not a selection is refused with the piece at fault and the form that works."""
    with pytest.raises(ConfigurationError) as caught:
        PageSelection.parse(text)
    assert named in str(caught.value)


@pytest.mark.parametrize("pages", [3, None, [1, 2], b"all"])
def test_other_types_are_named(pages: object) -> None:
    """A value of another type is refused by its type, with the form that works."""
    with pytest.raises(ConfigurationError, match=r'pages is .*; write "all", or numbers and ranges such as "1-3,7"'):
        PageSelection.parse(pages)  # type: ignore[arg-type]


def test_a_selection_is_taken_as_it_is() -> None:
    """A parsed selection passes where a text does."""
    selection = PageSelection.parse("1-3")
    assert PageSelection.parse(selection) is selection


def test_a_huge_range_costs_nothing() -> None:
    """The pages of a range are made one by one, and only as far as the file has them."""
    assert list(PageSelection.parse("1-999999999").numbers(2)) == [1, 2]
