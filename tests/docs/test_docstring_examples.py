from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import importlib
import inspect
import io
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from generated_docs import API_FOLDERS, public_names
from support.files import saved_pages

import clova_ocr_async
from clova_ocr_async import ClovaOCRClient, Domain
from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator

_PARSER = doctest.DocTestParser()
_URL, _SECRET = "https://…/document/receipt", '"secret"'  # as the examples write them


def _documented() -> Iterator[tuple[str, Any]]:
    yield "clova_ocr_async", clova_ocr_async
    for folder in API_FOLDERS:
        for name in public_names(folder):
            with contextlib.suppress(ModuleNotFoundError):  # the library of a server or an engine may be missing
                yield f"{folder}.{name}", getattr(importlib.import_module(f"clova_ocr_async.{folder}"), name)


DOCUMENTED = dict(_documented())
EXAMPLES = {name: found for name, of in DOCUMENTED.items() if (found := _PARSER.get_examples(inspect.getdoc(of) or ""))}


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that examples name."""
    folder = tmp_path_factory.mktemp("material")
    for name, document in (
        ("receipt.jpg", "receipt"),
        ("card.jpg", "credit-card"),
        ("name-card.jpg", "name-card"),
        ("biz-license.jpg", "biz-license"),
        ("id-card.jpg", "id-card"),
        ("passport.jpg", "passport"),
        ("scans/a.png", "receipt"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(draw_sample(document).data)
    (folder / "scan.pdf").write_bytes(saved_pages("PDF", 2))
    return folder


@contextlib.asynccontextmanager
async def _outcomes(client: ClovaOCRClient) -> AsyncGenerator[Any]:
    batch = clova_ocr_async.BatchDispatcher(client).dispatch(["receipt.jpg"], clova_ocr_async.Receipt)
    async with batch as outcomes:
        yield outcomes


async def _run(example: doctest.Example, names: dict[str, Any], emulator: Emulator) -> None:
    """Run an example as asyncio's interactive interpreter does."""
    source = example.source.replace(_URL, emulator.url("receipt")).replace(_SECRET, repr(emulator.secret))
    code = compile(source, "an example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)  # noqa: S307 - our own docstrings
    else:
        await asyncio.to_thread(exec, code, names)  # where no event loop runs, as the blocking client demands


@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_example_of_a_docstring_runs(
    name: str, tmp_path: Path, material: Path, clova_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An example runs as it stands, with the public names and the things that it is about."""
    shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", clova_emulator.url())
    monkeypatch.setenv("CLOVA_OCR_SECRET", clova_emulator.secret)
    domain = Domain(clova_emulator.url(), clova_emulator.secret)
    async with ClovaOCRClient(domain) as client, _outcomes(client) as outcomes:
        names: dict[str, Any] = {key.rpartition(".")[2]: of for key, of in DOCUMENTED.items()}
        names |= {"client": client, "domain": domain, "outcomes": outcomes}
        names |= {"FastAPI": FastAPI, "Path": importlib.import_module("pathlib").Path}
        names |= {"asynccontextmanager": contextlib.asynccontextmanager}
        with contextlib.redirect_stdout(io.StringIO()):
            for example in EXAMPLES[name]:
                await _run(example, names, clova_emulator)
        own = names.get("client")
        if own is not client and isinstance(own, ClovaOCRClient):
            await own.close()


def test_what_people_make_and_get_has_an_example() -> None:
    """Each class of the root that people make, each document, a recognition and an error show how they are used."""
    made = {
        name
        for name in clova_ocr_async.__all__
        if inspect.isclass(of := getattr(clova_ocr_async, name)) and "\nArgs:\n" in (inspect.getdoc(of) or "")
    }
    documents = {document.__name__ for document in clova_ocr_async.DOCUMENTS.values()}
    shown = {name.rpartition(".")[2] for name in EXAMPLES}
    made -= {"APIError", "Secret"}  # which the client and the domain make
    assert made | documents | {"RetryPolicy", "Recognition", "ClovaOCRError", "BlockingClient"} <= shown


def test_help_begins_with_an_overview() -> None:
    """The first screen of ``help(clova_ocr_async)`` has an example and the names by their use, in plain text."""
    text = inspect.getdoc(clova_ocr_async) or ""
    assert text.count("\n") <= 24
    assert "clova_ocr_async" in EXAMPLES
    listed = " ".join(line for line in text.splitlines() if line.startswith("* "))
    named = {word.strip("`.,;:()") for word in listed.split()}
    daily = {"ClovaOCRClient", "Domain", "BatchDispatcher", "images_in", "ClovaOCRError", "Emulator", "SharedSlots"}
    assert daily | {document.__name__ for document in clova_ocr_async.DOCUMENTS.values()} <= named
