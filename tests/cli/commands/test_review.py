"""A review on the command line: what a person corrects is kept, whatever ends the process."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from support.commands import CLOVA_OCR, PICTURES, clova_ocr, exported
from support.reviews import read, read_image
from support.stores import STORES

from clova_ocr_async.cli.runs.review_serving import ReviewSettings, reviewer_name, serve_review
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

TOTAL = "result.totalPrice.price"


@pytest.fixture
async def run(tmp_path: Path) -> Path:
    """A run of two receipts."""
    await read(STORES["sqlite"](tmp_path), "a.jpg", "b.jpg")
    return tmp_path / "run"


class Review:
    """A review in a process of its own."""

    def __init__(self, *arguments: str | Path) -> None:
        # No credentials, and no way to a service.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOVA_OCR_")}
        command = [*CLOVA_OCR, "review", *map(str, arguments)]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().decode().strip()
        self.origin, _, self.token = self.address.partition("/#token=")

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Send a request; return its status and its answer."""
        headers = {"X-Review-Token": self.token, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.origin + path, data, headers)  # noqa: S310 - the review's own address
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def correct(self, old: str, new: str) -> int:
        """Correct the total of the first receipt; return the status."""
        return self.ask("/api/correct", {"n": 0, "path": TOTAL, "old": old, "new": new})[0]

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        """End the process; return its exit code and what it printed."""
        self.process.send_signal(number)
        _, printed = self.process.communicate(timeout=30)
        return self.process.returncode, printed.decode()


@contextlib.contextmanager
def reviewed(*arguments: str | Path) -> Generator[Review]:
    """Review a run in a process of its own."""
    review = Review(*arguments)
    try:
        yield review
    finally:
        review.process.kill()
        review.process.communicate()


def answers(run: Path) -> list[Any]:
    """Return what a ledger has of answers and items."""
    with contextlib.closing(sqlite3.connect(run / LEDGER)) as db:
        return [*db.execute("SELECT * FROM answer"), *db.execute("SELECT * FROM item")]


def test_a_review_needs_no_credentials_and_ends_with_the_number_of_corrections(run: Path) -> None:
    """The address with a secret is all that is on standard output; Ctrl-C ends the review in order."""
    with reviewed(run, "--as", "minji") as review:
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/#token=[\w-]{43}", review.address)
        assert review.correct("5000", "6000") == 200
        assert review.ask("/api/done", {"n": 0, "done": True})[0] == 200
        code, printed = review.end()
    assert code == 0
    assert f"2 corrections kept in {run}" in printed
    assert review.token not in printed
    first, second = exported(run)
    assert [(one["kind"], one["new"], one["by"]) for one in first["corrections"]] == [
        ("correct", "6000", "minji"),
        ("done", None, "minji"),
    ]
    assert "corrections" not in second
    assert "reviewed   2 corrections" in clova_ocr("status", run).stdout


def test_a_killed_review_loses_no_acknowledged_correction(run: Path) -> None:
    """Killed in the middle of a hundred corrections, each one that was acknowledged is there, and no answer changed."""
    before = answers(run)
    acknowledged: list[int] = []
    enough = threading.Event()

    def correct(review: Review) -> None:
        for value in range(5000, 5100):
            if review.correct(str(value), str(value + 1)) == 200:
                acknowledged.append(value + 1)
            if len(acknowledged) == 37:
                enough.set()

    with reviewed(run) as review:
        person = threading.Thread(target=_until_cut, args=(correct, review))
        person.start()
        assert enough.wait(60)
        review.process.kill()
        person.join()
    assert answers(run) == before
    (entry,) = exported(run)[0]["corrections"]
    # The last one may have been recorded, and its acknowledgement cut off.
    assert int(entry["new"]) - acknowledged[-1] in {0, 1}
    assert entry["id"] == int(entry["new"]) - 5000
    with reviewed(run) as again:  # and the next review goes on from there
        assert again.correct(entry["new"], "7000") == 200


def _until_cut(work: Callable[[Review], None], review: Review) -> None:
    """Do something until the process does not answer any more."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        work(review)


def test_two_reviews_of_one_run_lose_nothing(run: Path) -> None:
    """Two processes at once each see what the other one has recorded, and write over nothing unseen."""
    with reviewed(run, "--as", "one") as one, reviewed(run, "--as", "other") as other:
        assert one.correct("5000", "6000") == 200
        status, answer = other.ask("/api/correct", {"n": 0, "path": TOTAL, "old": "5000", "new": "7000"})
        assert (status, next(field["t"] for field in answer["row"]["fields"] if field["p"] == TOTAL)) == (409, "6000")
        assert other.correct("6000", "7000") == 200
    assert [(entry["new"], entry["by"]) for entry in exported(run)[0]["corrections"]] == [("7000", "other")]


async def test_the_page_and_its_pictures(tmp_path: Path) -> None:
    """A browser is led to the page by a private file; the page holds nothing of the run, and pictures come whole."""
    picture = tmp_path / "canary.png"
    picture.write_bytes(PICTURES[0])
    async with STORES["sqlite"](tmp_path).open() as ledger:
        await read_image(ledger, str(picture), data=PICTURES[0])
        await read_image(ledger, "gone.jpg")
    loop, opened = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def browse(address: str) -> bool:
        place = Path(unquote(urlsplit(address).path))
        found = oct(place.stat().st_mode & 0o077), re.sub(r".*url=([^\"]*).*", r"\1", place.read_text())
        loop.call_soon_threadsafe(opened.set_result, found)
        return True

    settings = {"run": str(tmp_path / "run"), "by": "minji", "masked": False, "open_page": True}
    async with served(browse, **settings, environment={"LANG": "ko_KR.UTF-8"}):
        mode, address = await asyncio.wait_for(opened, 30)
        origin, _, token = address.partition("/#token=")
        assert mode == "0o0"
        shell = await asyncio.to_thread(_fetch, origin, "/", "")
        assert (b"canary" in shell, b'lang="ko"' in shell, b'"review":true' in shell) == (False, True, True)
        assert (await asyncio.to_thread(_fetch, origin, "/api/picture?n=0", token)).startswith(b"\x89PNG")
        gone = json.loads(await asyncio.to_thread(_fetch, origin, "/api/picture?n=1", token))
        assert "gone.jpg" in gone["error"]


async def test_a_machine_without_a_browser_is_no_trouble(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Where no browser can be opened, the address on standard output is enough."""
    asked = threading.Event()

    def browse(_: str) -> bool:
        asked.set()
        return False

    async with served(browse, run=str(run), by="minji", open_page=True, environment={}):
        await asyncio.to_thread(asked.wait, 30)
        async with asyncio.timeout(30):
            printed = ""
            while "no browser could be opened; open the address yourself" not in printed:
                printed += "".join(capfd.readouterr())
                await asyncio.sleep(0)
    assert "http://127.0.0.1:" in printed


@contextlib.asynccontextmanager
async def served(browse: Callable[[str], bool], **settings: Any) -> AsyncGenerator[None]:
    """Serve a review in this process, until the context is left as by a signal."""
    task = asyncio.create_task(serve_review(ReviewSettings(**settings), NoSeal(), browse))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _fetch(origin: str, path: str, token: str) -> bytes:
    request = urllib.request.Request(origin + path, headers={"X-Review-Token": token})  # noqa: S310 - the review's own address
    try:
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        return error.read()


async def test_a_sealed_run_is_reviewed_with_its_key(tmp_path: Path) -> None:
    """Without its key a sealed run is not opened; with it, corrections are sealed as the answers are."""
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    key.chmod(0o600)
    folder = tmp_path / "run"
    store = STORES["sqlite"](tmp_path)
    async with store.open(seal=AESGCMSeal(b"k" * 32)) as ledger:
        await read_image(ledger, "a.jpg")
    refused = await asyncio.to_thread(clova_ocr, "review", folder)
    assert (refused.exit_code, "this run is sealed" in refused.stderr) == (2, True)
    with reviewed(folder, "--key-file", key) as review:
        assert review.correct("5000", "canary 6000") == 200
        assert all(b"canary" not in path.read_bytes() for path in folder.iterdir())
        review.end(signal.SIGTERM)
    assert exported(folder, "--key-file", key)[0]["corrections"][0]["new"] == "canary 6000"


def test_a_run_that_cannot_be_read_to_its_end_ends_the_review(run: Path) -> None:
    """The address comes before the run is read; where it cannot be read, the command ends with the reason."""
    with contextlib.closing(sqlite3.connect(run / LEDGER)) as db:
        db.execute("ALTER TABLE correction RENAME COLUMN change TO gone")
    refused = clova_ocr("review", run)
    assert refused.stdout.startswith("http://127.0.0.1:")
    assert (refused.exit_code, "no such column: change" in refused.stderr) == (2, True)


def test_a_taken_port_is_named(run: Path) -> None:
    """A port that another program has is an error with its number."""
    with reviewed(run) as review:
        port = review.origin.rpartition(":")[2]
        refused = clova_ocr("review", run, "--port", port)
    assert refused.exit_code == 2
    assert f"cannot listen at port {port}: " in refused.stderr


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    """A folder without a ledger has nothing to review."""
    refused = clova_ocr("review", tmp_path / "nothing")
    assert (refused.exit_code, "is not there; give a run directory" in refused.stderr) == (2, True)


def test_an_unmasked_review_says_so(run: Path) -> None:
    """Showing numbers is said where the review is started, and lets them be corrected."""
    card = {"n": 0, "path": "result.paymentInfo.cardInfo.number", "old": "9410-1234-5678-9012", "new": "9410"}
    with reviewed(run, "--unmasked") as review:
        assert review.ask("/api/correct", card)[0] == 200
        _, printed = review.end()
    assert "the page shows resident, alien, passport, licence and card numbers" in printed


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "\udcff"])
def test_a_name_is_one_that_people_can_read(run: Path, name: str) -> None:
    """Corrections carry a name; a text that is not a name is refused before the run is opened."""
    refused = clova_ocr("review", run, "--as", name)
    assert (refused.exit_code, "1 to 100 printable characters" in refused.stderr) == (2, True)


def test_the_name_is_the_users_unless_another_is_given() -> None:
    """The user's name is the default; a user without one must give one."""

    def nameless() -> str:
        raise KeyError("uid not found")

    assert reviewer_name(None, lambda: "jun") == "jun"
    assert reviewer_name(" 민지 ", nameless) == "민지"
    with pytest.raises(ConfigurationError, match="give one, --as NAME"):
        reviewer_name(None, nameless)


# ---------------------------------------------------------------------------------------------------------------------
# Exports


@pytest.fixture
def corrected(run: Path) -> Path:
    """A run whose first receipt was corrected."""
    with reviewed(run, "--as", "minji") as review:
        assert review.correct("5000", "7,500원") == 200
        card = "result.storeInfo.name"
        assert review.ask("/api/correct", {"n": 0, "path": card, "old": "canary cafe", "new": "=cafe"})[0] == 200
    return run


def test_exports_have_corrected_columns(corrected: Path, tmp_path: Path) -> None:
    """Tables of every format have corrected values beside the answers, twice the same bytes, or none if not wanted."""
    names = ["store_name_corrected", "total_price_corrected", "total_price_corrected_text", "reviewed_by"]
    heading, first, second = csv.reader(clova_ocr("export", corrected, "--format", "csv").stdout.splitlines())
    assert heading[-6:] == ["possible_copy_of", *names, "reviewed_at"]
    assert first[-5:-1] == ["'=cafe", "7500", "7,500원", "minji"]
    assert second[-5:] == [""] * 5
    plain = clova_ocr("export", corrected, "--format", "csv", "--no-corrected").stdout
    assert "corrected" not in plain
    assert "reviewed" not in plain
    folder = tmp_path / "tables"
    for kind in ("xlsx", "parquet"):
        for name in "ab":
            output = folder / f"{name}.{kind}"
            folder.mkdir(exist_ok=True)
            assert clova_ocr("export", corrected, "--format", kind, "-o", output).exit_code == 0
        assert (folder / f"a.{kind}").read_bytes() == (folder / f"b.{kind}").read_bytes()
    assert all("corrections" not in record for record in exported(corrected, "--no-corrected"))


def test_the_schema_beside_tables_has_the_corrected_columns(corrected: Path, tmp_path: Path) -> None:
    """The description of the tables names the columns that they have."""
    folder = tmp_path / "tables"
    assert clova_ocr("export", corrected, "--format", "csv", "-o", f"{folder}{os.sep}").exit_code == 0
    tables = json.loads((folder / "schema.json").read_bytes())["tables"]
    assert [column["name"] for column in tables["receipt"]][-2:] == ["reviewed_by", "reviewed_at"]
    assert tables["receipt_items"][-1]["name"] == "price_text"
