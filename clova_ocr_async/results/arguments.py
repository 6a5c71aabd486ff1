"""Arguments of the functions of this folder, with a word for what people give in their place."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping

from clova_ocr_async.documents import Document, Recognition
from clova_ocr_async.pictures.page import Page

__all__ = ["require_date", "require_recognition", "require_source"]


def require_recognition(value: object) -> None:
    """Refuse what is not a recognition.

    Raises:
        TypeError: It is something else; the message names what to give.
    """
    if not isinstance(value, Recognition):
        raise TypeError(f"the recognition is a {type(value).__name__}; {_way_out(value)}")


def _way_out(value: object) -> str:
    if isinstance(value, Document):
        return "give the Recognition whose document it is"
    if hasattr(value, "recognition"):  # an outcome of a batch, or an error
        return "give its .recognition"
    if isinstance(value, Mapping):
        return "Recognition.from_dict(…) makes one of a record"
    return "it must be a Recognition, as client.recognize returns it"


def require_source(value: object) -> None:
    """Refuse what does not name an image, such as its bytes.

    Raises:
        TypeError: It is neither a path nor a page, nor None.
    """
    if value is not None and not isinstance(value, str | os.PathLike | Page):
        raise TypeError(f"the source is a {type(value).__name__}; it must be a path or a Page, or left out")


def require_date(name: str, value: object) -> None:
    """Refuse what is neither a date without a time nor None.

    Args:
        name: The argument's name.
        value: Its value.

    Raises:
        TypeError: It is something else.
    """
    if value is not None and (not isinstance(value, dt.date) or isinstance(value, dt.datetime)):
        raise TypeError(f"{name} is a {type(value).__name__}; it must be a datetime.date, such as date.today()")
