"""English pages beside their Korean versions: what must be equal in them, and what a person must look at.

A section of a Korean page has a mark below its heading, ``<!-- en: 1a2b3c4d -->``: the hash of the English prose of
which it is a translation. The comment at the end of README.ko.md is the glossary, with one translation for each term.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Section", "differences", "glossary_of", "hangul_share", "informal_endings", "links_of", "missing_terms",
    "sections_of", "stale_sections",
]  # fmt: skip

_FENCE = re.compile(r"^ *```\w[^\n]*\n.*?^ *```$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_MARK = re.compile(r"<!-- en: (\w+) -->")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_GLOSSARY = re.compile(r"<!-- glossary: (.*?) -->", re.DOTALL)
_LINK = re.compile(r"\]\(([^)]*)\)")
_OF_ONE_LANGUAGE = {"README.md", "README.ko.md"}  # the links that switch the language
# A Korean page is a folder deeper, and leads to other Korean pages.
_TO_KOREAN = re.compile(r"^(?:\.\./)*(docs/)?(?:ko/)?")
_ID = re.compile(r" \{#([\w-]+)\}$")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and the text below it.

    Attributes:
        level: The number of ``#``.
        title: The text of the heading.
        anchor: The id that a link to the heading has.
        blocks: The blocks of code.
        prose: Everything else, without comments.
        mark: The hash of the English prose of which this is a translation; "" if there is none.
    """

    level: int
    title: str
    anchor: str
    blocks: tuple[str, ...]
    prose: str
    mark: str

    @property
    def hash(self) -> str:
        """The hash of the prose; line breaks do not count."""
        words = " ".join((self.title + "\n" + self.prose).split())
        return hashlib.sha256(words.encode()).hexdigest()[:8]

    @property
    def shape(self) -> dict[str, object]:
        """What a translation leaves as it is."""
        rows = [line.replace(r"\|", "").count("|") for line in self.prose.splitlines() if line.startswith("|")]
        return {
            "level of the heading": self.level,
            "code blocks": self.blocks,
            "rows of tables": rows,
            "items of lists": len(re.findall(r"^(?:\d+\.|\*) ", self.prose, re.MULTILINE)),
            "links": sorted(
                {_TO_KOREAN.sub(r"\1", link) for link in _LINK.findall(self.prose) if link not in _OF_ONE_LANGUAGE}
            ),
            "code in the text": sorted({" ".join(code.split()) for code in re.findall(r"`[^`]+`", self.prose)}),
        }


def sections_of(text: str) -> list[Section]:
    """Return the sections of a page, in their order."""
    # A comment in a shell block looks like a heading.
    blocks = _FENCE.findall(text)
    pieces = _HEADING.split(_FENCE.sub("\0", text))[1:]
    left = iter(blocks)
    found: list[Section] = []
    for level, title, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        mark = _MARK.search(body)
        prose = _COMMENT.sub("", body).replace("\0", "").strip()
        own = tuple(next(left) for _ in range(body.count("\0")))
        given = _ID.search(title)
        anchor = given[1] if given else re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))
        found.append(Section(len(level), _ID.sub("", title), anchor, own, prose, mark.group(1) if mark else ""))
    return found


def differences(english: str, korean: str) -> list[str]:
    """Return where a translation has another structure or other code, one sentence for each place."""
    found: list[str] = []
    for ours, theirs in zip_longest(sections_of(english), sections_of(korean)):
        if ours is None or theirs is None:
            found.append(f"{(ours or theirs).title!r} is in one of the two only")
        else:
            expected, got = ours.shape, theirs.shape
            found += [f"{ours.title!r}: other {name}" for name in expected if expected[name] != got[name]]
    return found


def stale_sections(english: str, korean: str) -> dict[str, str]:
    """Return the hashes that sections of a translation must have, once a person has compared them; by heading."""
    pairs = zip(sections_of(english), sections_of(korean), strict=True)
    return {theirs.title: ours.hash for ours, theirs in pairs if theirs.mark != ours.hash}


def glossary_of(korean: str) -> dict[str, str]:
    """Return the translations of terms."""
    (text,) = _GLOSSARY.findall(korean)
    return dict(pair.split(" = ") for pair in " ".join(text.split()).split("; "))


def missing_terms(english: str, korean: str, glossary: Mapping[str, str]) -> list[str]:
    """Return the terms of the glossary that a section uses and its translation translates in another way."""
    found: list[str] = []
    for ours, theirs in zip(sections_of(english), sections_of(korean), strict=True):
        text = f"{theirs.title} {theirs.prose}"
        words = _LINK.sub("]", re.sub(r"`[^`]+`", "", f"{ours.title} {ours.prose}")).lower()
        for term, translation in glossary.items():
            if re.search(rf"\b{term}s?\b", words) and translation not in text:
                found.append(f"{theirs.title!r}: {term} must be {translation}")
    return found


def links_of(prose: str) -> list[tuple[str, str]]:
    """Return the links of a prose: text and target."""
    return re.findall(r"\[([^\]]*)\]\(([^)]*)\)", prose)


def informal_endings(korean: str) -> list[str]:
    """Return the last words of sentences that do not end formally."""
    prose = "\n".join(section.prose for section in sections_of(korean))
    # The bold label of an item and the cell of a table may be words without a verb.
    sentences = re.sub(r"\*\*[^*]+\*\*|^\|.*$", "", prose, flags=re.MULTILINE)
    endings = re.findall(r"[가-힣]+\.(?=\W|$)", sentences)
    return [ending for ending in endings if not ending.endswith(("니다.", "십시오."))]


def hangul_share(korean: str) -> float:
    """Return which part of the letters of the prose are Hangul."""
    prose = " ".join(f"{section.title} {section.prose}" for section in sections_of(korean))
    letters = [letter for letter in _LINK.sub("]", re.sub(r"`[^`]+`", "", prose)) if letter.isalpha()]
    return sum("가" <= letter <= "힣" for letter in letters) / len(letters)
