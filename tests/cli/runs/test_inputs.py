from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr

from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from click.testing import Result

    from clova_ocr_async.emulator import Emulator

PICTURES = [draw_sample("receipt", seed=seed).data for seed in range(4)]


@pytest.fixture
def scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three receipts and one below, in the current folder."""
    monkeypatch.chdir(tmp_path)
    scans = tmp_path / "scans"
    (scans / "sub").mkdir(parents=True)
    for name, data in zip(("0.png", "1.png", "2.png", "sub/3.png"), PICTURES, strict=True):
        (scans / name).write_bytes(data)
    return scans


def sources(result: Result) -> list[str]:
    """Return the sources of the records that a command wrote, sorted."""
    return sorted(json.loads(line)["source"] for line in result.stdout.splitlines())


# ---------------------------------------------------------------------------------------------------------------------
# Each file once


@pytest.mark.parametrize(
    "again",
    [
        ["scans"],
        ["scans/sub"],
        ["scans/0.png"],
        ["./scans/0.png", "scans//1.png", "scans/sub/../2.png"],
        ["link"],
        ["link.png"],
        ["--from", "list"],
        ["--from", "list", "--from", "list"],
    ],
)
def test_a_file_that_two_paths_lead_to_is_paid_once(clova: Emulator, scans: Path, again: list[str]) -> None:
    """Without a run each file is read once, by whatever paths, links and lists it is found, and that is printed."""
    Path("link").symlink_to(scans)
    Path("link.png").symlink_to(scans / "0.png")
    Path("list").write_text(f"{scans / '0.png'}\nscans/1.png\n./scans/1.png\n")
    result = clova_ocr("batch", "receipt", "scans", *again)
    assert result.exit_code == 0, result.stderr
    assert (clova.billed.total(), len(sources(result))) == (4, 4)
    assert re.search(r" (file was|files were) found a second time, and (is|are) read once\n", result.stderr)


def test_two_names_of_one_picture_are_two_images(clova: Emulator, scans: Path) -> None:
    """Copies and hard links are images of their own: each has its line, and without a run each is paid."""
    (scans / "copy.png").write_bytes(PICTURES[0])
    os.link(scans / "0.png", scans / "hard.png")
    result = clova_ocr("batch", "receipt", "scans", "scans/hard.png", "scans/copy.png")
    assert (len(sources(result)), clova.billed.total()) == (6, 6)
    assert "2 files were found a second time" in result.stderr


def test_recognize_reads_a_file_once_as_well(clova: Emulator, scans: Path) -> None:
    """Two patterns of a shell that match one file cost one call."""
    result = clova_ocr("recognize", "receipt", "scans/0.png", scans / "0.png", "scans/1.png")
    assert sources(result) == ["scans/0.png", "scans/1.png"]
    assert clova.billed.total() == 2
    assert "1 file was found a second time, and is read once" in result.stderr


@pytest.mark.usefixtures("scans")
def test_a_dry_run_counts_each_file_once() -> None:
    """A dry run without a run shows the calls that the batch pays."""
    result = clova_ocr("batch", "receipt", "scans", "scans/0.png", "--dry-run")
    assert "images found                 4\n" in result.stdout
    assert "billable calls               4\n" in result.stdout
    assert "1 file was found a second time, and is read once" in result.stderr


@pytest.mark.usefixtures("scans")
def test_what_is_not_there_or_is_standard_input_is_not_distinguished() -> None:
    """Paths that lead nowhere stay, each for its own error; standard input is not a file."""
    search = Search(["scans/0.png", "gone", "gone", "a\0b", "-"], piped={"-": b"x"})
    assert [file.path for file in search.files()] == ["scans/0.png", "gone", "gone", "a\0b", "-"]
    assert list(search.remarks()) == []


def test_a_search_can_be_repeated_at_the_same_time(scans: Path) -> None:
    """Two searches that take turns find all files each, and their counts do not add up."""
    search = Search(["scans", "scans/0.png"])
    (scans / "notes.txt").touch()
    first, second = search.files(), search.files()
    found = [(one.path, other.path) for one, other in zip(first, second, strict=True)]
    assert len(found) == 4
    assert list(search.remarks()) == [
        "1 file was found a second time, and is read once",
        "1 file left out: 1 with another ending (.txt); to read it, give the file itself as a PATH",
    ]


# ---------------------------------------------------------------------------------------------------------------------
# What is left out


@pytest.fixture
def left_out(scans: Path) -> str:
    """The text about four files beside the user's."""
    for name in ("@eaDir/0.png/SYNOPHOTO_THUMB_XL.jpg", "#recycle/old.png", ".1.png", "2.png.tmp"):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        (scans / name).write_bytes(draw_sample("receipt", seed=9).data)
    return (
        "4 files left out: 1 hidden, 1 in #recycle, 1 in @eaDir, 1 with another ending (.tmp); to read them, give each "
        "hidden file, each such folder and each file with another ending as a PATH of its own\n"
    )


@pytest.mark.parametrize("run", [[], ["--run", "run"], ["--dry-run"], ["--dry-run", "--run", "run"]])
def test_what_is_left_out_of_a_folder_is_counted(clova: Emulator, left_out: str, run: list[str]) -> None:
    """A file of the system is not paid, and the files left out are counted, with a run, without, and beforehand."""
    result = clova_ocr("batch", "receipt", "scans", *run)
    assert result.exit_code == 0, result.stderr
    assert clova.billed.total() == (0 if "--dry-run" in run else 4)
    assert result.stderr.count(left_out) == 1


@pytest.mark.usefixtures("left_out")
def test_what_is_left_out_is_read_where_it_is_named(clova: Emulator) -> None:
    """The way out that the summary names works."""
    result = clova_ocr("batch", "receipt", "scans/@eaDir", "scans/#recycle", "scans/.1.png", "scans/2.png.tmp")
    assert (result.exit_code, len(sources(result)), clova.billed.total()) == (0, 4, 4)
    assert "left out" not in result.stderr


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("run", [[], ["--run", "run"]])
def test_a_folder_of_nothing_but_what_is_left_out_is_reported_with_the_reason(scans: Path, run: list[str]) -> None:
    """The files left out are printed also if no images are found."""
    (scans / "__MACOSX").mkdir()
    (scans / "__MACOSX" / "a.jpg").touch()
    (scans / "only" / "@eaDir").mkdir(parents=True)
    (scans / "only" / "@eaDir" / "a.jpg").touch()
    result = clova_ocr("batch", "receipt", "scans/only", *run)
    assert result.exit_code == 5
    assert "no images found in scans/only; a folder is searched for files that end in .jpeg, .jpg, " in result.stderr
    assert result.stderr.count("1 file left out: 1 in @eaDir; to read it, give the folder itself as a PATH\n") == 1


@pytest.mark.usefixtures("clova")
def test_where_nothing_is_found_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without images the message names the places, shortened, and the endings; no run and no output is made."""
    monkeypatch.chdir(tmp_path)
    folder = Path("/".join(["a folder " * 11] * 4))
    (folder / "below").mkdir(parents=True)
    Path("list").touch()
    Path("run").mkdir()
    before = set(tmp_path.rglob("*"))
    for options in (
        ["--run", "new"],
        ["--run", "run"],
        ["-o", "out.jsonl"],
        ["--dry-run"],
        ["--dry-run", "--run", "new"],
    ):
        result = clova_ocr("batch", "receipt", folder, *options)
        assert result.exit_code == 5, result.output
        assert result.stderr.startswith("no images found in a folder")
        assert (
            "a folder ; a folder is searched for files that end in .jpeg, .jpg, .pdf, .png, .tif or .tiff\n"
            in result.stderr
        )
        assert len(result.stderr) < 320
        assert set(tmp_path.rglob("*")) == before
    flat = clova_ocr("batch", "receipt", folder, "--no-recursive")
    assert flat.stderr.endswith(", and sub-folders are not searched (--no-recursive)\n")
    lists = clova_ocr("batch", "receipt", "--from", "list", "--run", "new")
    assert (lists.exit_code, lists.stderr) == (5, "no images found in list: it lists no file\n")
    lists = clova_ocr("batch", "receipt", "--from", "list", "--from", "-")
    assert lists.stderr == "no images found in list, standard input: they list no file\n"


@pytest.mark.usefixtures("clova")
def test_a_folder_of_a_run_that_cannot_be_looked_into_is_reported(scans: Path) -> None:
    """A fault of the run directory is an error of its own, also if no image is found."""
    (scans / "empty").mkdir()
    (scans / "file").touch()
    result = clova_ocr("batch", "receipt", scans / "empty", "--run", scans / "file")
    assert result.exit_code == 2
    assert "no images found" not in result.stderr


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        (".hidden.png", "1 hidden; to read it, give the hidden file itself as a PATH"),
        ("link.png", "1 symbolic link; to read it, give the symbolic link itself as a PATH"),
        ("@eaDir/a.png", "1 in @eaDir; to read it, give the folder itself as a PATH"),
        ("a.tmp", "1 with another ending (.tmp); to read it, give the file itself as a PATH"),
    ],
    ids=["hidden", "link", "folder", "ending"],
)
def test_the_way_out_fits_what_was_left_out(clova: Emulator, scans: Path, name: str, way_out: str) -> None:
    """For each kind of file the summary names the path that reads it, and that path does."""
    place = scans / name
    place.parent.mkdir(exist_ok=True)
    if name == "link.png":
        (scans.parent / "elsewhere.png").write_bytes(draw_sample("receipt", seed=9).data)
        place.symlink_to(scans.parent / "elsewhere.png")
    else:
        place.write_bytes(draw_sample("receipt", seed=9).data)
    assert f"1 file left out: {way_out}\n" in clova_ocr("batch", "receipt", "scans", "--dry-run").stderr
    given = place.parent if place.parent != scans else place
    assert len(sources(clova_ocr("batch", "receipt", given))) == 1
    assert clova.billed.total() == 1


# ---------------------------------------------------------------------------------------------------------------------
# What has gone


def test_a_file_that_has_gone_is_the_news_of_one_command(clova: Emulator, scans: Path) -> None:
    """The command that finds a file gone exits with 1, later ones with 0; the file stays counted, once, as skipped."""
    Path("list").write_text("scans/0.png\nscans/gone.png\n")
    first = clova_ocr("batch", "receipt", "--from", "list", "--run", "run")
    assert (first.exit_code, "scans/gone.png: " in first.stderr) == (1, True)
    (scans / "0.png").unlink()
    for _ in range(2):
        later = clova_ocr("batch", "receipt", "scans", "--run", "run")
        assert later.exit_code == 0, later.stderr
        text = "5 images: 4 succeeded, 1 skipped (1 no longer there); 4 calls billed"
        assert text in later.stderr
    assert json.loads(clova_ocr("status", "run", "--json").stdout)["vanished"] == 1
    assert clova.billed.total() == 4


# ---------------------------------------------------------------------------------------------------------------------
# One path, one image of a run


def exported(run: str | Path = "run") -> list[str]:
    """Return the sources of a run, sorted."""
    return sources(clova_ocr("export", run))


@pytest.mark.parametrize(
    "again", ["./scans", "scans//", "scans/.", "scans/sub/..", "{}", "{}/", "scans/0.png", "./scans//0.png", "{}/0.png"]
)
def test_another_spelling_of_a_path_is_the_same_image(clova: Emulator, scans: Path, again: str) -> None:
    """A run that is repeated with another spelling of its PATH has each image once, under the name it had first."""
    first = clova_ocr("batch", "receipt", "scans", "--run", "run")
    rehearsed = clova_ocr("batch", "receipt", again.format(scans), "--run", "run", "--dry-run")
    second = clova_ocr("batch", "receipt", again.format(scans), "--run", "run")
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert exported() == ["scans/0.png", "scans/1.png", "scans/2.png", "scans/sub/3.png"]
    assert "billable calls               0\n" in rehearsed.stdout
    assert clova.billed.total() == 4


@pytest.mark.usefixtures("clova")
def test_absolute_paths_stay_as_they_were_given(scans: Path) -> None:
    """A run that was begun with absolute paths knows relative ones as the same images."""
    clova_ocr("batch", "receipt", scans, "--run", "run")
    clova_ocr("batch", "receipt", "scans", ".", "--run", "run")
    assert exported() == [str(scans / name) for name in ("0.png", "1.png", "2.png", "sub/3.png")]


@pytest.mark.usefixtures("clova")
def test_a_dry_run_of_an_unfinished_run_counts_each_image_once(scans: Path) -> None:
    """An image that is left in a run and found under another spelling is one image."""
    clova_ocr("batch", "receipt", "scans", "--run", "run", "--max-calls", "1")
    result = clova_ocr("batch", "receipt", scans, "./scans", "--run", "run", "--dry-run")
    assert "billable calls               3\n" in result.stdout


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_a_run_of_relative_paths_is_gone_on_with_where_they_start(
    clova: Emulator, scans: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    """From another folder the command is refused with the one to go to, and nothing is paid or listed twice."""
    run = scans.parent / "run"
    assert clova_ocr("batch", "receipt", "scans", "--run", "run", "--max-calls", "2").exit_code == 4
    monkeypatch.chdir(scans)
    for path in (".", scans, "../scans/0.png"):
        refused = clova_ocr("batch", "receipt", path, "--run", run, *options)
        assert refused.exit_code == 2
        assert f"names its images by paths that start in {scans.parent}; repeat" in refused.stderr
        assert f"cd {scans.parent}\n" in refused.stderr
    assert (clova.billed.total(), len(exported(run))) == (2, 4)
    monkeypatch.chdir(scans.parent)
    assert clova_ocr("batch", "receipt", "scans", "--run", "run", "--max-calls", "4").exit_code == 0
    assert (clova.billed.total(), len(exported(run))) == (4, 4)


@pytest.mark.usefixtures("clova")
def test_a_run_of_absolute_paths_goes_on_anywhere(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With absolute paths alone, a command can be repeated in any folder."""
    run = scans.parent / "run"
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    monkeypatch.chdir(scans)
    assert clova_ocr("batch", "receipt", ".", "--run", run).exit_code == 0
    assert len(exported(run)) == 4


@pytest.mark.usefixtures("clova")
def test_a_run_that_was_moved_with_its_images_goes_on(scans: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the folder in which paths started is not there any more, they start where the command is repeated."""
    old = scans.parent / "old"
    old.mkdir()
    scans.rename(old / "scans")
    monkeypatch.chdir(old)
    assert clova_ocr("batch", "receipt", "scans", "--run", "run", "--max-calls", "1").exit_code == 4
    monkeypatch.chdir(scans.parent)
    old.rename(scans.parent / "new")
    monkeypatch.chdir(scans.parent / "new")
    assert clova_ocr("batch", "receipt", "scans", "--run", "run", "--max-calls", "4").exit_code == 0
    assert len(exported()) == 4


# ---------------------------------------------------------------------------------------------------------------------
# What is paid a second time


def test_payments_on_request_are_reported_apart(clova: Emulator, scans: Path) -> None:
    """A dry run and the summary count what is certainly paid again and what may be, each with its cost."""
    again = ("--retry-billed", "--retry-ambiguous", "--price", "60")
    clova.script("failure", "close-after-body", "close-after-body")
    clova_ocr("batch", "receipt", "scans", "--run", "run", "-j", "1")
    rehearsed = clova_ocr("batch", "receipt", "scans", "--run", "run", "--dry-run", *again)
    assert "billable calls               3  180 KRW\n" in rehearsed.stdout
    paid, maybe = "images that were paid for and not read", "images that may have been paid for already"
    assert f"paid again                   1  of them for {paid} (60 KRW)\n" in rehearsed.stdout
    assert f"maybe paid again             2  of them for {maybe} (120 KRW)\n" in rehearsed.stdout
    only = clova_ocr("batch", "receipt", "scans", "--run", "run", "--dry-run", "--retry-billed")
    assert f"paid again                   1  of them for {paid}\n" in only.stdout
    assert "maybe paid again" not in only.stdout
    stopped = clova_ocr("batch", "receipt", scans, "--run", "run", "--max-calls", "5", *again)
    text = "1 image that was paid for already, 2 that may have been (60 to 180 KRW)\n"
    assert f"sent again on request: at most {text}" in stopped.stderr
    done = clova_ocr("batch", "receipt", scans, "--run", "run", "--max-calls", "50", "--retry-billed")
    assert (done.exit_code, "sent again on request" in done.stderr) == (0, False)


def test_payments_on_request_are_counted_when_all_is_sent(clova: Emulator, scans: Path) -> None:
    """With nothing left to be sent the counts are exact."""
    clova.script("close-after-body")
    clova_ocr("batch", "receipt", scans, "--run", "run", "-j", "1")
    done = clova_ocr("batch", "receipt", scans, "--run", "run", "--retry-ambiguous")
    assert "sent again on request: 0 images that were paid for already, 1 that may have been\n" in done.stderr
    assert clova.billed.total() == 5
