"""The texts of an error, and a search for secrets in them."""

from __future__ import annotations

from typing import Any

import pytest

from clova_ocr_async.errors import ConfigurationError
from support.fakes import KEY, SECRET


def chain(error: BaseException) -> str:
    """Return all that an error shows of itself and of what led to it."""
    shown, link = "", error.__context__ or error.__cause__
    shown += f"{error} {error!r} {error.args!r} {vars(error)!r}"
    return shown + (chain(link) if link is not None else "")


def refused(call: Any) -> str:
    """Return the message of a refusal, which holds no canary at any depth."""
    with pytest.raises(ConfigurationError) as caught:
        call()
    # Hosts and tails are shown in lower case.
    assert SECRET.lower() not in chain(caught.value).lower()
    assert KEY.lower() not in chain(caught.value).lower()
    return str(caught.value)
