"""Pictures of a zip archive are sources like those of a folder, by the same rules."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest
from PIL import Image as PILImage
from support.zips import Member, write_zip

from clova_ocr_async.batch import images_in
from clova_ocr_async.batch.hashing import file_at, size_to_read, stamp_of
from clova_ocr_async.batch.ledgered import is_gone
from clova_ocr_async.batch.sources.archives import members_in
from clova_ocr_async.batch.sources.exclusions import Exclusions
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.pages import count_pages, require_pages
from clova_ocr_async.protocol.image import ImageLimits

PNG = draw_sample("receipt").data
BMP = b"BM" + bytes(8) + (54).to_bytes(4, "little") + (40).to_bytes(4, "little") + bytes(40)


def found(archive: Path, *, recursive: bool = True) -> list[str]:
    """Return the names of the pictures of an archive."""
    return [str(path).removeprefix(f"{archive}!/") for path in images_in(archive, recursive)]


def test_pictures_of_an_archive_are_paths(tmp_path: Path) -> None:
    """An archive's pictures come in its order, with or without those of its folders."""
    archive = write_zip(tmp_path / "a.zip", Member(b"b.JPG"), Member(b"sub/a.png"), Member(b"sub/deep/c.heic"))
    assert found(archive) == ["b.JPG", "sub/a.png", "sub/deep/c.heic"]
    assert found(archive, recursive=False) == ["b.JPG"]


async def test_a_picture_of_an_archive_is_read_in_place(tmp_path: Path) -> None:
    """The client reads such a path as any other, under the name of the member, and writes nothing to the disk."""
    archive = write_zip(tmp_path / "a.zip", Member(b"sub/x.png", PNG))
    for path in images_in(archive):
        image = (await ImageLoader(ImageLimits()).load(path)).image
        assert (image.data, image.name) == (PNG, "x.png")
    assert [entry.name for entry in os.scandir(tmp_path)] == ["a.zip"]


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (Member(b"x.png", PNG, flags=1), "a.zip!/x.png: it is encrypted; unpack the archive"),
        (Member(b"x.png", bytes(30_000_000)), "a.zip!/x.png: it would grow to more than 500 times"),
        (Member(b"x.png", PNG, method=0, checksum=1), "a.zip!/x.png: it is broken"),
        (Member(b"x.png", PNG, size=60_000_000, packed=b"x" * 200_000), "image 'x.png' has 60,000,000 bytes"),
        (Member(b"other.png", PNG), "a.zip!/x.png: the archive has no such file"),
        (Member(b"x.png", b"PK\3\4" + PNG), "image 'x.png' is a zip archive"),
    ],
    ids=["encrypted", "bomb", "broken", "large", "missing", "zip"],
)
async def test_a_member_that_cannot_be_read_is_an_image_error(tmp_path: Path, member: Member, why: str) -> None:
    """A fault of a member is an error of that image, which names it."""
    archive = write_zip(tmp_path / "a.zip", member)
    with pytest.raises(ImageError) as error:
        await ImageLoader(ImageLimits()).load(f"{archive}!/x.png")
    assert str(error.value).removeprefix(f"{tmp_path}/").startswith(why)


async def test_an_archive_that_cannot_be_opened_is_an_image_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing disk is an error of the image, with the name of the archive."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.png", PNG))

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("clova_ocr_async.host.archives.open_to_read", failing)
    with pytest.raises(ImageError, match=r"a\.zip: Input/output error"):
        await ImageLoader(ImageLimits()).load(f"{archive}!/x.png")
    archive.touch()
    with pytest.raises(ConfigurationError, match=r"a\.zip: Input/output error"):
        images_in(archive)


def test_what_is_no_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    """Clutter of macOS, hidden files, links, unsafe names, repeated names and archives are counted by the reason."""
    archive = write_zip(
        tmp_path / "a.zip",
        Member(b"x.jpg", b"one"),
        Member(b"x.jpg", b"two"),
        Member(b"__MACOSX/._x.jpg"),
        Member(b"__MACOSX/y.jpg"),
        Member(b"sub/.thumbs/z.jpg"),
        Member(b"._x.jpg"),
        Member(b".DS_Store"),
        Member(b"../x.jpg"),
        Member(b"/x.jpg"),
        Member(b"link.jpg", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
        Member(b"inner.ZIP", b"PK\3\4"),
        Member(b"notes.txt", b"hello"),
        Member(b"Thumbs.db", b"\xff\xd8\xff"),
        Member(b"broken", b"\xff\xd8\xff", packed=b"\xff"),
    )
    exclusions = Exclusions()
    assert list(members_in(archive, exclusions=exclusions)) == [f"{archive}!/x.jpg"]
    assert exclusions.members == {
        "with the name of another member": 1,
        "in __MACOSX": 1,
        "in .thumbs": 1,
        "hidden": 2,
        "with an unsafe name": 2,
        "symbolic link": 1,
        "archive in an archive": 1,
        "with another ending": 3,
    }
    assert exclusions.summary().startswith("12 files left out: 12 in archives (3 with another ending, 2 hidden, 2 with")
    assert exclusions.way_out() == "to read them, unpack the archive"


def test_members_without_the_ending_of_a_picture_are_judged_by_content(tmp_path: Path) -> None:
    """A picture without an ending, or with an unknown one, is a picture."""
    archive = write_zip(tmp_path / "a.zip", Member(b"scan", PNG), Member(b"scan.1", BMP), Member(b"scan.cr2", PNG))
    exclusions = Exclusions()
    assert [path.rpartition("/")[2] for path in members_in(archive, exclusions=exclusions)] == ["scan", "scan.1"]
    assert exclusions.inclusions() == ("2 files are pictures by their first bytes, though not by name, and are read")


def test_what_is_no_archive_is_refused_by_the_call(tmp_path: Path) -> None:
    """A file that is not an archive is refused at once, by its name."""
    (tmp_path / "a.zip").write_bytes(PNG)
    with pytest.raises(ConfigurationError, match=r"a\.zip: it is not a zip archive, or a broken one"):
        images_in(tmp_path / "a.zip")
    with pytest.raises(ConfigurationError, match=r"b\.zip: No such file"):
        images_in(tmp_path / "b.zip")
    with pytest.raises(ConfigurationError, match=r"b\.zip: No such file"):
        members_in(tmp_path / "b.zip")


def test_an_archive_in_a_folder_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A walk does not look into archives; it counts them, and the way out is to give the archive itself."""
    write_zip(tmp_path / "a.zip", Member(b"x.jpg", PNG))
    exclusions = Exclusions()
    exclusions.archives = 1
    assert exclusions.way_out() == "to read it, give the zip archive itself as a PATH"
    with caplog.at_level(logging.INFO):
        assert list(images_in(tmp_path)) == []
    assert "1 file left out: 1 zip archive" in caplog.messages[-1]
    assert caplog.records[-1].levelno == logging.WARNING


def test_the_ways_out_are_told_together() -> None:
    """Files beside archives and files in them have a way out each."""
    exclusions = Exclusions()
    exclusions.archives = 2
    exclusions.members["hidden"] = 1
    assert exclusions.way_out() == (
        "to read them, give each zip archive as a PATH of its own; for those in archives unpack the archive"
    )
    exclusions.archives = 0
    assert exclusions.way_out() == "to read it, unpack the archive"


def test_files_without_the_ending_of_a_picture_are_judged_by_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a folder, too, the first bytes decide for files whose names do not; nothing but a file is opened."""
    (tmp_path / "scan").write_bytes(PNG)
    (tmp_path / "scan.dat").write_bytes(BMP)
    (tmp_path / "BM.txt").write_bytes(b"BM is short for bitmap, which is a format")
    (tmp_path / "raw.NEF").write_bytes(b"II*\0")
    (tmp_path / "x.jpg.part").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    with caplog.at_level(logging.INFO):
        assert {path.name for path in images_in(tmp_path)} == {"scan", "scan.dat"}
    assert "2 files are pictures by their first bytes" in caplog.messages[-2]
    assert "5 files left out: 5 with another ending" in caplog.messages[-1]


def test_a_file_that_cannot_be_looked_into_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without an ending that cannot be opened, or not read, is not a picture as far as is known."""
    (tmp_path / "scan").write_bytes(PNG)

    def failing(*_: object) -> int:
        raise OSError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr("clova_ocr_async.batch.sources.folders.open_to_read", failing)
        assert list(images_in(tmp_path)) == []
    with monkeypatch.context() as patched:
        patched.setattr("os.read", failing)
        assert list(images_in(tmp_path)) == []


def test_the_size_of_a_member_counts_and_not_that_of_its_archive(tmp_path: Path) -> None:
    """An archive of many pictures does not fill the memory of a batch with its first one."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.png", PNG), Member(b"y.png", bytes(5_000_000), method=0))
    assert size_to_read(f"{archive}!/x.png") == len(PNG)
    assert size_to_read(f"{archive}!/y.png") == 5_000_000
    assert size_to_read(f"{archive}!/z.png") == 0
    assert size_to_read(f"{tmp_path}/b.zip!/z.png") == 0


def test_a_member_is_as_old_as_its_archive(tmp_path: Path) -> None:
    """A finished picture of an archive is recognised by the archive's stamp, and is not there if it has no member."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.png", PNG))
    file = file_at(f"{archive}!/x.png")
    assert file is not None
    assert (file.path, file.stamp) == (os.fsencode(f"{archive}!/x.png"), stamp_of(archive.stat()))
    assert file_at(f"{archive}!/y.png") is None
    assert (is_gone(f"{archive}!/x.png"), is_gone(f"{archive}!/y.png")) == (False, True)


def test_pages_of_pictures_in_a_folder_and_in_an_archive(tmp_path: Path) -> None:
    """With pages each page of a file of several is yielded, and a wrong choice is refused by the call."""
    (tmp_path / "in").mkdir()
    first, second = (PILImage.new("L", (30 + number, 20)) for number in range(2))
    first.save(tmp_path / "in" / "fax.tif", save_all=True, append_images=[second])
    archive = write_zip(tmp_path / "a.zip", Member(b"fax.tif", (tmp_path / "in" / "fax.tif").read_bytes()))
    for root, name in ((tmp_path / "in", tmp_path / "in" / "fax.tif"), (archive, Path(f"{archive}!/fax.tif"))):
        assert list(images_in(root, pages="all")) == [Page(name, 1), Page(name, 2)]
        assert list(images_in(root, pages="2-5")) == [Page(name, 2)]
        with pytest.raises(ConfigurationError, match="'x' is neither a page nor a range"):
            images_in(root, pages="x")


def test_a_file_that_cannot_be_read_in_its_archive_has_no_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is yielded whole, and refused with its error when it is read."""
    archive = write_zip(
        tmp_path / "a.zip",
        Member(b"locked.tif", b"II*\0", flags=1),
        Member(b"large.tif", b"II*\0" + bytes(99), method=0),
    )
    monkeypatch.setattr("clova_ocr_async.pictures.paged_file.MAX_MEMBER", 100)
    assert count_pages(f"{archive}!/locked.tif") is None
    with pytest.raises(ImageError, match=r"a\.zip!/large\.tif: it is too large to be divided in its archive; unpack"):
        require_pages(f"{archive}!/large.tif")

    def failing(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("clova_ocr_async.pictures.paged_file.member_size", failing)
    with pytest.raises(ImageError, match=r"a\.zip: Input/output error"):
        require_pages(f"{archive}!/large.tif")
