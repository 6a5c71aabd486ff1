from __future__ import annotations

import ast
import importlib

import pytest
from generated_docs import public_names
from support.doc_pages import Block, all_pages, blocks_of

SHOWN = [
    block
    for page in all_pages()
    if not page.startswith("ko/")
    for block in blocks_of(page)
    if block.language == "py"  # programs of engines that are not installed here
]


@pytest.mark.parametrize("block", SHOWN, ids=lambda block: block.title)
def test_a_program_that_is_not_run_has_names_that_exist(block: Block) -> None:
    """A program of an engine is Python, and what it imports of this package is public."""
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("clova_ocr_async"):
            folder = node.module.removeprefix("clova_ocr_async").removeprefix(".")
            offered = public_names(folder) if folder else importlib.import_module("clova_ocr_async").__all__
            assert {alias.name for alias in node.names} <= set(offered)


def test_there_are_programs_of_all_engines() -> None:
    """The pages have a program for each engine that they name."""
    titles = {block.title for block in SHOWN}
    assert {"tasks.py", "read_receipts.py", "celery_tasks.py", "dags/receipts.py", "activities.py"} <= titles
