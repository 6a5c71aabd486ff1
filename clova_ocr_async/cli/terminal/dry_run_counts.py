"""Counts of a dry run, and the lines that show them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.cli.terminal.phrases import MAX_NAMED, REFUSED_BEFORE, cost
from clova_ocr_async.cli.terminal.shell_hints import for_shell
from clova_ocr_async.client.image_bytes import sent_name
from clova_ocr_async.errors import Billing
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.protocol.echoed_input import quoted, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

__all__ = ["DryRunCounts", "Reason"]

_NUMBER = re.compile(r"(\d[\d,]*|…)")
_HINTS = {
    "answered already": "not sent again",
    "duplicates": "the same bytes under another name, paid once",
    "ambiguous": "maybe billed, not sent without --retry-ambiguous",
    "refused before": REFUSED_BEFORE,
    "failed, not billed": "not sent without --retry-failed",
    "failed, billed": "not sent without --retry-billed",
    "in flight": "another process has sent them",
}

_OPTIONS = {
    "--allow-truncated": "--allow-truncated sends it as it is",
    "--pages": "--pages all reads each page",
    "give --prepare": "--prepare converts it",
}
_BILLED_BEFORE = {
    Billing.BILLED: ("paid again", "of them for images that were paid for and not read"),
    Billing.MAYBE_BILLED: ("maybe paid again", "of them for images that may have been paid for already"),
}
_PAID_TWICE = "the same bytes under another name, each paid; with --run once"


class Reason:
    """A reason why some files cannot be sent; their texts differ only in numbers.

    Args:
        first: The text for the first file.

    Attributes:
        count: The number of files.
        text: The text, with the numbers that all of them share.
    """

    def __init__(self, first: str) -> None:
        self.count = 0
        self.text = first

    def add(self, text: str) -> None:
        """Count a file with this text."""
        self.count += 1
        parts = zip(_NUMBER.split(self.text), _NUMBER.split(text), strict=True)
        self.text = "".join(known if known == found else "…" for known, found in parts)


@dataclass(slots=True)
class DryRunCounts:
    """Counts of a dry run.

    Attributes:
        found: Files so far.
        billable: Calls that would be billed.
        assumed: How many of them are for pictures that would be converted or rendered first, which was not tried.
        not_sent: Files that need no call, by reason.
        billed_before: Calls that would be billed again, by the billing of the earlier call.
        reasons: Files that cannot be sent, by the parts of the reason between its numbers.
        skipped: Names of the first of them.
    """

    found: int = 0
    billable: int = 0
    assumed: int = 0
    not_sent: Counter[str] = field(default_factory=Counter[str])
    billed_before: Counter[Billing] = field(default_factory=Counter[Billing])
    reasons: dict[tuple[str, ...], Reason] = field(default_factory=dict[tuple[str, ...], Reason])
    skipped: list[str] = field(default_factory=list[str])

    def skip(self, path: str, page: int | None, reason: str) -> None:
        """Count an image that cannot be sent.

        Args:
            path: The path of its file.
            page: Its page, from 1; None for the whole file.
            reason: The message of its error.
        """
        # Messages begin with the image; without it, files with the same fault have the same message and one line.
        name = sent_name(path)
        one = "" if page is None else f"page {page:,} of {shown_path(path)} "
        for subject in (f"image {quoted(name)} ", f"image {quoted(name)}: ", f"{shown_path(path)}: ", one):
            reason = reason.removeprefix(subject)
        reason, _, way_out = for_shell(reason).partition(";")
        # The other ways out are about one file, and this line is about many.
        for option, use in _OPTIONS.items():
            if option in way_out:
                reason += f"; {use}"
        self.reasons.setdefault(tuple(_NUMBER.split(reason)[::2]), Reason(reason)).add(reason)
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append(shown_path(str(Path(path) if page is None else Page(Path(path), page))))

    def lines(self, *, once: bool, used: int, max_calls: int | None, price: Decimal | None) -> Iterator[str]:
        """Yield the lines of the result.

        Args:
            once: Whether the same bytes are paid once, as in a run.
            used: Calls of the run so far.
            max_calls: Most calls over the whole life of the run; None for any number.
            price: KRW per call; None if it is not known.
        """
        yield _line("images found", self.found)
        for reason, hint in _HINTS.items():
            if self.not_sent[reason]:
                paid_twice = reason == "duplicates" and not once
                yield _line(reason, self.not_sent[reason], _PAID_TWICE if paid_twice else hint)
        # The most frequent reason first: one missing option often explains thousands of files.
        for skipped in sorted(self.reasons.values(), key=lambda reason: -reason.count):
            yield _line("skipped", skipped.count, skipped.text)
        for name in self.skipped:
            yield f"{'':<32}{name}"
        yield _line("billable calls", self.billable, cost(price, self.billable).strip(" ()"))
        if self.assumed:
            yield _line("to be prepared", self.assumed, "of them; a dry run does not try that, and assumes success")
        for billing, (title, hint) in _BILLED_BEFORE.items():
            if count := self.billed_before[billing]:
                yield _line(title, count, hint + cost(price, count))
        if max_calls is not None:
            # Never below 0: a limit may have been lowered below what is used already.
            allowed = max(min(self.billable, max_calls - used), 0)
            hint = f"of {max_calls:,}, {used:,} are used" + cost(price, allowed)
            yield _line("within call limit", allowed, hint)


def _line(title: str, count: int, hint: str = "") -> str:
    return f"{title:<20}{count:>10,}  {hint}".rstrip()
