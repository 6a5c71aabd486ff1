"""Masked and annotated copies of the pictures of a run."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import unicodedata
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.commands import CLOVA_OCR, clova_ocr, shell
from support.masked_samples import draw, ink_left
from support.waiting import wait_for

from clova_ocr_async.cli.runs.picture_copies import write_copies
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.emulator.samples.canvas import encode
from clova_ocr_async.ledger import Change, ChangeKind, RunReader, open_corrections, open_view
from clova_ocr_async.pictures import Page
from clova_ocr_async.results.picture_files import copy_name

if TYPE_CHECKING:
    from clova_ocr_async.emulator import Emulator


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """A folder of four ID cards, in every format, one of them named after its number."""
    folder = tmp_path / "cards"
    folder.mkdir()
    for seed, form in enumerate(("jpg", "png", "tiff", "pdf")):
        (folder / f"card-{seed}.{form}").write_bytes(draw_sample("id-card", seed=seed, format=form).data)
    number = draw_sample("id-card", seed=4).truth.answer["result"]["ic"]["personalNum"][0]["text"]
    (folder / f"{number}.jpg").write_bytes(draw_sample("id-card", seed=4, format="jpg").data)
    return folder


def hidden_digits() -> list[str]:
    """Return the last seven digits of the resident and alien numbers of the cards."""
    places = ((0, "ic", "personalNum"), (1, "dl", "personalNum"), (3, "ac", "alienRegNum"), (4, "ic", "personalNum"))
    results = [(draw_sample("id-card", seed=seed).truth.answer["result"][kind][key], key) for seed, kind, key in places]
    return [cells[0]["text"][-7:] for cells, _ in results]


def test_a_run_is_masked_and_annotated(clova: Emulator, cards: Path, run: Path, tmp_path: Path) -> None:
    """Every picture has a private copy under a name of its own; masked ones and all that is printed hold no number."""
    assert clova_ocr("batch", "id-card", cards, "--run", run).exit_code == 0
    for policy in ("standard", "all"):
        done = clova_ocr("redact", run, "-o", tmp_path / policy, "--policy", policy, "-vv")
        assert (done.exit_code, "5 pictures in" in done.stderr) == (0, True)
        copies = sorted((tmp_path / policy).iterdir())
        assert sorted(path.suffix for path in copies) == [".jpg", ".jpg", ".png", ".png", ".png"]
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in copies)
        everything = done.output + "".join(path.name for path in copies)
        held = b"".join(path.read_bytes() for path in copies)
        assert not [digits for digits in hidden_digits() if digits in everything or digits.encode() in held]
        assert clova_ocr("verify", *copies).exit_code == 0
    drawn = clova_ocr("annotate", run, "-o", tmp_path / "boxes")
    assert drawn.exit_code == 0
    assert {path.read_bytes()[:4] for path in (tmp_path / "boxes").iterdir()} == {b"\x89PNG"}
    assert sum(clova.billed.values()) == 5


@pytest.mark.usefixtures("clova")
def test_members_of_archives_and_pages_have_copies(run: Path, tmp_path: Path) -> None:
    """A picture in a zip archive, and a page of a file of several, are found again and masked."""
    archive, pages = tmp_path / "cards.zip", tmp_path / "pages.tiff"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("sub/card.jpg", draw_sample("id-card", seed=0, format="jpg").data)
    Image.new("RGB", (40, 40)).save(pages, save_all=True, append_images=[draw("id-card", 1, "all").picture.copy()])
    clova_ocr("batch", "id-card", archive, pages, "--pages", "all", "--run", run)
    done = clova_ocr("annotate", run, "-o", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name.split(".")[0] for path in (tmp_path / "out").iterdir()) == ["card", "pages", "pages"]
    clova_ocr("redact", run, "-o", tmp_path / "masked")
    (masked,) = (tmp_path / "masked").glob("card.*.jpg")
    assert ink_left(Image.open(io.BytesIO(masked.read_bytes())), draw("id-card", 0, "standard").hidden) < 16


@pytest.mark.usefixtures("clova")
def test_a_page_of_a_file_that_changes_has_no_copy(run: Path, tmp_path: Path) -> None:
    """The pages of a file that has changed, or that changes while a copy is made, are named and have no copy."""
    pages = tmp_path / "pages.tiff"
    Image.new("RGB", (40, 40)).save(pages, save_all=True, append_images=[Image.new("RGB", (50, 50))])
    clova_ocr("batch", "receipt", pages, "--pages", "all", "--run", run)

    def change(source: bytes | Page, _: object) -> bytes:
        assert source == Page(str(pages), 1)
        with pages.open("ab") as file:
            file.write(b"x")
        return b""

    with RunReader(run) as reader:
        copies = write_copies(
            reader, str(tmp_path / "out"), change, lambda path, _record, _recognition: path, force=False
        )
    assert (copies.written, copies.failed, list((tmp_path / "out").iterdir())) == (0, 2, [])


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("verb", ["redact", "annotate"])
def test_an_empty_folder_name_is_refused(run: Path, verb: str) -> None:
    """An ``-o ""`` of a variable that is not set is refused, and does not mean the current folder."""
    run.mkdir()
    done = clova_ocr(verb, run, "-o", "")
    assert (done.exit_code, "the name of the folder is empty; write . for the current one" in done.stderr) == (2, True)


@pytest.mark.usefixtures("clova")
def test_a_huge_file_is_not_read(run: Path, tmp_path: Path) -> None:
    """A picture in whose place there is a file that no call can have sent is named, and is not read into memory."""
    file = tmp_path / "card.png"
    file.write_bytes(draw_sample("id-card", seed=0).data)
    clova_ocr("batch", "id-card", file, "--run", run)
    os.truncate(file, 2**30)
    done = clova_ocr("redact", run, "-o", tmp_path / "out")
    assert (done.exit_code, "pictures of more than 268,435,456 are not copied" in done.stderr) == (1, True)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the limits of Linux")
@pytest.mark.parametrize("verb", ["redact", "annotate"])
def test_a_full_disk_leaves_no_copy(clova: Emulator, run: Path, tmp_path: Path, verb: str) -> None:
    """Where a copy cannot be written the command ends with 1 and names it; no part of it is left."""
    file, out = tmp_path / "card.png", tmp_path / "out"
    file.write_bytes(draw_sample("id-card", seed=0).data)
    clova_ocr("batch", "id-card", file, "--run", run)
    done = shell(clova, 'ulimit -f 1; "$@"', verb, run, "-o", out)
    assert (done.returncode, b"File too large" in done.stderr, b"card.1.png" in done.stderr) == (1, True, True)
    assert list(out.iterdir()) == []


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("verb", ["redact", "annotate"])
def test_a_signal_leaves_whole_copies_only(run: Path, tmp_path: Path, verb: str) -> None:
    """SIGTERM ends the command with 130: the copies that are there are whole, and no temporary file is left."""
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for seed in range(12):
        (scans / f"{seed}.png").write_bytes(draw_sample("id-card", seed=seed).data)
    assert clova_ocr("batch", "id-card", scans, "--run", run).exit_code == 0
    process = subprocess.Popen([*CLOVA_OCR, verb, str(run), "-o", str(out)], stderr=subprocess.DEVNULL)
    wait_for(lambda: out.is_dir() and any(path.suffix == ".png" for path in out.iterdir()))
    process.terminate()
    assert process.wait() == 130
    copies = list(out.iterdir())
    assert 0 < len(copies) < 12
    for copy in copies:
        assert re.fullmatch(r"[0-9]+\.1\.png", copy.name)
        Image.open(copy).load()


@pytest.mark.usefixtures("clova")
def test_copies_are_replaced_only_on_demand(cards: Path, run: Path, tmp_path: Path) -> None:
    """A copy that is there stays, and is replaced with --force; a link in its place is not followed."""
    clova_ocr("batch", "id-card", cards, "--run", run)
    out = tmp_path / "out"
    assert clova_ocr("redact", run, "-o", out).exit_code == 0
    (first, *_) = sorted(out.iterdir())
    first.unlink()
    first.symlink_to(cards / "card-0.jpg")
    again = clova_ocr("redact", run, "-o", out)
    assert (again.exit_code, again.stderr.count("is there already")) == (1, 5)
    before = (cards / "card-0.jpg").read_bytes()
    assert clova_ocr("redact", run, "-o", out, "--force").exit_code == 0
    assert not first.is_symlink()
    assert (cards / "card-0.jpg").read_bytes() == before
    (tmp_path / "file").write_text("")
    assert clova_ocr("redact", run, "-o", tmp_path / "file" / "x").exit_code == 2


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("verb", ["redact", "annotate"])
def test_a_copy_that_is_there_is_named_before_its_picture_is_read(
    cards: Path, run: Path, tmp_path: Path, verb: str
) -> None:
    """A second command without --force reads no picture: it names the copies also where the pictures are gone."""
    clova_ocr("batch", "id-card", cards, "--run", run)
    assert clova_ocr(verb, run, "-o", tmp_path / "out").exit_code == 0
    for picture in cards.iterdir():
        picture.unlink()
    again = clova_ocr(verb, run, "-o", tmp_path / "out")
    assert (again.exit_code, again.stderr.count("is there already"), "No such file" in again.stderr) == (1, 5, False)


@pytest.mark.usefixtures("clova")
def test_a_file_that_comes_while_a_picture_is_drawn_is_not_replaced(run: Path, tmp_path: Path) -> None:
    """A copy that another command writes in the meantime stays, and the picture is named."""
    file, out = tmp_path / "card.png", tmp_path / "out"
    file.write_bytes(draw_sample("id-card", seed=0).data)
    clova_ocr("batch", "id-card", file, "--run", run)

    def draw_late(_: bytes | Page, __: object) -> bytes:
        (out / "card.1.jpg").write_bytes(b"another")
        return b"\xff\xd8\xff"

    with RunReader(run) as reader:
        copies = write_copies(reader, str(out), draw_late, lambda path, _record, _recognition: path, force=False)
    assert (copies.failed, (out / "card.1.jpg").read_bytes()) == (1, b"another")


@pytest.mark.usefixtures("clova")
def test_the_older_copy_of_a_picture_that_is_refused_is_named(cards: Path, run: Path, tmp_path: Path) -> None:
    """With --force the message of a refused picture names its older copy, whatever its ending; others have none."""
    out = tmp_path / "out"
    for number in ("card-0.jpg", "card-1.png"):
        clova_ocr("batch", "id-card", cards / number, "--run", run)
    assert clova_ocr("redact", run, "-o", out).exit_code == 0
    (cards / "card-0.jpg").write_bytes(b"another picture")
    again = clova_ocr("redact", run, "-o", out, "--force")
    older = f"; {out / 'card-0.1.jpg'} is an older copy, which was not replaced\n"
    assert (again.exit_code, again.stderr.count("older copy"), older in again.stderr) == (1, 1, True)
    (out / "card-0.1.jpg").unlink()
    assert "older copy" not in clova_ocr("redact", run, "-o", out, "--force").stderr


@pytest.mark.usefixtures("clova")
def test_a_picture_without_a_certain_copy_is_named_and_the_others_go_on(cards: Path, run: Path, tmp_path: Path) -> None:
    """A picture that has changed, is gone, was not read, or lost a polygon has no copy; the exit code is 1."""
    (cards / "note.png").write_bytes(draw_sample("receipt").data)  # read as an ID card: a failure
    clova_ocr("batch", "id-card", cards, "--run", run)
    with (cards / "card-0.jpg").open("ab") as file:
        file.write(b"x")
    (cards / "card-1.png").unlink()
    (numbered,) = cards.glob("*-*[0-9][0-9][0-9][0-9].jpg")
    numbered.write_bytes(b"")
    done = clova_ocr("redact", run, "-o", tmp_path / "out")
    assert (done.exit_code, len(list((tmp_path / "out").iterdir()))) == (1, 2)
    assert not [digits for digits in hidden_digits() if digits in done.output]
    assert "card-0.jpg: the file has changed since it was read" in done.stderr
    assert "card-1.png: No such file" in done.stderr
    assert "note.png: the image has no answer (failed)" in done.stderr
    assert clova_ocr("annotate", run, "-o", tmp_path / "boxes").exit_code == 1


@pytest.mark.usefixtures("clova")
def test_an_answer_without_a_polygon_ends_in_exit_code_1(run: Path, tmp_path: Path) -> None:
    """An answer from which one polygon was removed gives no file; the message names the field and shows no value."""
    truth = draw_sample("id-card", seed=0).truth
    truth.answer["result"]["ic"]["personalNum"][0]["boundingPolys"].pop()
    file = tmp_path / "card.png"
    file.write_bytes(encode(draw("id-card", 0, "all").picture, "png", truth))
    clova_ocr("batch", "id-card", file, "--run", run)
    done = clova_ocr("redact", run, "-o", tmp_path / "out", "-vv")
    assert (done.exit_code, list((tmp_path / "out").iterdir())) == (1, [])
    assert "ic.personalNum[0]' must be hidden, and the answer has no polygon" in done.stderr
    assert not [digits for digits in hidden_digits() if digits in done.output]


@pytest.mark.usefixtures("clova")
def test_a_corrected_number_in_the_name_of_a_file_is_hidden(run: Path, tmp_path: Path) -> None:
    """The name of a copy does not repeat a licence number that the service misread and a person corrected."""
    file = tmp_path / "19-88-777666-55.png"
    file.write_bytes(draw_sample("id-card", seed=1, format="png").data)
    assert clova_ocr("batch", "id-card", file, "--run", run).exit_code == 0
    with open_view(run) as view:
        (entry,) = [record.entry for record in view.records() if record.entry is not None]
    with open_corrections(run) as corrections:
        change = Change(ChangeKind.CORRECT, "me", "result.dl.num[0]", "what was read", file.stem)
        corrections.append(entry.item, change, after=0)
    assert clova_ocr("redact", run, "-o", tmp_path / "out").exit_code == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["__-__-______-__.1.png"]


@given(
    st.text()
    | st.sampled_from(
        ["../../x.png", "..", ".", "/etc/passwd", "a.zip!/../b.jpg", "C:\\x\\..\\y.png", "CON.png", "\udcff.png"]
    ),
    st.integers(1, 10**6),
)
def test_a_copy_has_one_safe_name(source: str, number: int) -> None:
    """Whatever a path holds, the name of its copy is one short printable part that stays in its folder."""
    name = copy_name(source, number, "png")
    assert name.endswith(f".{number}.png")
    assert Path("folder", name).parent == Path("folder")
    assert Path("folder", name).name == name
    assert not set(name) & set('<>:"/\\|?*')
    assert name.isprintable()
    assert not name.startswith((".", " "))
    assert len(name.encode()) <= 120
    assert unicodedata.is_normalized("NFC", name)


def test_names_of_copies_never_collide() -> None:
    """Equal names of different folders, and names that differ in case or form alone, have different copies."""
    names = [
        copy_name(path, number, "png") for number, path in enumerate(["a/x.jpg", "b/x.jpg", "b/X.png", "x.jpg"], 1)
    ]
    assert names == ["x.1.png", "x.2.png", "X.3.png", "x.4.png"]
    assert copy_name("", 7, "jpg") == "image.7.jpg"
