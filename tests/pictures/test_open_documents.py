from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.open_documents import OpenDocuments
from clova_ocr_async.pictures.paged_file import MAX_MEMBER, PagedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Document:
    """A document that notes when it is closed."""

    def __init__(self, file: PagedFile) -> None:
        self.file = file
        self.is_closed = False

    def close(self) -> None:
        """Note it."""
        self.is_closed = True


class Scene:
    """Open documents with a clock and a timer of their own."""

    def __init__(self, limit: int = 2) -> None:
        self.now = 0.0
        self.opened: list[Document] = []
        self.timers: list[tuple[float, Callable[[], object]]] = []
        self.documents = OpenDocuments(
            self._open,
            threading.RLock(),
            limit=limit,
            idle=10.0,
            clock=lambda: self.now,
            start_timer=lambda seconds, function: self.timers.append((seconds, function)),
        )

    def _open(self, file: PagedFile) -> Document:
        document = Document(file)
        self.opened.append(document)
        return document

    def use(self, path: Path | bytes) -> Document:
        """Borrow the document of a file, and give it back."""
        with self.documents.borrow(PagedFile.of(path)) as document:
            assert not document.is_closed
            return document


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three files."""
    paths = [tmp_path / f"{number}.pdf" for number in range(3)]
    for path in paths:
        path.write_bytes(path.name.encode())
    return paths


def test_a_document_stays_open(files: list[Path]) -> None:
    """The second page of a file finds it open."""
    scene = Scene()
    assert scene.use(files[0]) is scene.use(files[0])


def test_without_forks(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents that no fork can copy stay open as well."""
    monkeypatch.delattr(os, "register_at_fork")
    scene = Scene()
    assert scene.use(files[0]) is scene.use(files[0])


def test_the_oldest_is_closed(files: list[Path]) -> None:
    """No more documents are open than the limit, and the one that was used last stays."""
    scene = Scene()
    for place in (0, 1, 0, 2):
        scene.use(files[place])
    assert [document.is_closed for document in scene.opened] == [False, True, False]


def test_a_file_that_was_replaced_is_opened_anew(files: list[Path]) -> None:
    """A file with another stamp is another document, and the old one is closed."""
    scene = Scene()
    before = scene.use(files[0])
    files[0].write_bytes(b"another file")
    after = scene.use(files[0])
    assert (before.is_closed, after.is_closed, after is before) == (True, False, False)


def test_bytes_do_not_stay_open() -> None:
    """The document of bytes is closed at once, since it would keep them in memory."""
    scene = Scene()
    assert scene.use(b"bytes").is_closed
    assert scene.timers == []


def test_files_in_archives_stay_open_as_long_as_they_are_small_together() -> None:
    """The file of a document in an archive is unpacked, so the oldest ones are closed before they need too much."""
    scene = Scene(limit=4)
    for number, part in ((0, 0.4), (1, 0.4), (2, 0.4), (3, 1.0)):
        name = f"{number}.pdf"
        with scene.documents.borrow(PagedFile(name, name, (number,), int(MAX_MEMBER * part), b"", ("a.zip", name))):
            pass
        if number == 2:
            assert [document.is_closed for document in scene.opened] == [True, False, False]
    assert [document.is_closed for document in scene.opened] == [True, True, True, False]


def test_a_document_that_failed_is_closed(files: list[Path]) -> None:
    """After an error a document is opened anew."""
    scene = Scene()
    with pytest.raises(ImageError), scene.documents.borrow(PagedFile.of(files[0])):
        raise ImageError
    assert scene.opened[0].is_closed
    assert not scene.use(files[0]).is_closed


def test_idle_documents_are_closed(files: list[Path]) -> None:
    """All documents are closed once none was used for some seconds; one timer watches them."""
    scene = Scene()
    scene.use(files[0])
    scene.now = 4.0
    document = scene.use(files[1])
    ((seconds, ring),) = scene.timers
    assert seconds == 10.0
    scene.now = 10.0
    ring()
    assert not document.is_closed
    assert [seconds for seconds, _ in scene.timers] == [10.0, 4.0]
    scene.now = 14.0
    scene.timers[1][1]()
    assert all(document.is_closed for document in scene.opened)
    scene.use(files[0])
    assert len(scene.timers) == 3


def test_a_child_of_a_fork_opens_its_own(files: list[Path]) -> None:
    """A forked process closes what its parent had opened, and starts a timer of its own."""
    scene = Scene()
    scene.use(files[0])
    child = os.fork()
    if child == 0:
        is_closed = scene.opened[0].is_closed
        scene.use(files[0])
        os._exit(0 if is_closed and (len(scene.opened), len(scene.timers)) == (2, 2) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not scene.opened[0].is_closed


def test_what_was_opened_before_a_fork(files: list[Path]) -> None:
    """After a fork nothing is open, and the next use starts a timer."""
    scene = Scene()
    document = scene.use(files[0])
    scene.documents.after_fork()
    assert document.is_closed
    scene.use(files[0])
    assert len(scene.timers) == 2


def test_no_timer_without_documents(files: list[Path]) -> None:
    """A timer that rings after everything was closed ends."""
    scene = Scene()
    scene.use(files[0])
    scene.documents.close()
    scene.now = 4.0
    scene.timers[0][1]()
    assert len(scene.timers) == 1


def test_without_a_thread_nothing_stays_open(files: list[Path]) -> None:
    """Without a timer, a document is closed at once."""

    def refuse(_: float, __: object) -> None:
        raise RuntimeError

    opened: list[Document] = []

    def open_document(file: PagedFile) -> Document:
        opened.append(Document(file))
        return opened[0]

    documents = OpenDocuments(open_document, threading.RLock(), start_timer=refuse)
    with documents.borrow(PagedFile.of(files[0])):
        pass
    assert opened[0].is_closed


def test_a_real_timer_ends_with_the_last_document(files: list[Path]) -> None:
    """The timer is a daemon thread that closes what is open."""
    closed = threading.Event()

    class Closing(Document):
        def close(self) -> None:
            closed.set()

    documents = OpenDocuments(Closing, threading.RLock(), idle=0.01)
    with documents.borrow(PagedFile.of(files[0])):
        assert all(thread.daemon or thread is threading.main_thread() for thread in threading.enumerate())
    assert closed.wait(30)
