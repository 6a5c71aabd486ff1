"""Run the questions of this folder, print the table, and write README.md, results.json and results.svg anew.

``python benchmarks/all.py`` runs all of them; ``python benchmarks/all.py decode`` runs one again and keeps what the
others found; with ``--quick`` everything is short, and nothing is written.
"""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING

from frame import machine, table
from report import Answer, keep, kept

if TYPE_CHECKING:
    from types import ModuleType

# In the order of the page: one call first, then many.
QUESTIONS = (
    *("whole_call", "decode", "request", "photos", "photo_slots", "pictures", "masking"),
    *("dispatcher", "ledger", "server_stores", "run_reading", "tables", "report_writing", "report_page"),
    *("start", "growth", "gate_summary", "overload", "web_handler"),
)


def answer(name: str, *, quick: bool) -> Answer:
    """Run a question and print what it found."""
    question: ModuleType = importlib.import_module(name)
    title = (question.__doc__ or name).partition("\n")[0].removesuffix(".")
    print(f"\n### {title}\n", flush=True)
    rows = question.rows(quick)
    print(table(rows), flush=True)
    return Answer(title=title, machine=machine(), rows=rows)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description="Measure, and write benchmarks/README.md anew.")
    parser.add_argument("questions", nargs="*", help=f"which: {', '.join(QUESTIONS)}; all of them without any")
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs; nothing is written")
    options = parser.parse_args()
    if unknown := [name for name in options.questions if name not in QUESTIONS]:
        parser.error(f"there is no question {unknown[0]!r}; there are {', '.join(QUESTIONS)}")
    print(machine())
    for name in options.questions or QUESTIONS:
        found = answer(name, quick=options.quick)
        if not options.quick:
            # After each, so that a run that is stopped keeps what it has.
            answers = {**kept(), name: found}
            keep({key: answers[key] for key in QUESTIONS if key in answers})


if __name__ == "__main__":
    main()
