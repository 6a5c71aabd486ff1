"""How a run is told: its counts, what they cost, and the command that resumes it."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import string
import sys
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ConnectionFailedError
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.documents import Document
    from clova_ocr_async.errors import ClovaOCRError
    from clova_ocr_async.ledger.storage import RunStatus

__all__ = [
    "MOST_NAMED",
    "cost",
    "elsewhere",
    "format_counts",
    "format_gates",
    "format_status",
    "pasted",
    "resume_command",
    "some_names",
    "what_to_check",
]

MOST_NAMED = 20
"""So many images are named at most; all of them are in the results."""

_USER_INFO = re.compile(r"(?<=://).*@")
_PLAIN = frozenset((string.ascii_letters + string.digits + "_./").encode())  # bytes that printf prints as they are
_DONE_ONCE = frozenset({"--run-moved", "--retry-failed", "--retry-ambiguous", "--retry-billed"})


def cost(price: Decimal | None, calls: int, perhaps: int = 0) -> str:
    """Return what calls cost, to stand behind their count.

    Args:
        price: KRW a call; None if it is not known.
        calls: That are paid.
        perhaps: That may be paid besides.
    """
    if price is None:
        return ""
    least, most = f"{calls * price:,f}", f"{(calls + perhaps) * price:,f}"
    return f" ({least} KRW)" if least == most else f" ({least} to {most} KRW)"


def format_counts(counts: dict[str, int]) -> str:
    """Return counts in a line."""
    return ", ".join(f"{count:,} {word}" for word, count in counts.items()) or "none"


def format_status(status: RunStatus, price: Decimal | None = None) -> str:
    """Return how far a run is, in a line."""
    rest = {"perhaps": status.maybe_billed, "under way": status.in_flight}
    told = f"{plural(status.billed, 'call')} billed"
    told += "".join(f", {count:,} {word}" for word, count in rest.items() if count)
    open_ = status.maybe_billed + status.in_flight
    gone = f" ({status.vanished:,} no longer there)" if status.vanished else ""
    images = f"{plural(status.total, 'image')}: {format_counts(status.images)}{gone}"
    return f"{images}; {told}{cost(price, status.billed, open_)}"


def elsewhere(run: str, start: str) -> str:
    """Return what is wrong with a command on a run whose relative paths start in another folder."""
    return (
        f"the run in {shown_path(run)} names its images by paths that start in {shown_path(start)}; "
        f"repeat the command there: cd {pasted(start)}"
    )


def format_gates(client: ClovaOCRClient, document: type[Document]) -> str:
    """Return how the gates of the domains stand together that serve a document now."""
    serving = set(client.serving(document)) - set(client.on_hold)
    gates = [gate for domain, gate in client.gates.items() if domain in serving]
    at_once, ceiling = sum(gate.in_flight for gate in gates), sum(gate.ceiling for gate in gates)
    counts = {
        "by other processes": sum(gate.elsewhere for gate in gates),
        "waiting": sum(gate.waiting for gate in gates),
        "refused": sum(gate.rejections for gate in gates),
    }
    rest = "".join(f", {count:,} {word}" for word, count in counts.items() if count)
    where = f" on {len(gates)} domains" if len(gates) > 1 else ""
    return f"{at_once:,} of {plural(ceiling, 'call')} at once{where}{rest}"


def some_names(names: Iterable[str], count: int) -> str:
    """Return the first names of so many."""
    named = ", ".join(itertools.islice(names, MOST_NAMED))
    return f"{named} and {count - MOST_NAMED:,} more" if count > MOST_NAMED else named


def pasted(path: str) -> str:
    """Return a path as a word of a command that can be pasted into a shell; one that looks like an option does not."""
    return _word(f"./{path}" if path.startswith("-") else path)


def _word(text: str) -> str:
    """Return a text as a word that a shell reads as just these bytes, in characters that standard error can show."""
    if _shows(text):
        return shlex.quote(text)
    # printf, and not $'…', which not every shell has. $(…) drops the line ends at its end.
    kept = text.rstrip("\n")
    printed = "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in os.fsencode(kept))
    ends = text[len(kept) :]
    return f"\"$(printf '{printed}')\"" + (shlex.quote(ends) if ends else "")


def _shows(text: str) -> bool:
    """Return whether standard error shows a text as it is."""
    try:
        text.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return all(character.isprintable() or character == "\n" for character in text)


def what_to_check(error: ClovaOCRError | None) -> str:
    """Return what to look at after an error that only the caller's side can mend; empty for any other."""
    if isinstance(error, ConnectionFailedError):
        return "; check the host of the invoke URL (clova-ocr doctor shows it), the network, and --proxy"
    return ""


def resume_command(program: str, arguments: Sequence[str]) -> str:
    """Return the command that resumes a run.

    Images that are to be tried again are written down as that: asking once more would send what failed meanwhile.

    Args:
        program: How the command was called.
        arguments: What it was called with.
    """
    return " ".join((program, *(_word(_masked(argument)) for argument in arguments if argument not in _DONE_ONCE)))


def _masked(argument: str) -> str:
    """Return an argument without the user name and password of a URL, be it --proxy=URL in one word."""
    return _USER_INFO.sub("***@", argument)
