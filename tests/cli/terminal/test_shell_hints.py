"""Texts at a shell are in the words of the command line."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from generated_docs import error_classes
from PIL import Image
from support.commands import clova_ocr
from support.doc_pages import ROOT
from support.files import aged
from support.readmes import sections_of

from clova_ocr_async.cli.runs.client_settings import shared_slots
from clova_ocr_async.cli.terminal.dry_run_counts import Reason
from clova_ocr_async.cli.terminal.output import OutputError
from clova_ocr_async.cli.terminal.phrases import ERRORS_PAGE, address_of, advice_on, quote_path
from clova_ocr_async.cli.terminal.shell_hints import for_shell
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.errors import (
    APIError,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ServerError,
    TransportError,
)
from clova_ocr_async.slots import LocalSlots, SharedSlots
from clova_ocr_async.slots.sharing.sqlite_store import default_path

if TYPE_CHECKING:
    from clova_ocr_async.emulator import Emulator

PYTHON = re.compile(r"ImageLimits|images_in|pages_in|prepare=|\.recognition\b|\b\w+=True|Error: ")


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make an empty folder the current one."""
    monkeypatch.chdir(tmp_path)


def pages(count: int) -> bytes:
    """Return a TIFF of some pages."""
    file = io.BytesIO()
    first, *rest = [Image.new("1", (600, 800), number) for number in range(count)]
    first.save(file, "TIFF", save_all=True, append_images=rest)
    return file.getvalue()


@pytest.mark.usefixtures("clova")
def test_refused_images_are_reported_without_names_of_python(tmp_path: Path) -> None:
    """Pages, bytes and folders in lists are refused by numbers and by verbs of the command line."""
    (tmp_path / "three.tif").write_bytes(pages(3))
    (tmp_path / "large.jpg").write_bytes(b"\xff\xd8\xff" + bytes(60 * 2**20))
    (tmp_path / "folder").mkdir()
    (tmp_path / "moving.gif").write_bytes(b"GIF89a")
    (tmp_path / "list.txt").write_text("three.tif\nlarge.jpg\nfolder\nmoving.gif\n")
    result = clova_ocr("batch", "receipt", "--from", "list.txt")
    assert PYTHON.search(result.stderr) is None, result.stderr
    clova_ocr("batch", "receipt", "--from", "list.txt", "--run", "run")
    failures = (tmp_path / "run" / "failures.jsonl").read_text()
    for lines in (result.stdout, failures, clova_ocr("export", "run").stdout):
        messages = [json.loads(line)["error"]["message"] for line in lines.splitlines()]
        assert len(messages) == 4
        assert PYTHON.search(" ".join(messages)) is None, messages
    assert "has 3 pages, more than 1; split it into files of one page each, or give --pages\n" in result.stderr
    assert "is GIF, and the service reads" in result.stderr
    assert (
        "convert it to JPEG or PNG, or give --prepare (a run that refused it also needs --retry-failed)\n"
        in result.stderr
    )
    assert "for its pictures give the folder to clova-ocr batch" in result.stderr


def test_a_failed_reading_names_the_place_of_the_services_words(clova: Emulator, tmp_path: Path) -> None:
    """The place of the service's reason is reported as a place in the record."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    result = clova_ocr("recognize", "id-card", "a.png")
    assert "in its record, under result.message" in result.stderr
    assert "message" in json.loads(result.stdout)["result"]
    assert clova.requests == 1


@pytest.mark.usefixtures("clova")
def test_a_dry_run_shows_the_numbers_that_its_files_share(tmp_path: Path) -> None:
    """One reason is one line: with its numbers where they are equal, with an ellipsis where they differ."""
    for name, count in (("a.tif", 2), ("b.tif", 2)):
        (tmp_path / name).write_bytes(pages(count))
    text = clova_ocr("batch", "receipt", ".", "--dry-run").stdout
    assert "has 2 pages, more than 1; --pages all reads each page\n" in text
    (tmp_path / "c.tif").write_bytes(pages(3))
    text = clova_ocr("batch", "receipt", ".", "--dry-run").stdout
    assert "has … pages, more than 1; --pages all reads each page\n" in text
    assert PYTHON.search(text) is None


def cut(path: Path) -> None:
    """Write a picture without its end."""
    data = draw_sample("receipt").data
    aged(path, data[: len(data) * 2 // 3])


def test_a_picture_that_is_cut_off_is_sent_on_request(clova: Emulator, tmp_path: Path) -> None:
    """A picture without its end is refused with the option's name, and the option sends it, whatever the verb."""
    cut(tmp_path / "a.png")
    for words in (("recognize", "receipt", "a.png"), ("batch", "receipt", "a.png")):
        refused = clova_ocr(*words)
        assert (refused.exit_code, clova.requests) == (1, 0)
        assert "get the whole file, or send it as it is with --allow-truncated" in refused.stderr
        assert "--allow-truncated sends it as it is" in clova_ocr("batch", "receipt", "a.png", "--dry-run").stdout
    for sent, words in enumerate((("recognize", "receipt", "a.png"), ("batch", "receipt", "a.png")), 1):
        assert clova_ocr(*words, "--allow-truncated").exit_code == 0
        assert clova.requests == sent
    rehearsed = clova_ocr("batch", "receipt", "a.png", "--dry-run", "--allow-truncated")
    assert "billable calls               1" in rehearsed.stdout, rehearsed.output


def test_a_run_sends_a_picture_that_it_refused_before(clova: Emulator, tmp_path: Path) -> None:
    """In a run, too, a picture without its end is sent on request; after a refusal by the way that the error names."""
    cut(tmp_path / "a.png")
    batch = ("batch", "receipt", "a.png", "--run", "run")
    refused = clova_ocr(*batch)
    assert (refused.exit_code, clova.requests) == (1, 0)
    assert "--allow-truncated (a run that refused it also needs --retry-failed)" in refused.stderr
    options = ("--allow-truncated", "--retry-failed")
    assert "billable calls               1" in clova_ocr(*batch, *options, "--dry-run").stdout
    assert (clova_ocr(*batch, *options).exit_code, clova.requests) == (0, 1)
    assert clova_ocr("batch", "receipt", "a.png", "--run", "other", "--allow-truncated").exit_code == 0


def test_a_reason_keeps_what_all_share() -> None:
    """Numbers that differ once stay left out."""
    reason = Reason("has 2 pages, more than 1")
    for text in ("has 2 pages, more than 1", "has 1,300 pages, more than 1", "has 2 pages, more than 1"):
        reason.add(text)
    assert (reason.count, reason.text) == (3, "has … pages, more than 1")


def test_every_hint_of_the_package_has_its_words_here() -> None:
    """A text that names Python is printed otherwise; any other is left as it is, names of files included."""
    printed = {
        "has a side of 9,000 pixels, more than ImageLimits.max_side, 8,000; scale it down": (
            "has a side of 9,000 pixels, more than 8,000; scale it down"
        ),
        "host 'x' is not this machine's own; pass expose=True to listen to others": (
            "host 'x' is not this machine's own; give --expose to listen to others"
        ),
        "use https, or pass allow_http=True for a private host": (
            "use https, or allow it in a file of domains (allow_http = true) for a private host"
        ),
        "images_in.png: it is empty": "images_in.png: it is empty",
        "is a zip archive; for the pictures in a .zip see images_in": (
            "is a zip archive; for the pictures in a .zip give it to clova-ocr batch"
        ),
        "has 3 pages; split it, or read its pages with pages_in": "has 3 pages; split it, or give --pages",
        "has too many pixels; scale it down, or send it as it is, without preparation": (
            "has too many pixels; scale it down, or send it as it is, without --prepare "
            "(a run that refused it also needs --retry-failed)"
        ),
        "a HEIC needs pillow_heif: pip install x (its wheels are GPL); or convert the picture": (
            "a HEIC needs pillow_heif: pip install x (its wheels are GPL) "
            "(a run that refused it also needs --retry-failed); or convert the picture"
        ),
        "trust it: --ca-file on the command line, transport=AiohttpTransport(tls=…) in Python": (
            "trust it: give --ca-file"
        ),
    }
    for text, words in printed.items():
        assert for_shell(text) == words


@pytest.mark.usefixtures("clova")
def test_hints_can_be_pasted(tmp_path: Path) -> None:
    """A run whose name looks like an option is named so that a shell takes it for a path."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    result = clova_ocr("batch", "receipt", "a.png", "--run=-run")
    hint = re.search(r"for the results: clova-ocr (.*)\n", result.stderr)
    assert hint is not None, result.stderr
    assert clova_ocr(*shlex.split(hint[1])).exit_code == 0
    assert quote_path("a b") == "'a b'"
    refused = clova_ocr("batch", "receipt", "a.png", "--run=-run", "-o", "x")
    assert "clova-ocr export ./-run -o FILE" in refused.stderr


def test_only_what_the_caller_can_mend_is_to_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that failed names what to check; a service that fails is none of the caller's business."""
    page = " (docs/errors.md#connectionfailederror)"
    monkeypatch.delenv("CLOVA_OCR_PROXY", raising=False)
    assert advice_on(ConnectionFailedError("no connection")).endswith(f"and --proxy{page}")
    monkeypatch.setenv("CLOVA_OCR_PROXY", "http://proxy.example:3128")
    assert advice_on(ConnectionFailedError("no connection")).endswith(f"and --proxy or CLOVA_OCR_PROXY{page}")
    assert advice_on(ServerError(503)) == " (docs/errors.md#servererror)"
    assert advice_on(None) == ""


def test_each_error_leads_to_its_section() -> None:
    """The address that is printed with an error is a heading of the page; a wrong option or setting has none."""
    page = (ROOT / ERRORS_PAGE).read_text(encoding="utf-8")
    anchors = {f" ({ERRORS_PAGE}#{section.anchor})" for section in sections_of(page)}
    others = {ClovaOCRError, TransportError, APIError, ConfigurationError}  # the first three are never raised
    assert {address_of(ClovaOCRError.__new__(kind)) for kind in error_classes() if kind not in others} <= anchors
    assert address_of(OutputError("the output", OSError(28, "full"))) == address_of(ConfigurationError("x")) == ""


def test_a_run_shows_itself_what_to_retry(clova: Emulator, tmp_path: Path) -> None:
    """With a run that is there, --retry-… needs no PATH, also rehearsed; with none there is nothing to read."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    clova.script("invalid-body")
    assert clova_ocr("batch", "receipt", "a.png", "--run", "run").exit_code == 1
    rehearsed = clova_ocr("batch", "receipt", "--run", "run", "--retry-failed", "--dry-run")
    assert "billable calls               1" in rehearsed.stdout, rehearsed.output
    result = clova_ocr("batch", "receipt", "--run", "run", "--retry-failed")
    assert result.exit_code == 0, result.stderr
    assert "1 image: 1 succeeded" in result.stderr
    for words in (("--run", "run"), ("--run", "none", "--retry-failed"), ("--retry-failed",)):
        result = clova_ocr("batch", "receipt", *words)
        assert (result.exit_code, "nothing to read" in result.stderr) == (2, True)
    assert not (tmp_path / "none").exists()


def test_a_user_without_a_home_calls_all_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a place for the shared slots the command prints that and uses slots of its own."""

    def nowhere() -> Path:
        raise RuntimeError("no home")

    slots = shared_slots(3, 2.0, lambda: default_path({}, "linux", nowhere))
    assert isinstance(slots, LocalSlots)
    printed = capsys.readouterr().err
    assert "no home folder to keep the slots in; set XDG_STATE_HOME to a folder; until then" in printed
    assert isinstance(shared_slots(find=lambda: Path(os.devnull)), SharedSlots)


def test_no_hint_is_in_words_of_python_alone() -> None:
    """A hint that only Python has is left out at a shell, and a missing domain goes by its variables."""
    printed = {
        "go on with --run-moved (in Python: SqliteLedger(…, moved=True))": "go on with --run-moved",
        "by --run-moved (in Python: PostgresLedger(…, moved=True))": "by --run-moved",
        "give its key (--key-file, CLOVA_OCR_KEY_FILE, or seal=)": "give its key (--key-file or CLOVA_OCR_KEY_FILE)",
        "it looks like base64; decode it (base64.b64decode) and pass the bytes": (
            "it looks like base64; decode it (base64 -d) and give the file"
        ),
        "'a.png' ends early; get the whole file, or send it as it is with ImageLimits.allow_truncated": (
            "'a.png' ends early; get the whole file, or send it as it is with --allow-truncated "
            "(a run that refused it also needs --retry-failed)"
        ),
        "no domain of this client reads IdCard: [Domain('http://x/custom/v1/1/***')]": (
            "no domain reads IdCard; set CLOVA_OCR_ID_CARD_INVOKE_URL and CLOVA_OCR_ID_CARD_SECRET, "
            "or those of all documents"
        ),
        f"again in 2 s: {ConnectionFailedError('no connection')!r}": "again in 2 s: no connection",
        "a folder, not a file; for its pictures see images_in(…)": (
            "a folder, not a file; for its pictures give the folder to clova-ocr batch"
        ),
    }
    for text, words in printed.items():
        assert for_shell(text) == words
