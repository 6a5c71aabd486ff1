"""A count and its noun agree."""

from __future__ import annotations

import pytest

from clova_ocr_async.host.plural import plural


@pytest.mark.parametrize(("count", "said"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1000, "1,000 images")])
def test_only_a_count_of_one_has_the_singular(count: int, said: str) -> None:
    """One thing is named in the singular, and none or several in the plural."""
    assert plural(count, "image") == said


def test_words_behind_the_noun_agree_as_well() -> None:
    """A verb behind the noun has the number of the count."""
    words = ("image was not sent", "images were not sent")
    assert [plural(count, *words) for count in (1, 2)] == ["1 image was not sent", "2 images were not sent"]
