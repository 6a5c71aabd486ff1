"""Files of one result: they appear together, or none of them does."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.cli.terminal.locked_files import ROWS, create_locked, remove_abandoned_beside
from clova_ocr_async.cli.terminal.output import OutputError, WholeOutputs
from clova_ocr_async.cli.terminal.signals import held_signals
from clova_ocr_async.host.files import temporaries_beside, temporary_beside

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_pair(
    folder: Path,
    watch: Callable[[str], object] | None = None,
    link: Callable[[Path, Path], object] = os.link,
) -> None:
    """Write two files of one result."""
    with WholeOutputs(watch, link) as outputs:
        for name in ("a", "b"):
            outputs.open(str(folder / name), force=True)(b"new")
            assert (outputs.folder() / "rows").write_bytes(b"personal") == 8


def texts_in(folder: Path) -> dict[str, str]:
    """Return the files of a folder."""
    return {path.name: path.read_text() for path in folder.iterdir()}


class Failing:
    """A watch that does something at the second renaming."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._count = 0

    def __call__(self, moment: str) -> None:
        """Act."""
        self._count += moment == "before rename"
        if self._count == 2 and moment == "before rename":
            self._act()


def test_files_of_a_result_appear_together(tmp_path: Path) -> None:
    """Until the context is left the names are free; afterwards they have the files, and nothing else is left."""
    seen: list[dict[str, str]] = []
    write_pair(tmp_path, lambda _: seen.append({path.name: "" for path in tmp_path.iterdir() if path.name in "ab"}))
    assert seen == [{}, {"a": ""}, {"a": ""}, {"a": "", "b": ""}]
    assert texts_in(tmp_path) == {"a": "new", "b": "new"}


@pytest.mark.parametrize("old", [{}, {"a": "old"}, {"a": "old", "b": "older"}], ids=len)
def test_a_file_that_cannot_appear_takes_the_others_back(tmp_path: Path, old: dict[str, str]) -> None:
    """If the second file cannot get its name, the first loses it again, and a file that had it is back."""
    for name, text in old.items():
        (tmp_path / name).write_text(text)

    def fail() -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(OutputError, match="b: Input/output error"):
        write_pair(tmp_path, Failing(fail))
    assert texts_in(tmp_path) == old


def test_without_hard_links_a_file_that_was_replaced_stays_so(tmp_path: Path) -> None:
    """On a file system without hard links a file that was there is replaced for good, and stays whole."""

    def link(first: Path, second: Path) -> None:
        raise OSError(1, f"no link from {first} to {second}")

    def fail() -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "a").write_text("old")
    with pytest.raises(OutputError, match="b: Input/output error"):
        write_pair(tmp_path, Failing(fail), link)
    assert texts_in(tmp_path) == {"a": "new"}


def test_a_folder_in_the_way_takes_the_others_back(tmp_path: Path) -> None:
    """A folder that takes a name at the last moment stays, and no file of the result appears."""
    with pytest.raises(OutputError, match=r"cannot write to .*b"):
        write_pair(tmp_path, Failing((tmp_path / "b").mkdir))
    assert [(path.name, path.is_dir()) for path in tmp_path.iterdir()] == [("b", True)]


def test_a_signal_waits_until_all_files_are_there(tmp_path: Path) -> None:
    """Ctrl-C between two renamings interrupts behind the second, so that the result is complete."""
    with pytest.raises(KeyboardInterrupt):
        write_pair(tmp_path, Failing(lambda: signal.raise_signal(signal.SIGINT)))
    assert texts_in(tmp_path) == {"a": "new", "b": "new"}


def test_held_signals_follow_an_error() -> None:
    """A signal that was held comes also if what was done under it fails."""

    def fail() -> None:
        with held_signals():
            signal.raise_signal(signal.SIGINT)
            raise ValueError

    with pytest.raises(KeyboardInterrupt):
        fail()


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    """An error before the end removes what was begun."""

    def begin() -> None:
        with WholeOutputs() as outputs:
            outputs.open(str(tmp_path / "a"), force=False)(b"new")
            assert [mode & 0o777 for mode in modes(outputs.folder())] == [0o700]
            raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        begin()
    assert texts_in(tmp_path) == {}


def modes(*paths: Path) -> list[int]:
    """Return the modes of files."""
    return [path.stat().st_mode for path in paths]


def test_temporary_data_of_a_stream_lies_in_a_private_folder() -> None:
    """Without a file of its own, a result's temporary data is in a private folder of the system's, and removed."""
    with WholeOutputs() as outputs:
        folder = outputs.folder()
        assert [mode & 0o777 for mode in modes(folder)] == [0o700]
    assert not folder.exists()


def test_what_was_abandoned_is_removed(tmp_path: Path) -> None:
    """Files without a lock go, and folders without a file; a file of a living process stays, and names of others."""
    final = tmp_path / "a name that is longer than twenty characters.csv"
    dead, living = temporary_beside(final), temporary_beside(final)
    descriptor = create_locked(living)
    dead.write_text("personal")
    for temporary in (dead, living):
        temporary.with_suffix(ROWS).mkdir()
    others = [tmp_path / f"{final.name[:20]}.{end}" for end in ("part", "1.part", "1.0123456789abcdex.part")]
    for other in others:
        other.write_text("mine")
    remove_abandoned_beside(final)
    assert set(tmp_path.iterdir()) == {living, living.with_suffix(ROWS), *others}
    os.close(descriptor)
    remove_abandoned_beside(final)
    assert set(tmp_path.iterdir()) == set(others)


def test_a_folder_that_is_not_there_has_no_temporary_files(tmp_path: Path) -> None:
    """A folder that cannot be read has nothing that could be removed."""
    assert temporaries_beside(tmp_path / "no" / "a") == []
