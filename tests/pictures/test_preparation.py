from __future__ import annotations

from typing import Any

import pytest

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.pictures.preparation import Preparation


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"convert": 1}, "Preparation.convert is a int; it must be True or False"),
        ({"upright": None}, "Preparation.upright is a NoneType; it must be True or False"),
        ({"shrink": "yes"}, "Preparation.shrink is a str; it must be True or False"),
        ({"render": 0.0}, "Preparation.render is a float; it must be True or False"),
        ({"dpi": 0}, "Preparation.dpi is less than 1; it must be a whole number from 1 to 1200"),
        ({"dpi": 1201}, "Preparation.dpi is more than 1200; it must be a whole number from 1 to 1200"),
        ({"quality": 101}, "Preparation.quality is more than 100; it must be a whole number from 1 to 100"),
        ({"quality": True}, "Preparation.quality is a bool; it must be a whole number from 1 to 100"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], message: str) -> None:
    """A setting of another type or out of its bounds is refused by name."""
    with pytest.raises(ConfigurationError) as caught:
        Preparation(**settings)
    assert str(caught.value) == message
