"""The cost of the scenes, a line each and a table in the end: billed twice, lost, silent, and the longest end.

* *billed twice*: pictures that the service charged for more than once without being asked to;
* *lost*: pictures that were charged for, whose answer is kept nowhere, and that are not ambiguous;
* *silent*: pictures that were charged for and that no list and no message names, or that have another one's answer;
* *longest end*: seconds from the trouble, or from the signal, to the end of the slowest process.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

__all__ = ["ACCOUNTS", "LONGEST", "Account", "as_lines", "from_lines", "report", "table"]

LONGEST = 60.0
"""Seconds that an end may take."""


@dataclass
class Account:
    """The cost of one scene.

    Attributes:
        scene: What was played.
        twice: Pictures billed twice.
        lost: Pictures whose paid answer is lost.
        silent: Pictures charged for without a word.
        longest: Seconds of the longest end.
        wrong: Everything that is wrong, these numbers included.
    """

    scene: str
    twice: int = 0
    lost: int = 0
    silent: int = 0
    longest: float = 0.0
    wrong: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        numbers = f"{self.twice:>5} {self.lost:>5} {self.silent:>6} {self.longest:>7.1f} s"
        return f"{numbers}  {self.scene}{f'; WRONG: {self.wrong}' if self.wrong else ''}"


ACCOUNTS: list[Account] = []
"""Of all scenes that were played so far."""

_HEAD = "twice  lost silent longest end  scene"


def report(account: Account) -> None:
    """Print what a scene cost, and keep it for the table."""
    if not ACCOUNTS:
        print(_HEAD, flush=True)
    ACCOUNTS.append(account)
    print(account, flush=True)


def as_lines() -> str:
    """Return all accounts for the process that started this one."""
    return "\n".join(json.dumps(asdict(account)) for account in ACCOUNTS)


def from_lines(lines: str) -> list[Account]:
    """Return what ``as_lines`` was given."""
    return [Account(**json.loads(line)) for line in lines.splitlines()]


def table() -> str:
    """Return all scenes, and their sum."""
    wrong = sum(bool(account.wrong) for account in ACCOUNTS)
    total = Account(
        f"all {len(ACCOUNTS)} scenes, {wrong} of them with something wrong",
        sum(account.twice for account in ACCOUNTS),
        sum(account.lost for account in ACCOUNTS),
        sum(account.silent for account in ACCOUNTS),
        max((account.longest for account in ACCOUNTS), default=0.0),
    )
    return "\n".join([_HEAD, *map(str, ACCOUNTS), str(total)])
