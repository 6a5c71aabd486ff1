"""The words of the command line for what the package says to programmers.

An error's text names the way out in Python's words; someone at a shell has other ones. Each entry here stands for one
hint of the package, so that a hint is either right in both places or has its other form in this table.
"""

from __future__ import annotations

import re

__all__ = ["in_words"]

_WORDS = (
    (re.compile(r"more than ImageLimits\.\w+, (?=\d)"), "more than "),
    (re.compile(r"; for its pictures see images_in\b"), "; for its pictures give the folder to clova-ocr batch"),
    (re.compile(r"in \.recognition\.message\b"), "in its record, under result.message"),
    (re.compile(r"\bpass allow_http=True\b"), "allow it in a file of domains (allow_http = true)"),
    (re.compile(r"\bpass expose=True\b"), "give --expose"),
    (re.compile(r"; set XDG_STATE_HOME to a folder, or give a path\b"), "; set XDG_STATE_HOME to a folder"),
    (re.compile(r"\bwas stopped by (?:InterruptError|OutputError): "), "was stopped: "),
)


def in_words(text: str) -> str:
    """Return what an error or a log record says, in the words of someone at a shell."""
    for python, shell in _WORDS:
        text = python.sub(shell, text)
    return text
