"""``clova-ocr report``: a page that shows a run, masked unless asked otherwise."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import stat
import unicodedata
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from support.commands import PICTURES, clova_ocr, many_pictures, shell, start
from support.ledgers import claimed, read
from support.run_records import RecordsView, read_record
from support.waiting import wait_for

from clova_ocr_async.cli.runs.report_writing import ReportFile, language_of, retry_command, write_report_file
from clova_ocr_async.cli.terminal.output import OutputError
from clova_ocr_async.cli.terminal.shell_hints import for_shell
from clova_ocr_async.emulator import Emulator, Fault, draw_sample, emulator_in_thread
from clova_ocr_async.ledger import SqliteLedger
from clova_ocr_async.ledger.states import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.ledger.states import SourceRecord


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def receipts(clova: Emulator, scans: Path, run: Path) -> Path:
    """A run of seven receipts, one of them a copy, and a file that is not a picture."""
    assert clova.billed.total() == 0
    (scans / "broken.jpg").write_bytes(b"not a picture")
    assert clova_ocr("batch", "receipt", scans, "--run", run, "-q").exit_code == 1
    return run


def page_of(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the rows and the facts of a page."""
    text = path.read_text()
    blocks = re.findall(r'<script type="application/json" class="rows">(.*?)</script>', text, re.DOTALL)
    (run,) = re.findall(r'<script type="application/json" id="run">(.*?)</script>', text, re.DOTALL)
    return [row for block in blocks for row in json.loads(block)], json.loads(run)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_page_is_written_here(receipts: Path, here: Path) -> None:
    """Without options the page is report.html in the current folder, private, with pictures of a small run in it."""
    done = clova_ocr("report", receipts, "--price", "30")
    assert done.exit_code == 0, done.stderr
    assert "8 images in report.html" in done.stderr
    assert names_in(here) == ["report.html"]
    assert stat.S_IMODE((here / "report.html").stat().st_mode) == 0o600
    rows, run = page_of(here / "report.html")
    assert [row["n"] for row in rows] == list(range(8))
    assert sum("picture" in row for row in rows) == 7
    assert (run["run"], run["masked"], run["price"]) == ("run", True, 30)
    assert (run["totals"]["billed"], run["totals"]["spared"]) == (6, 1)
    again = clova_ocr("report", receipts)
    assert (again.exit_code, "there already" in again.stderr) == (2, True)
    assert clova_ocr("report", receipts, "--force", "-q").exit_code == 0


def test_the_command_of_a_cause_works(clova: Emulator, receipts: Path, scans: Path, here: Path) -> None:
    """The command on the page sends the images of a cause again, as it stands."""
    clova_ocr("report", receipts)
    _, run = page_of(here / "report.html")
    (cause,) = run["causes"]
    (scans / "broken.jpg").write_bytes(draw_sample("receipt", seed=9).data)
    assert shell(clova, cause["command"]).returncode == 0
    clova_ocr("report", receipts, "--force")
    assert page_of(here / "report.html")[1]["causes"] == []


def test_unmasked_pages_have_a_name_of_their_own(clova: Emulator, here: Path, run: Path) -> None:
    """An unmasked page is report-unmasked.html, unless a name is given; only it shows numbers."""
    card = draw_sample("id-card", seed=0, format="jpg")
    number = card.truth.answer["result"]["ic"]["personalNum"][0]["text"]
    (here / f"{number}.jpg").write_bytes(card.data)
    assert clova_ocr("batch", "id-card", here / f"{number}.jpg", "--run", run, "-q").exit_code == 0
    assert clova.billed.total() == 1
    for options in (["--unmasked"], ["--unmasked", "-o", "mine.html"], ["--pictures", "copy"]):
        assert clova_ocr("report", run, *options).exit_code == 0
    pages = {"report-unmasked.html": True, "mine.html": True, "report.html": False}
    for name, shown in pages.items():
        assert (number[-7:] in (here / name).read_text()) is shown
    (copy,) = (here / "report_files").iterdir()
    assert number[-7:] not in copy.name
    assert number[-7:].encode() not in copy.read_bytes()
    assert clova_ocr("verify", copy, here / "report.html").exit_code == 0


def test_pictures_lie_beside_the_page(clova: Emulator, here: Path, run: Path) -> None:
    """With copies each picture has a file beside the page: pages and members of archives too, under any name."""
    folder = here / "in"
    folder.mkdir()
    names = ["\u1112\u1161\u11ab #1?.png", "a%20b.png", 'it\'s "x".png']
    for name, data in zip(names, PICTURES, strict=False):
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(here / "z.zip", "w") as archive:
        archive.writestr("sub/m.png", PICTURES[4])
    (here / "d.pdf").write_bytes(draw_sample("receipt", seed=1, format="pdf").data)
    paths = [folder, here / "z.zip", here / "d.pdf"]
    assert clova_ocr("batch", "receipt", *paths, "--pages", "all", "--run", run, "-q").exit_code == 0
    assert clova.billed.total() == 5
    assert clova_ocr("report", run, "--pictures", "copy", "-o", "a b.html").exit_code == 0
    rows, _ = page_of(here / "a b.html")
    files = [here / unquote(row["picture"]) for row in rows]
    assert sorted(files) == sorted((here / "a b_files").iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((here / "a b_files").stat().st_mode) == 0o700
    assert not re.search(r"[?#\"' ]", "".join(row["picture"] for row in rows))
    stems = {path.name.split(".")[0] for path in files}
    assert stems == {unicodedata.normalize("NFC", "한 #1_"), "a%20b", "it's _x_", "m", "d"}


@pytest.mark.usefixtures("clova")
def test_links_need_unmasked(receipts: Path, here: Path) -> None:
    """Links show the originals, so they are refused on a masked page, and lead to the originals on an unmasked one."""
    refused = clova_ocr("report", receipts, "--pictures", "link")
    assert (refused.exit_code, "--unmasked" in refused.stderr) == (2, True)
    assert clova_ocr("report", receipts, "--pictures", "link", "--unmasked").exit_code == 0
    links = list((here / "report-unmasked_files").iterdir())
    assert len(links) == 7
    assert all(link.is_symlink() and link.read_bytes() in PICTURES for link in links)


def test_standard_output_takes_a_page(receipts: Path, here: Path) -> None:
    """The page goes to standard output with ``-o -``, where there is no place for pictures beside it."""
    done = clova_ocr("report", receipts, "-o", "-")
    assert done.exit_code == 0
    assert done.stdout.startswith("<!doctype html>")
    assert done.stderr == ""
    refused = clova_ocr("report", receipts, "-o", "-", "--pictures", "copy")
    assert (refused.exit_code, "-o FILE" in refused.stderr) == (2, True)
    assert names_in(here) == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "x.csv"], "give a name that ends in .html"),
        (["-o", "."], "is a folder"),
        (["--price", "0"], "--price"),
        (["--embed-limit", "-1"], "--embed-limit"),
        (["--pictures", "all"], "--pictures"),
        (["-o", ""], "an empty name: No such file"),
    ],
)
def test_mistakes_are_refused(receipts: Path, here: Path, arguments: list[str], reason: str) -> None:
    """A wrong option is refused with its reason, and nothing is written."""
    refused = clova_ocr("report", receipts, *arguments)
    assert (refused.exit_code, reason in refused.stderr) == (2, True), refused.stderr
    assert names_in(here) == []


def test_a_folder_that_is_no_run_is_an_error(receipts: Path, here: Path) -> None:
    """A folder without a ledger is refused as by other commands, and so is a page in a folder that is not there."""
    assert clova_ocr("report", here).exit_code == 2
    done = clova_ocr("report", receipts, "-o", "missing/x.html", "--pictures", "copy")
    assert (done.exit_code, "missing/x.html" in done.stderr) == (1, True)
    assert names_in(here) == []


@pytest.mark.usefixtures("clova")
def test_a_sealed_run_needs_its_key(scans: Path, run: Path, here: Path, tmp_path: Path) -> None:
    """A sealed run without its key leaves no page; with it, the commands of the page name the key."""
    key = tmp_path / "a key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    (scans / "broken.jpg").write_bytes(b"not a picture")
    clova_ocr("batch", "receipt", scans, "--run", run, "-q", "--key-file", key)
    refused = clova_ocr("report", run)
    assert (refused.exit_code, "--key-file" in refused.stderr, names_in(here)) == (2, True, [])
    assert clova_ocr("report", run, "--key-file", key).exit_code == 0
    assert f"--key-file {shlex.quote(str(key))}" in page_of(here / "report.html")[1]["causes"][0]["command"]


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("how", ["purge", "none"])
def test_a_run_without_answers_has_a_page(scans: Path, run: Path, here: Path, how: str) -> None:
    """A purged run and one that stores no answers have a page with their counts and money, and without values."""
    clova_ocr("batch", "receipt", scans, "--run", run, "-q", *(["--store", "none"] if how == "none" else []))
    if how == "purge":
        assert clova_ocr("purge", run, "--yes").exit_code == 0
    assert clova_ocr("report", run).exit_code == 0
    rows, found = page_of(here / "report.html")
    assert [row["status"] for row in rows] == ["succeeded"] * 7
    assert not [row for row in rows if "fields" in row or "picture" in row]
    assert [(cause["id"], len(cause["rows"])) for cause in found["causes"]] == [("succeeded: not kept", 7)]
    assert [(part["cause"], part["billed"]) for part in found["money"]] == [("succeeded", 6)]


def test_an_empty_run_has_a_page(run: Path, here: Path) -> None:
    """A run without an image has a page that says so; the exit code is that of no input."""

    async def begin() -> None:
        async with SqliteLedger(run):
            pass

    asyncio.run(begin())
    done = clova_ocr("report", run)
    assert (done.exit_code, "holds no images" in done.stderr) == (5, True)
    assert page_of(here / "report.html")[0] == []


def test_a_run_at_work_has_a_page(tmp_path: Path, run: Path, here: Path) -> None:
    """A report of a run at work shows it at one moment: its rows, its counts and its money belong together."""
    many = many_pictures(tmp_path / "many", 40)
    with emulator_in_thread(latency=0.2, sigma=0) as slow:
        process = start(slow, "batch", "receipt", many, "--run", run, "-q", "--concurrency", "1")
        try:
            wait_for(lambda: slow.billed.total() > 1)
            assert clova_ocr("report", run, "--pictures", "none").exit_code == 0
        finally:
            process.kill()
            process.communicate()
    rows, found = page_of(here / "report.html")
    totals = found["totals"]
    assert totals["records"] == len(rows)
    assert sum(part["billed"] for part in found["money"]) == totals["billed"]
    assert sum(part["maybe_billed"] for part in found["money"]) == totals["maybe_billed"]
    assert totals["billed"] == sum("fields" in row for row in rows)
    assert {cause["id"] for cause in found["causes"]} <= {"pending", "pending: in flight"}
    assert found["causes"]
    assert any("picture" in text["en"] for text in found["not_shown"])


def test_images_that_cannot_be_masked_are_counted(here: Path, run: Path) -> None:
    """Where a number stays readable, the command names the count and ends with 1, and the page has the rest."""
    cells = [{"text": part, "confidenceScore": 0.9} for part in ("900101", "-", "1234", "567")]
    number = {"text": "900101-1234567", "confidenceScore": 0.9}
    record = read_record("a.png", "id-card", {"result": {"ic": {"personalNum": [number], "name": cells}}})

    async def begin() -> None:
        assert record.entry is not None
        assert record.entry.answer is not None
        async with SqliteLedger(run) as ledger:
            claim = claimed(await ledger.admit(record.entry.item, SourceFile(b"a.png")))
            await ledger.sending(claim, "r")
            await ledger.answered(claim, "r", record.entry.answer)
            await ledger.settle(claim, read())

    asyncio.run(begin())
    done = clova_ocr("report", run)
    assert (done.exit_code, "1 image cannot be masked for certain" in done.stderr) == (1, True)
    assert "1234" not in (here / "report.html").read_text()


# ---------------------------------------------------------------------------------------------------------------------
# All or nothing


def test_a_full_disk_leaves_nothing(clova: Emulator, receipts: Path, here: Path) -> None:
    """Where a file cannot grow, the command ends with 1 and names the page; the old page and folder are unchanged."""
    assert clova_ocr("report", receipts, "--pictures", "copy").exit_code == 0
    before = (here / "report.html").read_bytes(), names_in(here / "report_files")
    done = shell(clova, 'ulimit -f 8; "$@"', "report", receipts, "--pictures", "copy", "--force", folder=here)
    assert (done.returncode, b"File too large" in done.stderr) == (1, True), done.stderr
    assert ((here / "report.html").read_bytes(), names_in(here / "report_files")) == before
    assert names_in(here) == ["report.html", "report_files"]


@pytest.mark.parametrize("pictures", ["copy", "none"])
def test_an_interrupt_leaves_nothing(tmp_path: Path, here: Path, pictures: Any) -> None:
    """An interrupt in the middle of the rows leaves neither a page nor a folder, and no temporary file."""
    (tmp_path / "a.png").write_bytes(PICTURES[0])

    def records() -> Iterator[SourceRecord]:
        yield read_record(str(tmp_path / "a.png"), "receipt", {"result": {}}, data=PICTURES[0])
        assert len(names_in(here)) == 2 if pictures == "copy" else 1
        raise KeyboardInterrupt

    file = ReportFile(run="run", output="report.html", pictures=pictures)
    with pytest.raises(KeyboardInterrupt):
        write_report_file(RecordsView(records(), 1), file)  # type: ignore[arg-type]
    assert names_in(here) == []


def test_a_temporary_file_that_cannot_be_written_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a temporary file ends the command with the name of the page."""
    monkeypatch.setenv("TMPDIR", "/dev/null")
    monkeypatch.setattr("tempfile.tempdir", "/dev/null")
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report_file(RecordsView([], 0), ReportFile(run="run", output="report.html"))  # type: ignore[arg-type]
    assert names_in(here) == []


# ---------------------------------------------------------------------------------------------------------------------
# Words


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "ko_KR.UTF-8"}, "ko"),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "ko"}, "ko"),
    ],
)
def test_a_page_opens_in_the_language_of_its_user(environment: dict[str, str], language: str) -> None:
    """The first variable that is set decides, as it does for other programs."""
    assert language_of(environment) == language


def test_commands_can_be_pasted() -> None:
    """A command names the only document, or auto; paths are quoted; it enters the folder where paths start."""
    file = ReportFile(run="my run", output="-", key_file="k")
    options = ("--retry-failed", "--prepare")
    assert (
        retry_command(file, None, ["receipt"], options)
        == "clova-ocr batch receipt --run 'my run' --retry-failed --prepare --key-file k"
    )
    found = retry_command(file, "/data/my scans", ["receipt", "id-card"], ("--retry-failed",))
    here = Path.cwd()
    run = shlex.quote(str(here / "my run"))
    assert found == (
        f"cd '/data/my scans' && clova-ocr batch auto --run {run} --retry-failed "
        f"--key-file {shlex.quote(str(here / 'k'))}"
    )


def test_errors_are_in_the_words_of_the_command_line(clova: Emulator, scans: Path, run: Path, here: Path) -> None:
    """The page has the hints of errors for people at a command line, as the other outputs have."""
    clova.script(Fault.FAILURE)
    clova_ocr("batch", "receipt", scans, "--run", run, "-q")
    clova_ocr("report", run)
    (error,) = {row["error"]["message"] for row in page_of(here / "report.html")[0] if "error" in row}
    assert error == for_shell(error)
    assert ".recognition" not in error
