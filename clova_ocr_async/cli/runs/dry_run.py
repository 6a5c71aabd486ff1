"""A dry run: what a batch would send and what it would cost, found out without sending or writing anything."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clova_ocr_async.batch.hashing import file_at, hash_now
from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.cli.terminal.phrases import MOST_NAMED, cost, elsewhere
from clova_ocr_async.cli.terminal.stderr import printable, say, say_all
from clova_ocr_async.cli.terminal.vocabulary import in_words
from clova_ocr_async.client.loading import load_image
from clova_ocr_async.errors import Billing, ConfigurationError, ImageError
from clova_ocr_async.host.paths import alternate_path, normalize_path
from clova_ocr_async.ledger.settlement import is_requeued
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.states import FINISHED, Entry, Item, State
from clova_ocr_async.protocol.echoed_input import quoted, shown_path

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Iterator
    from decimal import Decimal

    from clova_ocr_async.cli.runs.inputs import Search
    from clova_ocr_async.ledger.sqlite.run_settings import CallLimit
    from clova_ocr_async.protocol.image import ImageLimits

__all__ = ["DryRun", "is_new", "rehearse"]

_NUMBER = re.compile(r"(\d[\d,]*|…)")
_LOOKS = 64  # files that are known between two turns of the event loop
_ENOUGH = 8  # bytes of a hash: that two of a million images share them by chance is one in millions
_HINTS = {
    "answered already": "not sent again",
    "duplicates": "the same bytes under another name, paid once",
    "in doubt": "perhaps paid, not sent without --retry-ambiguous",
    "refused before": "no picture the service takes, not looked at again without --retry-failed",
    "failed, not billed": "not sent without --retry-failed",
    "failed, billed": "not sent without --retry-billed",
    "under way": "another process has sent them",
}


class Reason:
    """Why some files cannot be sent: one reason, in whose text only the numbers differ.

    Args:
        first: The text of the first file.

    Attributes:
        count: Files it was told of.
        told: The text, with the numbers that all of them share.
    """

    def __init__(self, first: str) -> None:
        self.count = 0
        self.told = first

    def add(self, text: str) -> None:
        """Count a file."""
        self.count += 1
        parts = zip(_NUMBER.split(self.told), _NUMBER.split(text), strict=True)
        self.told = "".join(known if known == found else "…" for known, found in parts)


class DryRun:
    """Finds out what a batch would do with each file.

    Args:
        document: The vendor's path word.
        reader: Looks into the run; None if there is nothing in it yet, or no run.
        once: Whether the same bytes are paid once, as in a run.
        again: Images that were not read are tried again if their billing is one of these.
        limits: Which images are refused before they are sent.

    Attributes:
        found: Files so far.
        billable: Calls to be billed.
        counts: Files that need no call, by why.
        again: Calls to be billed whose image was paid for before, or perhaps was, by which of the two.
        reasons: Files that cannot be sent, by why.
        skipped: Names of the first of them.
    """

    def __init__(
        self,
        document: str,
        reader: RunReader | None,
        *,
        once: bool,
        again: Collection[Billing] = (),
        limits: ImageLimits,
    ) -> None:
        self.found = 0
        self.billable = 0
        self.counts: Counter[str] = Counter()
        self.again: Counter[Billing] = Counter()
        self.reasons: dict[str, Reason] = {}
        self.skipped: list[str] = []
        self._document = document
        self._reader = reader
        self._once = once
        self._again = again
        self._limits = limits
        self._seen: set[int] = set()

    def files(self, found: Iterable[os.DirEntry[str] | str]) -> Iterator[str | None]:
        """Yield the files a batch would look at: what is left in the run, then what is found and is not among that.

        In a run a file is one image, however many of the paths lead to it; None stands for one that comes again.
        """
        if not self._once:
            yield from (os.fspath(file) for file in found)
            return
        if self._reader is not None:
            yield from self._reader.to_read(self._document, self._again)
        here = os.fsencode(Path.cwd())
        listed: set[int] = set()
        for file in found:
            path = normalize_path(os.fsencode(file))
            spellings = frozenset({path, alternate_path(path, here) or path})
            again = hash(spellings) in listed or self._is_left(spellings)
            listed.add(hash(spellings))
            yield None if again else os.fsdecode(path)

    def _is_left(self, spellings: Iterable[bytes]) -> bool:
        """Return whether a file is among what is left in the run."""
        if self._reader is None:
            return False
        return any(self._reader.is_to_read(os.fsdecode(one), self._document, self._again) for one in spellings)

    async def look_at(self, path: str) -> None:
        """Find out what would be done with a file."""
        self.found += 1
        try:
            sha256, entry = await self._known(path)
        except ImageError as error:
            self._skip(path, str(error))
            return
        why = None if entry is None else self._why_not(entry)
        number = int.from_bytes(sha256[:_ENOUGH])
        if why is None and number in self._seen:
            why = "duplicates"
        if why is not None:
            self.counts[why] += 1
        if why is None or not self._once:
            self.billable += 1
            self._seen.add(number)
            if entry is not None and entry.state in FINISHED:
                self.again[entry.billing] += 1

    async def _known(self, path: str) -> tuple[bytes, Entry | None]:
        """Return an image's hash, and what is known of it.

        Files are looked at and read in the event loop, in which nothing else runs: a thread for each would cost more
        than the look.

        Raises:
            ImageError: It cannot be sent.
        """
        if self._reader is not None and (file := file_at(path)) is not None:
            entry = self._reader.recall(file, self._document)
            if entry is not None and self._why_not(entry) is not None:
                return entry.item.sha256, entry
        await asyncio.sleep(0)  # an interrupt gets through between two files that are read
        hashed = hash_now(path, self._limits)
        item = Item(hashed.sha256, self._document)
        entry = None if self._reader is None else self._reader.find(item)
        if entry is None or self._why_not(entry) is None:
            await load_image(hashed.image(), self._limits)
        return hashed.sha256, entry

    def _why_not(self, entry: Entry) -> str | None:
        """Return why an image that is known is not sent; None if it is sent."""
        # The view has projected the entry: it is as the next batch will find it, and as that will requeue it.
        if entry.state is State.SENT:
            return "under way"
        if entry.state is State.SUCCEEDED:
            return "answered already"
        if entry.state not in FINISHED or is_requeued(entry, self._again):
            return None
        if entry.billing is Billing.MAYBE_BILLED:
            return "in doubt"
        if entry.state is State.SKIPPED:
            return "refused before"
        return "failed, billed" if entry.billing is Billing.BILLED else "failed, not billed"

    def _skip(self, path: str, reason: str) -> None:
        name = Path(path).name
        for subject in (f"image {quoted(name)} ", f"image {quoted(name)}: ", f"{shown_path(path)}: "):
            reason = reason.removeprefix(subject)
        reason, _, way_out = in_words(reason).partition(";")
        if "--allow-truncated" in way_out:
            reason += "; --allow-truncated sends it as it is"
        self.reasons.setdefault(_NUMBER.sub("", reason), Reason(reason)).add(reason)
        if len(self.skipped) < MOST_NAMED:
            self.skipped.append(shown_path(path))

    def lines(self, *, used: int, max_calls: int | None, price: Decimal | None) -> Iterator[str]:
        """Yield what was found out.

        Args:
            used: Calls of the run so far.
            max_calls: Calls over the whole life of the run; None for any number.
            price: KRW a call; None if it is not known.
        """
        yield _line("images found", self.found)
        for why, hint in _HINTS.items():
            if self.counts[why]:
                yield _line(why, self.counts[why], hint if self._once or why != "duplicates" else _PAID_TWICE)
        for reason in sorted(self.reasons.values(), key=lambda reason: -reason.count):
            yield _line("skipped", reason.count, reason.told)
        for name in self.skipped:
            yield f"{'':<32}{name}"
        yield _line("billable calls", self.billable, cost(price, self.billable).strip(" ()"))
        for billing, (title, hint) in _AGAIN.items():
            if count := self.again[billing]:
                yield _line(title, count, hint + cost(price, count))
        if max_calls is not None:
            allowed = max(min(self.billable, max_calls - used), 0)
            hint = f"of {max_calls:,}, {used:,} are used" + cost(price, allowed)
            yield _line("within the ceiling", allowed, hint)


_AGAIN = {
    Billing.BILLED: ("paid again", "of them for images that were paid for and not read"),
    Billing.MAYBE_BILLED: ("perhaps paid again", "of them for images that may have been paid for already"),
}
_PAID_TWICE = "the same bytes under another name, each paid; with --run once"


def _line(title: str, count: int, hint: str = "") -> str:
    return f"{title:<20}{count:>10,}  {hint}".rstrip()


async def rehearse(
    document: str,
    found: Iterable[os.DirEntry[str] | str],
    *,
    folder: str | None,
    again: Collection[Billing],
    max_calls: CallLimit | None,
    price: Decimal | None,
    limits: ImageLimits,
    search: Search,
) -> ExitCode:
    """Tell on standard output what a batch would do.

    Args:
        document: The vendor's path word.
        found: Yields the files.
        folder: The run directory; None without one.
        again: Images that were not read are tried again if their billing is one of these.
        max_calls: Calls over the whole life of the run; "none" for any number, None for the ceiling that the run has.
        price: KRW a call; None if it is not known.
        limits: Which images are refused before they are sent.
        search: What found the files, and says what it has passed over.
    """
    with _opened(folder) as reader:
        rehearsal = DryRun(document, reader, once=folder is not None, again=again, limits=limits)
        for number, path in enumerate(rehearsal.files(found)):
            if path is not None:
                await rehearsal.look_at(path)
            if not number % _LOOKS:
                await asyncio.sleep(0)  # an interrupt gets through
        status = None if reader is None else reader.status()
    kept, used = (None, 0) if status is None else (status.max_calls, status.calls)
    most = kept if max_calls is None else None if max_calls == "none" else max_calls
    for line in rehearsal.lines(used=used, max_calls=most, price=price):
        click.echo(printable(line))
    if not rehearsal.found:
        say(search.absence(), even_when_quiet=True)
    say_all(search.remarks())
    return ExitCode.OK if rehearsal.found else ExitCode.NO_INPUT


@contextlib.contextmanager
def _opened(folder: str | None) -> Generator[RunReader | None]:
    if folder is None or is_new(folder):
        yield None
        return
    with RunReader(folder) as reader:
        if (start := reader.other_base_folder(str(Path.cwd()))) is not None:
            raise ConfigurationError(elsewhere(folder, start))
        yield reader


def is_new(folder: str) -> bool:
    """Return whether a batch would begin a run there."""
    if not os.path.lexists(folder):
        return True
    # What is wrong with a folder that cannot be read is named when the run in it is opened.
    return Path(folder).is_dir() and os.access(folder, os.R_OK) and next(Path(folder).iterdir(), None) is None
