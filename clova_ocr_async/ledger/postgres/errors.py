"""Errors of PostgreSQL, as errors of the ledger with a way out.

The server's own words are never repeated: they may hold values, or the connection string with its password.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import psycopg

from clova_ocr_async.errors import LedgerError

if TYPE_CHECKING:
    from clova_ocr_async.server_url import ServerURL

__all__ = ["PostgresError", "StoreAwayError", "cause_of", "ledger_error", "server_name"]


class PostgresError(LedgerError):
    """The database cannot be used.

    Attributes:
        sqlstate: PostgreSQL's code of the cause; None if there is none.
    """

    sqlstate: str | None = None


class StoreAwayError(PostgresError):
    """The server cannot be reached, or cannot write at present: nothing is sent, and the same run continues later.

    Attributes:
        cause: The message without the way out.
    """

    resumable = True
    cause: str = ""


# Source: PostgreSQL 17's manual, appendix A. By code or class; the code comes first.
_SILENT = "does not answer"
_AWAY = {
    "08": _SILENT,
    "08001": "is not found by its name; check the host in the URL",
    "25006": "takes no writes: it is a standby, or was set to read only",
    "25P03": "ended a transaction of this process that had slept",
    "40": "could not put this transaction in order with others",
    "53": "has no room or no connection left",
    "53100": "has no room left on its disk",
    "53300": "has no connection left",
    "55P03": "kept a transaction waiting for others",
    "57": "is shutting down, starts, or has ended the transaction",
    "58": "has an error of its system",
}
_REFUSED = {
    "28000": "and this user do not agree on TLS; check sslmode and the certificates of the URL or the service file",
    "28": "refuses the user or the password; check the user in the URL, and PGPASSWORD, ~/.pgpass or the service file",
    "3D000": "does not have the database of the URL; create it (createdb), or correct the URL",
    "F0000": "is that of a service which no service file has; check ~/.pg_service.conf, and PGSERVICEFILE",
    "3F000": "has no tables of runs any more",
    "42501": (
        "does not allow this user what a run needs. Open the run once as a user that may create a schema, then: "
        "GRANT USAGE ON SCHEMA clova_ocr TO …; "
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA clova_ocr TO …"
    ),
    "42P01": "has no tables of runs any more",
}
_RESUME = "nothing more is sent; run again once it works, and the run continues"
_RETRY = "try again once it works"
_CHECK = "check the host and the port in the URL, or try again once it works"

# libpq has no code for a connection that the server refused, only the server's words. A server that speaks another
# language than English is taken for one that does not answer.
_WORDS = (
    ("F0000", re.compile("definition of service|service file")),
    ("08001", re.compile("resolve host|translate host name|not known")),
    ("53300", re.compile("too many clients|too many connections|remaining connection slots")),
    ("25006", re.compile("session is read-only|server is in hot standby")),
    ("57P03", re.compile("starting up|shutting down|in recovery|not yet accepting")),
    ("28000", re.compile("does not support SSL|certificate")),
    ("28P01", re.compile("password|authentication failed|no pg_hba.conf entry|role .* does not exist")),
    ("3D000", re.compile("database .* does not exist")),
)


def server_name(server: ServerURL) -> str:
    """Return a server as messages name it: without the user, and without the password."""
    place = re.match(r"[a-z]+://(?:[^@/?]*@)?([^/?]+)", server.url)
    return f"the PostgreSQL server at {place[1]}" if place else "the PostgreSQL server"


def ledger_error(error: psycopg.Error, server: ServerURL, holder: str = "", *, sends: bool = False) -> PostgresError:
    """Return the ledger's error for an error of PostgreSQL.

    Args:
        error: Raised by psycopg.
        server: The server.
        holder: The program that was waited for, as it names itself; empty if it is not known.
        sends: Whether images are sent meanwhile: then a server that is away stops that.
    """
    # It becomes the context of the ledger's error, and the frames of the library hold the password.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    code = cause_of(error)[0]
    name = server_name(server)
    if (what := _AWAY.get(code) or _AWAY.get(code[:2])) is not None:
        way_out = _RESUME if sends else _CHECK if what == _SILENT else _RETRY
        if holder:
            what = f"{what}: {holder} has locked a run"
            way_out = f"let it go on (kill -CONT), or end it; {way_out}"
        away = StoreAwayError(f"{name} {what}; {way_out}")
        away.cause = f"{name} {what}"
        found: PostgresError = away
    elif (what := _REFUSED.get(code) or _REFUSED.get(code[:2])) is not None:
        found = PostgresError(f"{name} {what}")
    else:
        found = PostgresError(f"{name} cannot be used as a ledger ({type(error).__name__}, SQLSTATE {code or 'none'})")
    found.sqlstate = code or None
    return found


def cause_of(error: psycopg.Error) -> tuple[str, str]:
    """Return PostgreSQL's code of an error, and the cause in words that follow "the server"; each empty if not known.

    Args:
        error: Raised by psycopg.
    """
    code = error.sqlstate or _code_of(error)
    words = (_AWAY.get(code), _AWAY.get(code[:2]), _REFUSED.get(code), _REFUSED.get(code[:2]))
    return code, next(filter(None, words), "")


def _code_of(error: psycopg.Error) -> str:
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return ""
    words = re.sub('"[^"]*"', '""', str(error))  # names of hosts, users and databases may be such words
    return next((code for code, pattern in _WORDS if pattern.search(words)), "08006")
