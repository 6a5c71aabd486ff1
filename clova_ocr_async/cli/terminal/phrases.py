"""Phrases that several commands print: counts, costs, names, and commands to paste into a shell."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import string
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, ConnectionFailedError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.server_url import POSTGRES, REDIS, ServerURL, read_server_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.documents import Document
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.run_status import RunStatus

__all__ = [
    "ERRORS_PAGE",
    "MAX_NAMED",
    "REFUSED_BEFORE",
    "address_of",
    "advice_on",
    "cost",
    "format_counts",
    "format_gates",
    "format_status",
    "list_names",
    "name_once",
    "nothing_sent",
    "quote_path",
    "quote_run",
    "resume_command",
    "shown_run",
    "wrong_folder",
]

ERRORS_PAGE = "docs/errors.md"
"""The page with the cause of each error, its cost and the way out: in the source, and on the documentation's site."""

MAX_NAMED = 20
"""Most images that a message names; the results have all of them."""

REFUSED_BEFORE = "no picture the service takes, not looked at again without --retry-failed"
"""What images are that were refused before."""

# Up to the last @, since a password may hold one.
_USER_INFO = re.compile(r"(?<=://).*@")
_PLAIN = frozenset((string.ascii_letters + string.digits + "_./").encode())  # bytes that printf prints unchanged
_DONE_ONCE = frozenset({"--run-moved", "--retry-failed", "--retry-ambiguous", "--retry-billed"})


def name_once(shown: str, message: object) -> str:
    """Return the message about an image, after its name; the name is not repeated if the message begins with it."""
    text = str(message)
    return text if text.startswith(f"{shown}: ") else f"{shown}: {text}"


def cost(price: Decimal | None, calls: int, maybe_billed: int = 0) -> str:
    """Return the cost of calls, in a form that follows their count.

    Args:
        price: KRW per call; None if it is not known.
        calls: Calls that were billed.
        maybe_billed: Further calls that may have been billed.
    """
    if price is None:
        return ""
    least, most = f"{calls * price:,f}", f"{(calls + maybe_billed) * price:,f}"
    return f" ({least} KRW)" if least == most else f" ({least} to {most} KRW)"


def format_counts(counts: dict[str, int]) -> str:
    """Return counts in one line."""
    return ", ".join(f"{count:,} {word}" for word, count in counts.items()) or "none"


def format_status(status: RunStatus, price: Decimal | None = None) -> str:
    """Return the state of a run in one line."""
    rest = {"maybe billed": status.maybe_billed, "in flight": status.in_flight}
    bill = f"{plural(status.billed, 'call')} billed"
    bill += "".join(f", {count:,} {word}" for word, count in rest.items() if count)
    maybe_billed = status.maybe_billed + status.in_flight
    gone = f" ({status.vanished:,} no longer there)" if status.vanished else ""
    images = f"{plural(status.total, 'image')}: {format_counts(status.images)}{gone}"
    return f"{images}; {bill}{cost(price, status.billed, maybe_billed)}"


def nothing_sent(status: RunStatus) -> str:
    """Return the line of a command that sent nothing, with the reason if all that is left was refused before."""
    refused = status.images.get("skipped", 0) - status.vanished
    if status.images.get("pending") or not refused:
        return "nothing was sent"
    images = plural(refused, "image was refused before", "images were refused before")
    return f"nothing was sent; {images}: {REFUSED_BEFORE}"


def wrong_folder(run: RunLocation, start: str) -> str:
    """Return the error of a command on a run whose relative paths start in another folder."""
    return (
        f"the run in {shown_run(run)} names its images by paths that start in {shown_path(start)}; "
        f"repeat the command there: cd {quote_path(start)}"
    )


def format_gates(client: ClovaOCRClient, documents: Iterable[type[Document]]) -> str:
    """Return the sums of the concurrency limits of all domains that serve some documents now."""
    serving: set[Domain] = set()
    for document in documents:
        with suppress(ConfigurationError):  # of several documents, some may have no domain
            # A domain on hold takes no calls, so its limit would promise too much.
            serving |= set(client.serving(document)) - set(client.on_hold)
    gates = [gate for domain, gate in client.gates.items() if domain in serving]
    at_once, limit = sum(gate.in_flight for gate in gates), sum(gate.ceiling for gate in gates)
    counts = {
        "by other processes": sum(gate.elsewhere for gate in gates),
        "waiting": sum(gate.waiting for gate in gates),
        "refused": sum(gate.rejections for gate in gates),
        "being prepared": client.loader.preparing,
    }
    rest = "".join(f", {count:,} {word}" for word, count in counts.items() if count)
    where = f" on {len(gates)} domains" if len(gates) > 1 else ""
    return f"{at_once:,} of {plural(limit, 'call')} at once{where}{rest}"


def list_names(names: Iterable[str], count: int) -> str:
    """Return the first of the names in one line, and the number of the others."""
    named = ", ".join(itertools.islice(names, MAX_NAMED))
    return f"{named} and {count - MAX_NAMED:,} more" if count > MAX_NAMED else named


def quote_path(path: str) -> str:
    """Return a path as a word of a command that can be pasted into a shell, and that no command takes for an option."""
    return _word(f"./{path}" if path.startswith("-") else path)


def quote_run(run: RunLocation) -> str:
    """Return the location of a run as a word of a command; a URL without its password."""
    return _word(str(run)) if isinstance(run, ServerURL) else quote_path(os.fspath(run))


def shown_run(run: RunLocation) -> str:
    """Return the location of a run as a message shows it; a URL without its password."""
    return str(run) if isinstance(run, ServerURL) else shown_path(os.fspath(run))


def _word(text: str) -> str:
    """Return a text as a word that a shell reads as exactly these bytes, in characters that standard error can show."""
    if _can_show(text):
        return shlex.quote(text)
    # Not every shell has $'…', so printf writes the bytes. $(…) drops line ends at its end, so they follow it.
    kept = text.rstrip("\n")
    printed = "".join(chr(byte) if byte in _PLAIN else f"\\{byte:03o}" for byte in os.fsencode(kept))
    ends = text[len(kept) :]
    return f"\"$(printf '{printed}')\"" + (shlex.quote(ends) if ends else "")


def _can_show(text: str) -> bool:
    """Return whether standard error can show a text unchanged."""
    try:
        text.encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return all(character.isprintable() or character == "\n" for character in text)


def address_of(error: ClovaOCRError | None) -> str:
    """Return the address of the section about an error, in brackets; empty for an error that needs none."""
    kinds = [kind for kind in type(error).__mro__ if kind.__module__ == ClovaOCRError.__module__]
    # The last one is the base. An error of the command line itself has no other, and no section; the message of a wrong
    # setting names the setting and the way out.
    if len(kinds) < 2 or kinds[0] is ConfigurationError:  # noqa: PLR2004 - a class and the base
        return ""
    return f" ({ERRORS_PAGE}#{kinds[0].__name__.lower()})"


def advice_on(error: ClovaOCRError | None) -> str:
    """Return the address of an error's section, after what there is to check if the cause is on the user's side."""
    if isinstance(error, ConnectionFailedError):
        # Other programs go through it, so its user may not expect that this one does not.
        unused = next((name for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)), None)
        hint = "" if unused is None else f" ({unused} is not used; CLOVA_OCR_PROXY is)"
        proxy = "--proxy or CLOVA_OCR_PROXY" if os.environ.get("CLOVA_OCR_PROXY") else "--proxy"
        check = f"check the host of the invoke URL (clova-ocr doctor shows it), the network, and {proxy}{hint}"
        return f"; {check}{address_of(error)}"
    return address_of(error)


def resume_command(program: str, arguments: Sequence[str]) -> str:
    """Return the command that resumes a run.

    Options that send images again are left out: the ledger has recorded them, and repeating an option would also send
    images again that have failed since.

    Args:
        program: The name of the command.
        arguments: Its arguments.
    """
    return " ".join((program, *(_word(_masked(argument)) for argument in arguments if argument not in _DONE_ONCE)))


def _masked(argument: str) -> str:
    """Return an argument without the user name and password of a URL, also where it is one word, as in --proxy=URL.

    The URL of a run or of slots keeps its user: without it the command would be another one.
    """
    option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    with suppress(ConfigurationError):
        return f"{option}{equals}{read_server_url(value, (*POSTGRES, *REDIS))}"
    return _USER_INFO.sub("***@", argument)
