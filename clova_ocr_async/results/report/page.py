"""The frame of the report page: the text before, between and after the rows of a run.

The page is written piece by piece, so that a run of any size fits in memory: ``head``, then ``rows_block`` with
``thumbnails_block`` and ``picture`` as often as there are rows, then ``foot``. Values of documents and names of files
are hostile here: they may hold markup. They reach the page as JSON in blocks that no browser runs, with every ``<``
escaped, and as text that the template escapes. The policy in the head lets the browser run our one script alone, and
open no connection.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

import jinja2
import msgspec
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Language", "foot", "head", "picture", "rows_block", "thumbnail", "thumbnails_block", "word"]

Language = Literal["en", "ko"]

# The order matters: a file uses at its top level only names of files before it.
_SCRIPTS = ("core", "data", "search", "summary", "list", "picture", "document", "review", "keys", "start")
# A "<" could end the block; the two separators end a line in older scripts.
_ESCAPES = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def head(run_title: str, *, masked: bool, language: Language, review: bool = False) -> str:
    """Return the text of the page before the first row.

    Args:
        run_title: The name of the run, as the title shows it.
        masked: Whether personal numbers are masked; if not, the page says so in its title and in red.
        language: The language that the page opens in; a switch on the page changes it.
        review: Whether the page is served for corrections, and may talk to its own server.
    """
    policy = {
        "default-src": "'none'",
        "img-src": "data: blob: file: 'self'",
        "script-src": _source_of(_script()),
        "style-src": _source_of(_style()),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    if review:
        policy["connect-src"] = "'self'"
    return _render(
        "head",
        language,
        run_title=run_title,
        masked=masked,
        review=review,
        policy="; ".join(f"{name} {sources}" for name, sources in policy.items()),
        style=Markup(_style()),  # noqa: S704 - our own file
        words=_json(_texts()),
    )


def rows_block(rows: Sequence[Mapping[str, Any]], *, language: Language = "en") -> str:
    """Return the text of some rows: their data, and a plain table for readers without script.

    Args:
        rows: Rows in their order, at most a few hundred; their keys are those of the page's format.
        language: The language of the plain table.
    """
    return _render("rows", language, data=_json(rows), rows=[_plain(row, language) for row in rows])


def picture(row: int, data: bytes) -> str:
    """Return the text that embeds a picture in the page.

    Args:
        row: The number of the row that it belongs to.
        data: The bytes of a PNG, JPEG or WebP.
    """
    text = base64.b64encode(data).decode()
    return f'<script type="text/plain" class="picture" data-row="{row}">{text}</script>\n'


def thumbnail(row: int, data: bytes) -> str:
    """Return the line of a thumbnail; the arguments are those of ``picture``."""
    return f"{row} {base64.b64encode(data).decode()}\n"


def thumbnails_block(lines: str) -> str:
    """Return the text that embeds some thumbnails in the page.

    A browser spends a tenth less on a page with one block for the thumbnails of 200 rows than with one for each.
    """
    return f'<script type="text/plain" class="thumbs">\n{lines}</script>\n' if lines else ""


def foot(run: Mapping[str, Any], *, language: Language = "en") -> str:
    """Return the text of the page after the last row.

    Args:
        run: What is known of the run as a whole; its keys are those of the page's format.
        language: As for ``head``.
    """
    return _render("foot", language, data=_json(run), script=Markup(_script()))  # noqa: S704 - our own file


def word(key: str, language: Language) -> str:
    """Return a text of the page in a language; an unknown key is returned as it is."""
    texts = _texts()["words"].get(key)
    return texts[language] if texts else key


def _render(block: str, language: Language, **values: Any) -> str:
    template = _environment().get_template("report.html.j2")
    context = template.new_context({**values, "language": language, "t": functools.partial(word, language=language)})
    return "".join(template.blocks[block](context))


@functools.cache
def _environment() -> jinja2.Environment:
    # Nothing is looked up that a caller named, so a file that changes while a page is written changes nothing.
    return jinja2.Environment(
        loader=jinja2.PackageLoader("clova_ocr_async.results.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return resources.files("clova_ocr_async.results.report").joinpath("assets", name).read_text("utf-8")


@functools.cache
def _script() -> str:
    return "\n".join(['"use strict";', *(_asset(f"{name}.js") for name in _SCRIPTS)])


@functools.cache
def _style() -> str:
    return _asset("report.css")


@functools.cache
def _texts() -> dict[str, dict[str, Any]]:
    texts: dict[str, dict[str, Any]] = msgspec.json.decode(_asset("words.json"))
    return texts


def _source_of(text: str) -> str:
    """Return the expression by which a policy allows a text within the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: object) -> Markup:
    text = msgspec.json.encode(value).decode()
    for character, escaped in _ESCAPES.items():  # a page has megabytes of it, in which translate is slow
        text = text.replace(character, escaped)
    return Markup(text)  # noqa: S704 - no "<" is left


def _plain(row: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """Return the cells of a row in the plain table."""
    error: Mapping[str, Any] = row.get("error") or {}
    fields: Sequence[Mapping[str, Any]] = row.get("fields") or ()
    reasons = [_reason(reason, language) for field in fields for reason in field.get("why") or ()]
    why = error.get("message") or "; ".join(dict.fromkeys(reasons))
    return {
        "number": row["n"] + 1,
        "file": str(row.get("file") or row.get("source") or "").translate(_TURNS),
        "page": row.get("page") or "",
        "document": word(f"document.{row.get('document')}", language) if row.get("document") else "",
        "status": word(f"status.{row.get('status')}", language),
        "billed": word(_billing(row), language),
        "why": why.translate(_TURNS),
    }


# Marks that turn the direction of the text after them, so that one name looks like another.
_TURNS = {mark: f"[U+{mark:X}]" for mark in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def _reason(reason: str, language: Language) -> str:
    """Return a reason in the words of a language, as the script of the page words it."""
    kind, _, rest = reason.partition(": ")
    if rest and f"check.{kind}" in _texts()["words"]:
        return f"{word(f'check.{kind}', language)}: {_reason(rest, language)}"
    if reason.startswith("confidence "):
        return word("why.confidence", language).format(c=reason.removeprefix("confidence "))
    return str(_texts()["reasons"].get(reason, reason)) if language == "ko" else reason


def _billing(row: Mapping[str, Any]) -> str:
    if row.get("billed"):
        return "billed.yes"
    return "billed.maybe" if row.get("maybe") else "billed.no"
