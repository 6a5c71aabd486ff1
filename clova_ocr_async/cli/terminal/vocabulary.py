"""The words of the command line for what the package says to programmers.

An error's text names the way out in Python's words; someone at a shell has other ones. Each entry here stands for one
hint of the package, so that a hint is either right in both places or has its other form in this table.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["in_words"]


def _domain_to_set(found: re.Match[str]) -> str:
    """Return which variables name a domain that reads a document."""
    variable = f"CLOVA_OCR_{re.sub('(?<=[a-z])(?=[A-Z])', '_', found[1]).upper()}"
    return f"no domain reads {found[1]}; set {variable}_INVOKE_URL and {variable}_SECRET, or those of all documents"


_WORDS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"more than ImageLimits\.\w+, (?=\d)"), "more than "),
    (
        re.compile(r"; for its pictures see images_in\b(?:\(…\))?"),
        "; for its pictures give the folder to clova-ocr batch",
    ),
    (re.compile(r"in \.recognition\.message\b"), "in its record, under result.message"),
    (re.compile(r"\bpass allow_http=True\b"), "allow it in a file of domains (allow_http = true)"),
    (re.compile(r"\bpass expose=True\b"), "give --expose"),
    (re.compile(r"; set XDG_STATE_HOME to a folder, or give a path\b"), "; set XDG_STATE_HOME to a folder"),
    (
        re.compile(r"\bImageLimits\.allow_truncated\b"),
        "--allow-truncated (a run that refused it also needs --retry-failed)",
    ),
    (re.compile(r" \(base64\.b64decode\) and pass the bytes\b"), " (base64 -d) and give the file"),
    (re.compile(r" \(in Python: SqliteLedger\(…, moved=True\)\)"), ""),
    (re.compile(r", CLOVA_OCR_KEY_FILE, or seal=\)"), " or CLOVA_OCR_KEY_FILE)"),
    (re.compile(r"\bno domain of this client reads (\w+): \[.*\]"), _domain_to_set),
    (re.compile(r"\b[A-Z]\w*\((['\"])(.*?)\1, billing=[A-Z_]+\)"), r"\2"),  # the repr of an error, in a log record
    (re.compile(r"\bwas stopped by (?:InterruptError|OutputError): "), "was stopped: "),
)


def in_words(text: str) -> str:
    """Return what an error or a log record says, in the words of someone at a shell."""
    for python, shell in _WORDS:
        text = python.sub(shell, text)
    return text
