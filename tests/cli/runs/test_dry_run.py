from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import TYPE_CHECKING

import PIL.Image
from support.commands import clova_ocr, resumable_run
from support.fakes import FakeTransport, Held
from support.files import heic, jpeg, saved_pages

from clova_ocr_async.batch.hashing import stamp_of
from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from click.testing import Result

    from clova_ocr_async.emulator import Emulator


def counts_of(result: Result) -> dict[str, int]:
    """Return the numbers of a dry run."""
    found = re.findall(r"^(\S.*?) {2,}([\d,]+)(?: |$)", result.stdout, re.MULTILINE)
    return {title: int(number.replace(",", "")) for title, number in found}


def test_a_dry_run_without_a_run_counts_every_image(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent or written, no domain is needed; duplicates would be paid each, and unfit files are named."""
    monkeypatch.delenv("CLOVA_OCR_INVOKE_URL", raising=False)
    (scans / "empty.png").touch()
    (scans / "notes.png").write_bytes(b"a note")
    before = sorted(tmp_path.rglob("*"))
    result = clova_ocr("batch", "receipt", scans, "--dry-run", "--price", "60")
    assert (result.exit_code, result.stderr) == (0, "")
    assert counts_of(result) == {"images found": 9, "duplicates": 1, "skipped": 1, "billable calls": 7}
    assert "each paid; with --run once" in result.stdout
    assert "is plain text, and the service reads" in result.stdout
    assert str(scans / "empty.png") in result.stdout
    assert "420 KRW" in result.stdout
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_names_the_first_unfit_files(scans: Path) -> None:
    """All unfit files are counted, twenty are named."""
    for number in range(25):
        (scans / f"empty{number}.png").touch()
    result = clova_ocr("batch", "receipt", scans, "--dry-run")
    assert counts_of(result)["skipped"] == 25
    assert result.stdout.count(f" {scans}/empty") == 20


def test_a_dry_run_names_what_it_assumes(clova: Emulator, tmp_path: Path) -> None:
    """A dry run converts nothing: it names how many calls need that, and a picture that cannot be is one fewer."""
    folder = tmp_path / "photos"
    folder.mkdir()
    whole = heic()
    start = whole.index(b"mdat") + 4
    for name, data in {
        "good.heic": whole,
        "copy.heic": whole,
        "bad.heic": whole[:start] + bytes(len(whole) - start),
        "fax.tif": saved_pages("TIFF", 2),  # each page is turned, and needs a conversion for that
        "scan.pdf": saved_pages("PDF", 3),
    }.items():
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1e9, 1e9))
    command = ("batch", "receipt", folder, "--run", tmp_path / "run", "--pages", "all", "--prepare")
    dry = clova_ocr(*command, "--price", "10", "--dry-run")
    assert (dry.exit_code, clova.requests) == (0, 0), dry.output
    assert counts_of(dry) == {"images found": 8, "duplicates": 1, "billable calls": 7, "to be prepared": 4}
    assert "of them; a dry run does not try that, and assumes success" in dry.stdout
    assert "70 KRW" in dry.stdout
    rendered = clova_ocr(*command, "--render", "--dry-run")
    assert counts_of(rendered)["to be prepared"] == 7
    assert clova_ocr(*command).exit_code == 1
    assert clova.billed.total() == 6
    again = clova_ocr(*command, "--dry-run")
    assert counts_of(again) == {
        "images found": 8,
        "answered already": 7,
        "refused before": 1,
        "billable calls": 0,
    }


def test_a_dry_run_without_the_library_for_heic(
    clova: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A HEIC that no installed library decodes is no billable call, and the line that installs one is printed."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(sys.modules, "clova_ocr_async.pictures.heic", raising=False)
    (tmp_path / "photo.heic").write_bytes(heic())
    (tmp_path / "turned.jpg").write_bytes(jpeg(6))
    command = ("batch", "receipt", tmp_path, "--prepare")
    dry = clova_ocr(*command, "--dry-run")
    assert counts_of(dry) == {"images found": 2, "skipped": 1, "billable calls": 1, "to be prepared": 1}
    assert "a HEIC needs pillow_heif: pip install 'clova-ocr-async[heic]'" in dry.stdout
    assert clova_ocr(*command).exit_code == 1
    assert clova.billed.total() == 1


def test_a_dry_run_names_the_options_that_read_more(tmp_path: Path) -> None:
    """Files that an option would make readable are counted with that option."""
    (tmp_path / "photo.heic").write_bytes(heic())
    (tmp_path / "scan.pdf").write_bytes(saved_pages("PDF", 3))
    dry = clova_ocr("batch", "receipt", tmp_path, "--dry-run")
    assert "is HEIC/HEIF, and the service reads jpg, pdf, png, tiff only; --prepare converts it" in dry.stdout
    assert "has 3 pages, more than 1; --pages all reads each page" in dry.stdout


def test_pages_with_one_fault_have_one_line(tmp_path: Path) -> None:
    """Pages of several files that have the same fault are counted together, whatever their files and numbers."""
    for number in range(3):
        fax = [PIL.Image.new("L", (40, 30), 255 - page) for page in range(2 + number)]
        path = tmp_path / f"{number}.tif"
        fax[0].save(path, save_all=True, append_images=fax[1:])
        os.truncate(path, path.stat().st_size - 8)  # its pixels stand at the end
        os.utime(path, (1e9, 1e9))
    dry = clova_ocr("batch", "receipt", tmp_path, "--pages", "all", "--dry-run")
    assert counts_of(dry) == {"images found": 9, "skipped": 3, "billable calls": 6}
    assert dry.stdout.count("is cut off: the end of its tiff data is missing") == 1


def test_files_named_in_an_old_encoding_have_one_line(tmp_path: Path) -> None:
    """Files of one fault are counted together, with names in CP949 too, and with or without a number in the name."""
    for name in ("스캔.jpg", "스캔1.jpg"):
        (tmp_path / os.fsdecode(name.encode("cp949"))).write_bytes(b"hello")
    dry = clova_ocr("batch", "receipt", tmp_path, "--dry-run")
    assert counts_of(dry) == {"images found": 2, "skipped": 2, "billable calls": 0}
    assert dry.stdout.count("is plain text") == 1


def test_a_dry_run_of_a_run_shows_what_the_run_will_do(clova: Emulator, scans: Path, run: Path) -> None:
    """A dry run counts as billable the calls that the run then pays, before it, in its middle and after it."""
    command = ("batch", "receipt", scans, "--run", run)
    fresh = clova_ocr(*command, "--dry-run", "--max-calls", "4", "--price", "60")
    assert counts_of(fresh) == {"images found": 7, "duplicates": 1, "billable calls": 6, "within call limit": 4}
    assert "of 4, 0 are used (240 KRW)" in fresh.stdout
    assert not run.exists()
    run.mkdir()
    assert counts_of(clova_ocr(*command, "--dry-run"))["billable calls"] == 6
    clova_ocr(*command, "--max-calls", "2")
    left = counts_of(clova_ocr(*command, "--dry-run"))
    assert (left["billable calls"], left["images found"]) == (4, 7)
    clova_ocr(*command, "--max-calls", "none")
    assert clova.billed.total() == 6
    done = counts_of(clova_ocr(*command, "--dry-run"))
    assert done == {"images found": 7, "answered already": 7, "billable calls": 0}


def test_a_dry_run_shows_what_is_parked_and_what_a_flag_would_send(clova: Emulator, scans: Path, run: Path) -> None:
    """Ambiguous, failed and refused ones are counted apart, and become billable with their flags."""
    clova.script("close-after-body", "failure", "invalid-body")
    (scans / "0.png").unlink()
    (scans / "notes.png").write_bytes(b"a note")
    (scans / "gone.png").write_bytes(b"another note")
    command = ("batch", "receipt", scans, "--run", run)
    clova_ocr(*command)
    (scans / "gone.png").unlink()
    parked = counts_of(clova_ocr(*command, "--dry-run"))
    kinds = {"ambiguous": 1, "failed, billed": 1, "failed, not billed": 1, "refused before": 1}
    assert parked == {"images found": 7, "answered already": 3, **kinds, "billable calls": 0}
    for flag, kind in (("ambiguous", "ambiguous"), ("billed", "failed, billed"), ("failed", "failed, not billed")):
        counts = counts_of(clova_ocr(*command, "--dry-run", f"--retry-{flag}"))
        assert kind not in counts
        assert counts["billable calls"] == 1


async def test_a_dry_run_does_not_read_what_has_not_changed(scans: Path, run: Path) -> None:
    """A file that is as it was when it was read is known without a look at its bytes."""
    path = scans / "0.png"
    async with SqliteLedger(run) as ledger:
        file = SourceFile(os.fsencode(path), stamp_of(path.stat()))
        claim = (await ledger.admit(Item(b"of other bytes".ljust(32), "receipt"), file)).claim
        assert claim is not None
        await ledger.settle(claim, Settlement(ItemEvent.SKIP))
    for flags, kind in ((), "refused before"), (("--retry-failed",), "billable calls"):
        text = await asyncio.to_thread(clova_ocr, "batch", "receipt", path, "--run", run, "--dry-run", *flags)
        assert counts_of(text)[kind] == 1


async def test_a_dry_run_beside_a_batch_counts_what_is_under_way(scans: Path, run: Path) -> None:
    """An image that another process has sent is not counted again."""
    held = Held()
    reading = asyncio.create_task(resumable_run(run, transport=FakeTransport(held)).run([str(scans / "0.png")]))
    await held.reached.wait()
    beside = await asyncio.to_thread(clova_ocr, "batch", "receipt", scans / "0.png", "--run", run, "--dry-run")
    held.go_on.set()
    assert counts_of(beside) == {"images found": 1, "in flight": 1, "billable calls": 0}
    assert await reading is ExitCode.OK
