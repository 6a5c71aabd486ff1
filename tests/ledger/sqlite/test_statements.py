from __future__ import annotations

import re
from pathlib import Path

from clova_ocr_async.ledger import sqlite


def test_no_statement_numbers_its_parameters() -> None:
    """Python 3.12.0 to 3.12.3 warn of ``?1``, and so would end a program in which warnings are errors."""
    modules = list(Path(sqlite.__file__).parent.glob("*.py"))
    assert len(modules) > 10
    assert [module.name for module in modules if re.search(r"\?\d", module.read_text(encoding="utf-8"))] == []
