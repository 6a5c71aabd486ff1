from __future__ import annotations

import io
import re
import shlex
import shutil
import tempfile
import tomllib
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from generated_docs import verbs
from PIL import Image as Pillow
from support.doc_pages import ROOT, RUN, Block, PageRunner, all_pages, all_text, blocks_of, matches
from support.files import saved_pages

from clova_ocr_async import IdCard, Receipt
from clova_ocr_async.domains import domains_from_file
from clova_ocr_async.domains.file import _KINDS
from clova_ocr_async.emulator import Sample, draw_sample, emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator

# The blocks of Korean pages are those of the English ones, which another test checks.
_PAGES = [
    page
    for page in all_pages()
    if not page.startswith("ko/") and any(block.language in RUN for block in blocks_of(page))
]
_USAGE = re.compile(r"^clova-ocr [a-z ]+ \[OPTIONS\]", re.MULTILINE)
_EMPTY = {"tutorial.md"}  # pages that begin in an empty folder


def _kind(sample: Sample) -> str:
    return str(next(iter(sample.truth.answer["result"].keys() & {"ic", "dl", "pp", "ac"})))


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the pages name."""
    folder = tmp_path_factory.mktemp("material")
    receipts = [draw_sample("receipt", seed=seed).data for seed in range(2)]
    card = next(found for seed in range(20) if _kind(found := draw_sample("id-card", seed=seed)) == "ic").data
    turned, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = 6
    with Pillow.open(io.BytesIO(receipts[0])) as picture:
        picture.convert("RGB").save(turned, "JPEG", exif=exif)
    files = {
        "receipt.jpg": receipts[0],
        "scans/a.png": receipts[0],
        "scans/b.png": receipts[1],
        "photos/turned.jpg": turned.getvalue(),
        "id-card.png": card,
        "cards/a.png": card,
        "inbox/receipt/a.png": receipts[0],
        "inbox/id-card/b.png": card,
        "scan.pdf": saved_pages("PDF", 2),
        "list.csv": b"path,id\nscans/a.png,7\n",
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(folder / "scans.zip", "w") as archive:
        archive.write(folder / "scans" / "a.png", "a.png")
    return folder


@pytest.fixture
def folder(material: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of a reader's, with the files that the pages name."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is None or callspec.params["page"] not in _EMPTY:
        shutil.copytree(material, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def clova() -> Generator[Emulator]:
    """A local CLOVA."""
    with emulator_in_thread(latency=0, sigma=0) as emulator:
        yield emulator


@pytest.mark.parametrize("page", _PAGES)
def test_the_blocks_of_a_page_do_what_the_page_says(
    page: str, folder: Path, clova: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program and command of a page runs, in the order of the page, and prints what the page shows."""
    monkeypatch.setattr(tempfile, "tempdir", str(folder))  # the demo leaves its results there
    with PageRunner(folder, clova) as runner:
        for block in blocks_of(page):
            if block.language in RUN:
                printed = runner.run(block)
                if block.output is not None:
                    assert matches(block.output, printed), f"{page}:{block.line} prints:\n{printed}"


def test_the_upload_form_reads_the_upload_of_a_known_caller(
    folder: Path, clova: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app of the page refuses a caller without the token, reads the file of its curl line, and shows its form."""
    (app, curl, own) = [
        block for block in blocks_of("howto/upload-form.md") if block.title in {"app.py", "curl", "own.py"}
    ]
    found = re.fullmatch(
        r'curl -H "Authorization: Bearer \$APP_TOKEN" -F file=@(\S+) http://127.0.0.1:8000(\S+)\n', curl.code
    )
    assert found is not None
    file, url = found.groups()
    monkeypatch.setenv("APP_TOKEN", "token")
    monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", clova.url())
    monkeypatch.setenv("CLOVA_OCR_SECRET", clova.secret)
    upload = {"file": (file, (folder / file).read_bytes())}
    with TestClient(_app(app)) as browser:
        assert browser.post(url, files=upload).status_code == 401
        answer = browser.post(url, files=upload, headers={"Authorization": "Bearer token"})
        assert (answer.status_code, answer.json()["billed"]) == (200, True)
        assert f'fetch("{url}"' in browser.get("/").text
    with TestClient(_app(own)) as browser:
        masked = browser.post("/masked", files={"file": ("card.png", (folder / "id-card.png").read_bytes())})
    assert (masked.status_code, "*******" in masked.text) == (200, True)


def _app(block: Block) -> Any:
    names: dict[str, Any] = {}
    exec(block.code, names)  # noqa: S102 - our own page
    return names["app"]


def test_the_file_of_domains_makes_a_client(tmp_path: Path) -> None:
    """The file of domains of the configuration page is one, and names every key that a file may have."""
    (text,) = [block.code for block in blocks_of("configuration.md") if block.language == "toml"]
    (tmp_path / "domains.toml").write_text(
        text.replace("….apigw", "host.apigw").replace("abc…", "abc"), encoding="utf-8"
    )
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "id-card").write_text("second\n")
    receipts, cards = domains_from_file(tmp_path / "domains.toml", {"RECEIPT_SECRET": "first"})
    assert (receipts.document, receipts.max_concurrency, receipts.label) == (Receipt, 5, "receipts-1")
    assert (cards.document, cards.max_per_second, cards.secret.reveal()) == (IdCard, 2.5, "second")
    assert all(f"\n{key} = " in text for key in _KINDS)


def test_commands_that_a_page_shows_and_no_test_runs_are_accepted() -> None:
    """The verbs and options of commands in other blocks exist, such as those that run until Ctrl-C."""
    shown = [
        line.strip()
        for page in all_pages()
        for block in blocks_of(page)
        if block.language == "text" and not _USAGE.search(block.code)
        for line in block.code.splitlines()
        if line.strip().startswith("clova-ocr ")
    ]
    assert len(shown) >= 4
    for line in shown:
        command = line.removeprefix("clova-ocr ")
        verb, words = next(name for name in verbs() if command.startswith(f"{name} ")), shlex.split(command)
        options = {option for parameter in verbs()[verb].params for option in parameter.opts + parameter.secondary_opts}
        assert {word for word in words if word.startswith("-")} <= options, line


def test_extras_that_pages_install_exist() -> None:
    """Every extra in a ``pip install`` line of the pages is one of the package's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"clova-ocr-async\[([a-z,]+)\]", all_text())
    assert {extra for names in named for extra in names.split(",")} <= set(project["optional-dependencies"])
    assert named
