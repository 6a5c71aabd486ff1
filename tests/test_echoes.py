from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import JPEG

from clova_ocr_async import (
    BatchDispatcher,
    ClovaOCRClient,
    ClovaOCRError,
    Domain,
    Emulator,
    Failure,
    Image,
    ImageLimits,
    LocalSlots,
    Receipt,
    RetryPolicy,
    SqliteLedger,
    images_in,
)
from clova_ocr_async.batch.sources.manifest import images_from
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.ledger import load_seal

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "http://127.0.0.1:1/custom/v1/1/key"
CANARY = "canary"
BASE64 = base64.b64encode(b"\xff\xd8\xff" + b"canary " * 20_000).decode()
SECRETS = [
    BASE64,
    "data:image/jpeg;base64," + BASE64,
    f"https://bucket.example/a.jpg?X-Amz-Signature={CANARY}",
    f"https://user:{CANARY}@bucket.example/a.jpg",
    '{"images": [{"data": "' + BASE64 + '"}]}',
    str(b"\xff\xd8\xff" + CANARY.encode() * 999),
]
LONGEST = 1000  # characters of a message that lists all faults


def printed(error: BaseException) -> str:
    """Return the printed forms of an error."""
    return f"{error} {error!r}"


def check(message: str, given: str) -> None:
    """Check that a message is short and repeats nothing of what was given."""
    assert CANARY not in message
    assert given[-40:] not in message
    assert len(message) < 2 * LONGEST


@pytest.mark.parametrize("make", [str, Path])
@pytest.mark.parametrize("given", SECRETS)
async def test_an_image_that_is_no_path_is_named_and_not_repeated(given: str, make: Callable[[str], Any]) -> None:
    """A text that is the image, or a URL of it, is named by its kind with a way out, and never repeated."""
    with pytest.raises(ClovaOCRError, match=r"the image is .*, not a path; ") as caught:
        await ImageLoader(ImageLimits()).load(make(given))
    check(printed(caught.value), given)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    async with (
        ClovaOCRClient(Domain(URL, "s")) as client,
        BatchDispatcher(client).dispatch([given], Receipt) as outcomes,
    ):
        async for outcome in outcomes:
            assert isinstance(outcome, Failure)
            check(repr(outcome), given)


@pytest.mark.parametrize("given", SECRETS)
def test_every_call_keeps_silent(given: str, tmp_path: Path) -> None:
    """Such a text in the place of any argument is named by its kind at most."""
    picture = draw_sample("receipt").data
    calls: list[Callable[[], object]] = [
        lambda: Image(b"GIF89a", given),
        lambda: Image(picture, "scan", given),
        lambda: ImageLimits(max_bytes=given),  # type: ignore[arg-type]
        lambda: ImageLimits(formats=[given]),
        lambda: ImageLimits(allow_truncated=given),  # type: ignore[arg-type]
        lambda: RetryPolicy(ambiguous=given),  # type: ignore[arg-type]
        lambda: RetryPolicy(max_attempts=given),  # type: ignore[arg-type]
        lambda: LocalSlots(given),  # type: ignore[arg-type]
        lambda: Domain(given, "s"),
        lambda: Domain(URL, "s", document=given),  # type: ignore[arg-type]
        lambda: ClovaOCRClient(Domain(URL, "s"), deadline=given),  # type: ignore[arg-type]
        lambda: ClovaOCRClient(Domain(URL, "s"), content=given),  # type: ignore[arg-type]
        lambda: ClovaOCRClient.from_config(given),
        lambda: BatchDispatcher(ClovaOCRClient(Domain(URL, "s")), given),  # type: ignore[arg-type]
        lambda: SqliteLedger(tmp_path, store=given),  # type: ignore[arg-type]
        lambda: images_in(given),
        lambda: images_from(given),
        lambda: load_seal(given, {}),
        lambda: load_seal(None, {"CLOVA_OCR_KEY_FILE": given}),
        lambda: Emulator(host=given),
        lambda: Emulator(faults=[given]),
        lambda: Emulator(documents=[given]),
        lambda: Emulator(concurrency=given),  # type: ignore[arg-type]
        lambda: draw_sample(given),
        lambda: draw_sample("receipt", format=given),
    ]
    for call in calls:
        with pytest.raises(ValueError) if call in calls[-2:] else pytest.raises(ClovaOCRError) as caught:  # noqa: PT011 - samples' own
            call()
        check(printed(caught.value), given)
    check(repr(Image(picture, given)), given)


@pytest.mark.parametrize("number", [10**400, -(10**400), 10**5000], ids=["large", "low", "huge"])
def test_a_number_too_large_for_anything_is_refused_by_name(number: int) -> None:
    """A number that no float can hold is refused like any other wrong one, and not repeated."""
    calls: list[Callable[[], object]] = [
        lambda: ClovaOCRClient(Domain(URL, "s"), deadline=number),
        lambda: RetryPolicy(quota_cap=number),
        lambda: LocalSlots(max_per_second=number),
        lambda: Emulator(latency=number),
        lambda: ImageLimits(max_side=-abs(number)),
    ]
    for call in calls:
        with pytest.raises(ClovaOCRError, match=r"is not finite; it must be|is less than 1; it must be") as caught:
            call()
        assert len(str(caught.value)) < LONGEST


def test_a_key_in_the_place_of_its_file_is_not_repeated() -> None:
    """A key in the place of the path of a key file is named as a key, in every form of a key."""
    key = bytes(range(32))
    for text in (key.hex(), base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode().rstrip("=")):
        with pytest.raises(ClovaOCRError, match="a key is given where the path of its file belongs") as caught:
            load_seal(None, {"CLOVA_OCR_KEY_FILE": text})
        assert text not in printed(caught.value)


def test_an_invoke_key_behind_document_is_not_repeated() -> None:
    """A URL with its key where the document belongs is refused without the key; a misspelt document is named."""
    with pytest.raises(ClovaOCRError, match=r"ends in /document/\*\*\*; documents are"):
        Domain("https://a.apigw.ntruss.com/custom/v1/1/document/0123456789abcdef", "s")
    with pytest.raises(ClovaOCRError, match="ends in /document/receit; documents are"):
        Domain("https://a.apigw.ntruss.com/custom/v1/1/k/document/receit", "s")


async def test_a_file_is_read_from_its_start() -> None:
    """A file that stands at its end is read from its start, and an empty one is named as empty."""
    spent = io.BytesIO(JPEG)
    spent.read()
    assert (await ImageLoader(ImageLimits()).load(spent)).image.data == JPEG
    with pytest.raises(ClovaOCRError, match="is empty"):
        await ImageLoader(ImageLimits()).load(io.BytesIO())


class Mute(io.BytesIO):
    """A file whose position is unknown."""

    def tell(self) -> int:
        """Fail as a pipe does."""
        raise OSError("not seekable")


async def test_a_file_without_a_position_is_empty() -> None:
    """A file whose position is unknown is refused as empty."""
    with pytest.raises(ClovaOCRError, match="is empty"):
        await ImageLoader(ImageLimits()).load(Mute())


async def test_paths_in_bytes_are_read(tmp_path: Path) -> None:
    """An entry of os.scandir of a folder in bytes is a path, and bytes with a path are named as one."""
    (tmp_path / "lunch.jpg").write_bytes(JPEG)
    with os.scandir(os.fsencode(tmp_path)) as entries:
        (entry,) = entries
    image = (await ImageLoader(ImageLimits()).load(entry)).image  # type: ignore[arg-type]
    assert (image.data, image.name) == (JPEG, "lunch.jpg")
    with pytest.raises(ClovaOCRError, match=r"is the path of a file as bytes, .*; pass it as a str or a Path"):
        Image(b"scans/lunch.jpg")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"https://bucket.example/a.jpg?sig=canary", "a URL"),
        (b'{"data": "canary"}', "JSON text"),
        (base64.b64encode(b"\x07" * 300), "base64"),
        (b"canary in a coal mine", "plain text"),
    ],
)
def test_bytes_that_are_text_are_named(data: bytes, kind: str) -> None:
    """Bytes with a URL, JSON or base64 are named by that kind, and not repeated."""
    with pytest.raises(ClovaOCRError, match=kind) as caught:
        Image(data)
    check(printed(caught.value), data.decode())


async def test_names_steer_no_terminal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A name with line ends, escape sequences or changes of direction is escaped in errors, logs and outcomes."""
    name = "a\n\x1b[31m\x9b\u202eb.jpg"
    (tmp_path / name).symlink_to(tmp_path)
    caplog.set_level("DEBUG")
    assert list(images_in(tmp_path)) == []
    with pytest.raises(ClovaOCRError) as caught:
        await ImageLoader(ImageLimits()).load(tmp_path / name)
    failure = Failure(tmp_path / name, caught.value)
    with pytest.raises(ClovaOCRError) as missing:
        images_in(tmp_path / (name + "x"))
    with pytest.raises(ClovaOCRError) as unlisted:
        images_from(tmp_path / (name + "x"))
    for message in (
        printed(caught.value),
        repr(failure),
        caplog.messages[0],
        printed(missing.value),
        printed(unlisted.value),
    ):
        assert not set(message) & set("\n\x1b\x9b\u202e")
        assert "[31m" in message


async def test_an_empty_path_is_named() -> None:
    """The message about an empty path names it, and does not begin with a colon."""
    async with ClovaOCRClient(Domain(URL, CANARY)) as client:
        with pytest.raises(ClovaOCRError, match=r"^an empty name: No such file"):
            await client.recognize("", Receipt)
