from __future__ import annotations

import ast
import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from generated_docs import public_names
from support.doc_pages import Block, all_pages, blocks_of

from clova_ocr_async import ConfigurationError

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


def run_shown(title: str, monkeypatch: pytest.MonkeyPatch, **modules: dict[str, Any]) -> dict[str, Any]:
    """Run the program with a title where its engine has only some names, and return its own names."""
    for name, names in modules.items():
        module = ModuleType(name)
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, name.replace("__", "."), module)
    (block,) = [block for block in SHOWN if block.title == title]
    own: dict[str, Any] = {}
    exec(compile(block.code, title, "exec", dont_inherit=True), own)  # noqa: S102 - a program of the documentation
    return own


def test_a_program_that_only_sends_celery_tasks_needs_no_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of the tasks is imported where the environment names no domain; each process makes one client."""
    for name in ("CLOVA_OCR_INVOKE_URL", "CLOVA_OCR_SECRET", "CLOVA_OCR_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    app = SimpleNamespace(task=lambda **_: lambda function: function)
    names = run_shown("celery_tasks.py", monkeypatch, celery={"Celery": lambda *_, **__: app})
    with pytest.raises(ConfigurationError):
        names["client"]()
    monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", "https://ocr.example/custom/v1/1/a/document/receipt")
    monkeypatch.setenv("CLOVA_OCR_SECRET", "secret")
    assert names["client"]() is names["client"]()
    names["client"]().close()


class AirflowError(Exception):
    """An error after which Airflow tries a task again."""


class AirflowFailError(Exception):
    """An error after which it does not."""


class AirflowSkipError(Exception):
    """What makes it skip a task."""


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (0, None),
        (1, AirflowFailError),
        (2, AirflowFailError),
        (3, AirflowFailError),
        (4, AirflowError),
        (-9, AirflowError),
        (5, AirflowSkipError),
    ],
)
def test_airflow_tries_again_what_may_work_later(
    code: int, error: type[Exception] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task is tried again only after the exit codes after which the same command goes on."""
    hook = SimpleNamespace(run_command=lambda _: SimpleNamespace(exit_code=code))
    names = run_shown(
        "dags/receipts.py",
        monkeypatch,
        airflow__providers__standard__hooks__subprocess={"SubprocessHook": lambda: hook},
        airflow__sdk={"BaseOperator": SimpleNamespace},
        airflow__sdk__exceptions={
            "AirflowException": AirflowError,
            "AirflowFailException": AirflowFailError,
            "AirflowSkipException": AirflowSkipError,
        },
    )
    if error is None:
        names["read"].execute({})
        return
    with pytest.raises(error):
        names["read"].execute({})
