"""Hints of error messages, translated from Python to the command line.

An error of the package names the way out for Python users; on the command line the same way out has another form. A
hint that is right in both places needs no entry in this table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["for_shell", "record_for_shell"]


def _domain_to_set(found: re.Match[str]) -> str:
    """Return the message that names the environment variables of a document."""
    variable = f"CLOVA_OCR_{re.sub('(?<=[a-z])(?=[A-Z])', '_', found[1]).upper()}"
    return f"no domain reads {found[1]}; set {variable}_INVOKE_URL and {variable}_SECRET, or those of all documents"


_AGAIN = "(a run that refused it also needs --retry-failed)"
_HINTS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"more than ImageLimits\.\w+, (?=\d)"), "more than "),
    (
        re.compile(r"; for its pictures see images_in\b(?:\(…\))?"),
        "; for its pictures give the folder to clova-ocr batch",
    ),
    (
        re.compile(r"\bfor the pictures in a \.zip see images_in\b"),
        "for the pictures in a .zip give it to clova-ocr batch",
    ),
    (re.compile(r"\bread its pages with pages_in\b"), "give --pages"),
    (re.compile(r"^(error: )?pages: "), r"\1--pages: "),
    (
        re.compile(r"\bgive the file to a client with prepare=Preparation\(\)"),
        f"give --prepare {_AGAIN}",
    ),
    (re.compile(r"\bsend it as it is, without preparation\b"), f"send it as it is, without --prepare {_AGAIN}"),
    (re.compile(r"(?<=\(its wheels are GPL\))"), f" {_AGAIN}"),
    (re.compile(r"in \.recognition\.message\b"), "in its record, under result.message"),
    (re.compile(r"\bpass allow_http=True\b"), "allow it in a file of domains (allow_http = true)"),
    (re.compile(r"\bpass expose=True\b"), "give --expose"),
    (re.compile(r"; set XDG_STATE_HOME to a folder, or give a path\b"), "; set XDG_STATE_HOME to a folder"),
    (
        re.compile(r"\bImageLimits\.allow_truncated\b"),
        f"--allow-truncated {_AGAIN}",
    ),
    (re.compile(r" \(base64\.b64decode\) and pass the bytes\b"), " (base64 -d) and give the file"),
    (
        re.compile(r": --ca-file on the command line, transport=AiohttpTransport\(tls=…\) in Python"),
        ": give --ca-file",
    ),
    (re.compile(r" \(in Python: \w+Ledger\(…, moved=True\)\)"), ""),
    (re.compile(r", CLOVA_OCR_KEY_FILE, or seal=\)"), " or CLOVA_OCR_KEY_FILE)"),
    (re.compile(r"\bno domain of this client reads (\w+): \[.*\]"), _domain_to_set),
    (re.compile(r"\b[A-Z]\w*\((['\"])(.*?)\1, billing=[A-Z_]+\)"), r"\2"),  # the repr of an error, in a log record
    (re.compile(r"\bwas stopped by (?:InterruptError|OutputError): "), "was stopped: "),
)


def record_for_shell(record: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an image, with the hint of its error for command-line users."""
    error = record.get("error")
    if error is None or error["message"] is None:
        return record
    return record | {"error": error | {"message": for_shell(error["message"])}}


def for_shell(text: str) -> str:
    """Return the text of an error or log record with its hints for command-line users."""
    for python, shell in _HINTS:
        text = python.sub(shell, text)
    return text
