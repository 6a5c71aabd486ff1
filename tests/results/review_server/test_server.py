"""The server of a review: the requests that it answers, and the headers of each answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from support.reviews import field_of, read, reviewing
from support.stores import STORES

from clova_ocr_async.errors import ConfigurationError, ImageError, LedgerError, RedactionError
from clova_ocr_async.results.review_server.server import ReviewServer
from clova_ocr_async.results.review_server.session import ReviewOptions, ReviewSession

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.stores import Store

    from clova_ocr_async.results.report.reading import Reading

SHELL = b"<!doctype html><title>review</title>"
PICTURE = b"\x89PNG\r\n\x1a\n"
TOKEN = "a token of this test"
TOTAL = "result.totalPrice.price"
CORRECT = {"n": 0, "path": TOTAL, "old": "5000", "new": "6000"}


def picture_of(reading: Reading) -> bytes:
    """Return the picture of a record."""
    assert reading.record.path is not None
    errors = {"gone.jpg": ImageError("it is gone"), "plain.jpg": RedactionError("it shows a number")}
    if (error := errors.get(reading.record.path)) is not None:
        raise error
    if reading.record.path == "no-library.jpg":
        raise ConfigurationError("showing a picture needs PIL: pip install")
    return PICTURE if reading.record.path == "a.jpg" else b"\xff\xd8\xff"


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    """A run of some images in memory."""
    run = STORES["memory"](tmp_path)
    await read(run, "a.jpg", "b.jpg", "gone.jpg", "plain.jpg", "no-library.jpg")
    return run


def serving(store: Store, **settings: Any) -> ReviewServer:
    """Return a server of a review of a run."""
    return ReviewServer(partial(reviewing, store), SHELL, picture_of, make_token=lambda _: TOKEN, **settings)


@pytest_asyncio.fixture
async def server(store: Store) -> AsyncGenerator[ReviewServer]:
    """A server that runs."""
    async with serving(store) as running:
        yield running


def origin_of(server: ReviewServer) -> str:
    """Return the address of a server without its page."""
    return server.address.partition("/#")[0]


async def ask(
    server: ReviewServer,
    path: str,
    body: Any = None,
    *,
    token: str | None = TOKEN,
    headers: Any = None,
    data: Any = None,
) -> tuple[int, Any]:
    """Send a request; return its status and its answer."""
    given = {"X-Review-Token": token} if token is not None else {}
    method = "GET" if body is None and data is None else "POST"
    sent = {"data": data} if data is not None else {"json": body}
    async with aiohttp.request(method, origin_of(server) + path, headers=given | (headers or {}), **sent) as response:
        text = await response.read()
        return response.status, json.loads(text) if response.content_type == "application/json" else text


async def raw(server: ReviewServer, request: str) -> str:
    """Send a request byte for byte; return the answer."""
    port = int(origin_of(server).rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.replace("\n", "\r\n").replace("PORT", str(port)).encode())
    answer = await reader.read()
    writer.close()
    return answer.decode()


# ---------------------------------------------------------------------------------------------------------------------
# Who is answered


async def test_the_page_comes_without_a_token_and_without_data(server: ReviewServer) -> None:
    """A browser sends no fragment, so any program on the machine gets the page, which holds nothing of the run."""
    assert await ask(server, "/", token=None) == (200, SHELL)


@pytest.mark.parametrize("path", ["/api/rows?from=0", "/api/row?n=0", "/api/picture?n=0", "/api/corrections", "/?n=0"])
@pytest.mark.parametrize("token", [None, "", "wrong", "a token of this tesT", "\udcff"])
async def test_data_need_the_token(server: ReviewServer, path: str, token: str | None) -> None:
    """Without the token of the printed address nothing of the run is given out, whatever is asked for."""
    status, answer = await ask(server, path, token=token)
    assert status == 403
    assert "the token is missing or wrong; open the address that the command has printed" in answer["error"]


async def test_changes_need_the_token(server: ReviewServer, store: Store) -> None:
    """Without the token nothing is changed."""
    for name, body in (
        ("correct", CORRECT),
        ("confirm", CORRECT),
        ("done", {"n": 0, "done": True}),
        ("undo", {"id": 1}),
    ):
        assert (await ask(server, f"/api/{name}", body, token=None))[0] == 403
    with store.view() as view:
        assert list(view.corrections()) == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1", "[::1]:PORT", ""])
@pytest.mark.parametrize("path", ["/", "/api/rows?from=0"])
async def test_another_host_is_refused(server: ReviewServer, host: str, path: str) -> None:
    """A page of another site whose name points here gets nothing, not even with the token."""
    answer = await raw(server, f"GET {path} HTTP/1.1\nHost: {host}\nX-Review-Token: {TOKEN}\nConnection: close\n\n")
    assert answer.startswith("HTTP/1.1 403 ")
    assert "names another host" in answer


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:PORT", "http://127.0.0.1:1"])
async def test_another_origin_is_refused(server: ReviewServer, store: Store, origin: str) -> None:
    """A request that a page of another site sends is refused, and changes nothing."""
    headers = {"Origin": origin.replace("PORT", origin_of(server).rpartition(":")[2])}
    for path, body in (("/", None), ("/api/rows?from=0", None), ("/api/correct", CORRECT)):
        status, answer = await ask(server, path, body, headers=headers)
        assert (status, "comes from another site" in answer["error"]) == (403, True)
    with store.view() as view:
        assert list(view.corrections()) == []


async def test_its_own_page_is_answered(server: ReviewServer) -> None:
    """Requests of the page itself name its host and its origin, by either name of the loopback address."""
    port = origin_of(server).rpartition(":")[2]
    for name in ("127.0.0.1", "localhost"):
        headers = {"Origin": f"http://{name}:{port}", "Host": f"{name}:{port}"}
        assert (await ask(server, "/api/rows?from=0", headers=headers))[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../etc/passwd", "/api/../../etc/passwd", "/%2e%2e/etc/passwd", "/api/picture/../../x", "/..", "//etc/passwd"],
)
async def test_no_path_leads_to_a_file(server: ReviewServer, path: str) -> None:
    """Nothing but the page and the API has an address, with and without the token."""
    request = f"GET {path} HTTP/1.1\nHost: 127.0.0.1:PORT\nConnection: close\n"
    assert (await raw(server, f"{request}\n")).startswith("HTTP/1.1 403 ")
    assert (await raw(server, f"{request}X-Review-Token: {TOKEN}\n\n")).startswith("HTTP/1.1 404 ")


async def test_every_answer_has_the_headers_of_a_private_page(server: ReviewServer) -> None:
    """No answer is stored, guessed the type of, framed, or named to another site; none but the page runs a script."""
    origin = origin_of(server)
    for path, policy in (
        ("/", "frame-ancestors 'none'"),
        ("/api/rows?from=0", "default-src 'none'"),
        ("/x", "default-src"),
    ):
        async with aiohttp.request("GET", origin + path, headers={"X-Review-Token": TOKEN}) as response:
            assert policy in response.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            found = {name: response.headers[name] for name in ("Cache-Control", "X-Content-Type-Options", "Server")}
            assert found == {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "clova-ocr"}
            assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_no_log_holds_the_token(server: ReviewServer, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is asked for and refused, the token is in no log."""
    caplog.set_level(logging.DEBUG)
    for path in ("/", "/api/rows?from=0", "/api/rows?from=x", "/x"):
        await ask(server, path)
    assert TOKEN not in caplog.text


def test_the_address_holds_a_long_secret(store: Store) -> None:
    """The token has 256 bits, is in the fragment, and is another one each time."""
    servers = [ReviewServer(partial(reviewing, store), SHELL, picture_of) for _ in range(2)]
    fragments = {server.address.partition("#token=")[2] for server in servers}
    assert len(fragments) == 2
    assert all(len(fragment) == 43 for fragment in fragments)


# ---------------------------------------------------------------------------------------------------------------------
# What is asked for


async def test_rows_are_read_and_changed(server: ReviewServer) -> None:
    """The page loads rows, changes them, and gets each row back as it is then."""
    status, answer = await ask(server, "/api/rows?from=0")
    assert (status, len(answer["rows"]), answer["next"], answer["run"]["by"]) == (200, 5, None, "minji")
    status, answer = await ask(server, "/api/correct", CORRECT)
    assert (status, answer["id"], field_of(answer["row"], TOTAL)["t"]) == (200, 1, "6000")
    assert (await ask(server, "/api/row?n=0"))[1]["row"] == answer["row"]
    status, answer = await ask(server, "/api/confirm", {"n": 1, "path": TOTAL})
    assert (status, answer["id"], answer["row"]["n"]) == (200, 2, 1)
    assert (await ask(server, "/api/done", {"n": 0, "done": True}))[1]["row"]["review"]["done"] is True
    status, answer = await ask(server, "/api/undo", {"id": 1})
    assert (status, field_of(answer["row"], TOTAL)["v"]) == (200, "5000")
    status, answer = await ask(server, "/api/corrections")
    assert [(one["n"], one["kind"]) for one in answer["corrections"]] == [
        (0, "correct"),
        (1, "confirm"),
        (0, "done"),
        (0, "undo"),
    ]


async def test_two_tabs_lose_nothing(server: ReviewServer) -> None:
    """Of many changes of one value at once, one is recorded for each value that was seen; the others get the row."""
    answers = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(server, "/api/correct", CORRECT | {"new": f"600{tab}"})) for tab in range(8)]
    answers = [task.result() for task in tasks]
    assert sorted(status for status, _ in answers) == [200] + [409] * 7
    (recorded,) = (answer for status, answer in answers if status == 200)
    value = field_of(recorded["row"], TOTAL)["t"]
    assert {field_of(answer["row"], TOTAL)["t"] for status, answer in answers if status == 409} == {value}
    assert len((await ask(server, "/api/corrections"))[1]["corrections"]) == 1


async def test_pictures_come_by_the_number_of_their_row(server: ReviewServer) -> None:
    """A picture comes with its type; one that cannot be shown is a reason."""
    async with aiohttp.request(
        "GET", f"{origin_of(server)}/api/picture?n=0", headers={"X-Review-Token": TOKEN}
    ) as found:
        assert (found.content_type, await found.read()) == ("image/png", PICTURE)
    async with aiohttp.request(
        "GET", f"{origin_of(server)}/api/picture?n=1", headers={"X-Review-Token": TOKEN}
    ) as found:
        assert found.content_type == "image/jpeg"
    for number, reason in enumerate(["it is gone", "it shows a number", "pip install"], 2):
        status, answer = await ask(server, f"/api/picture?n={number}")
        assert (status, reason in answer["error"]) == (404, True)


async def test_the_reason_why_there_is_no_picture_is_masked_as_the_page_is(tmp_path: Path) -> None:
    """The name of a file that is gone may hold the resident number of its picture; only an unmasked page shows it."""
    run = STORES["memory"](tmp_path)
    await read(run, "900101-1234567.jpg")

    def gone(reading: Reading) -> bytes:
        raise ImageError(f"{reading.record.path} is gone")

    for masked, name in ((True, "900101-*******.jpg"), (False, "900101-1234567.jpg")):
        opened = partial(reviewing, run, masked=masked)
        async with ReviewServer(opened, SHELL, gone, make_token=lambda _: TOKEN) as server:
            assert await ask(server, "/api/picture?n=0") == (404, {"error": f"{name} is gone"})


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/row", 400),
        ("/api/row?n=", 400),
        ("/api/row?n=-1", 400),
        ("/api/row?n=0&n=1", 400),
        ("/api/row?n=0&path=/etc/passwd", 400),
        ("/api/row?n=%EF%BC%91", 400),
        ("/api/row?n=99", 404),
        ("/api/picture?n=99", 404),
        ("/api/row?n=" + "9" * 30, 404),
        ("/api/correct", 405),
    ],
)
async def test_a_query_names_a_row_and_nothing_else(server: ReviewServer, path: str, status: int) -> None:
    """A query is one number; a row beyond the run is not there."""
    found, answer = await ask(server, path)
    assert (found, set(answer)) == (status, {"error"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({**CORRECT, "n": 99}, 404),
        ({**CORRECT, "n": True}, 400),
        ({**CORRECT, "path": "result.unknown"}, 400),
        ({**CORRECT, "path": "result.paymentInfo.cardInfo.number"}, 403),
        ({**CORRECT, "new": "a\nb"}, 400),
        ({**CORRECT, "more": 1}, 400),
        ([], 400),
    ],
)
async def test_a_change_of_another_form_is_refused(server: ReviewServer, body: Any, status: int) -> None:
    """A change has its keys and no others, of a row and a field that are there."""
    found, answer = await ask(server, "/api/correct", body)
    assert (found, set(answer)) == (status, {"error"})


@pytest.mark.parametrize("data", [b"{", b"\xff", b'{"n":0,"path":"\\ud800","old":"","new":""}', b"[" * 60_000])
async def test_a_body_that_is_no_json_is_refused(server: ReviewServer, data: bytes) -> None:
    """Broken bodies are refused in words."""
    status, answer = await ask(server, "/api/correct", data=data, headers={"Content-Type": "application/json"})
    assert (status, "of the right form" in answer["error"]) == (400, True)


async def test_bodies_are_bounded_and_typed(server: ReviewServer) -> None:
    """A body beyond any change is refused unread, and so is one that a form of another site could send."""
    large = json.dumps(CORRECT | {"new": "x" * 100_000}).encode()
    headers = {"Content-Type": "application/json"}
    assert (await ask(server, "/api/correct", data=large, headers=headers))[0] == 413
    status, answer = await ask(server, "/api/correct", data=json.dumps(CORRECT), headers={"Content-Type": "text/plain"})
    assert (status, answer["error"]) == (400, "a change is sent as application/json")


async def test_a_body_that_cannot_be_unpacked_is_refused(server: ReviewServer) -> None:
    """A body that is not packed as it says is the sender's mistake, and no failure of the server."""
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    status, answer = await ask(server, "/api/correct", data=b"{}", headers=headers)
    assert (status, "did not arrive whole" in answer["error"]) == (400, True)


# ---------------------------------------------------------------------------------------------------------------------
# Beginning and end


async def test_the_number_of_changes_is_known_at_the_end(store: Store) -> None:
    """The server knows how many changes it has recorded once it has ended, and its port is free again."""
    async with serving(store) as server:
        await ask(server, "/api/correct", CORRECT)
        await ask(server, "/api/done", {"n": 1, "done": True})
    assert server.recorded == 2
    async with serving(store, port=int(origin_of(server).rpartition(":")[2])):
        pass


async def send_half_a_change(server: ReviewServer) -> asyncio.StreamWriter:
    """Send a change of which the end is missing, and return the connection."""
    port = int(origin_of(server).rpartition(":")[2])
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /api/correct HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Review-Token: {TOKEN}\r\n"
        "Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{".encode()
    )
    return writer


async def test_a_request_without_an_end_does_not_hold_the_server(store: Store) -> None:
    """A client that sends half of a change and then nothing holds the end of the review for some seconds only."""
    async with asyncio.timeout(30), serving(store, patience=0.1) as server:
        writer = await send_half_a_change(server)
        assert (await ask(server, "/api/row?n=0"))[0] == 200
    writer.close()


@pytest.mark.parametrize(
    "request_text",
    [
        f"GET /{'a' * 9000} HTTP/1.1\nHost: 127.0.0.1:PORT\n\n",
        f"GET / HTTP/1.1\nHost: 127.0.0.1:PORT\nX-Long: {'a' * 9000}\n\n",
        "GET / HTTP/9.9\n\n",
        (
            f"POST /api/undo HTTP/1.1\nHost: 127.0.0.1:PORT\nX-Review-Token: {TOKEN}\nConnection: close\n"
            "Content-Type: application/json\nContent-Encoding: gzip\nContent-Length: 5\n\nhello"
        ),
    ],
)
async def test_a_request_that_cannot_be_parsed_leaves_no_traceback(
    server: ReviewServer, caplog: pytest.LogCaptureFixture, request_text: str
) -> None:
    """A web page of any site can send an address that is too long; it is refused, and the terminal shows nothing."""
    assert " 400 " in (await raw(server, request_text)).partition("\r")[0]
    assert [record.message for record in caplog.records] == []


async def test_an_error_of_the_server_itself_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of the program is not hidden with those of requests."""

    def broken(_: Reading) -> bytes:
        raise ZeroDivisionError

    maker = partial(reviewing, store)
    async with ReviewServer(maker, SHELL, broken, make_token=lambda _: TOKEN) as server:
        await server.loaded()
        assert (await ask(server, "/api/picture?n=0"))[0] == 500
    assert any(record.exc_info and record.exc_info[0] is ZeroDivisionError for record in caplog.records)


async def test_a_tab_that_is_closed_in_the_middle_leaves_no_trace(
    server: ReviewServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser that goes away while it sends a change is not an error of the server."""
    writer = await send_half_a_change(server)
    assert (await ask(server, "/api/row?n=0"))[0] == 200
    writer.close()
    await writer.wait_closed()
    assert (await ask(server, "/api/row?n=0"))[0] == 200
    assert [record.message for record in caplog.records] == []


async def test_a_port_that_is_taken_is_an_error(server: ReviewServer, store: Store) -> None:
    """A second server on one port does not begin, and leaves the run closed."""
    other = serving(store, port=int(origin_of(server).rpartition(":")[2]))
    with pytest.raises(ConfigurationError, match=r"cannot listen at port [0-9]+: .*in use"):
        await other.__aenter__()
    assert other.recorded == 0


async def test_a_run_that_cannot_be_opened_is_an_error() -> None:
    """The error of the run is that of the server, which does not begin."""

    def refused() -> AbstractContextManager[ReviewSession]:
        raise LedgerError("there is no run")

    with pytest.raises(LedgerError, match="there is no run"):
        await ReviewServer(refused, SHELL, picture_of).__aenter__()


async def test_requests_are_answered_while_the_run_is_read(store: Store) -> None:
    """The page gets what was read so far; the server ends at once, and leaves the run closed, although more is left."""
    goes_on = threading.Event()
    closed = []

    class Slow(ReviewSession):
        """A session that waits before it reads."""

        def load_more(self) -> bool:
            """Read nothing, and say that more is left, until the test goes on."""
            return super().load_more() if goes_on.is_set() else True

        def close(self) -> None:
            """Note that it was closed."""
            closed.append(self)

    @contextlib.contextmanager
    def slow() -> Generator[ReviewSession]:
        options = ReviewOptions(by="minji", policy=None, facts={}, retry=lambda _documents, _options: "")
        with store.correct() as record, store.view() as view:
            yield Slow(view, record, options)

    async with ReviewServer(slow, SHELL, picture_of, make_token=lambda _: TOKEN) as server:
        assert (await ask(server, "/api/rows?from=0"))[1]["rows"] == []
        assert (await ask(server, "/api/done", {"n": 0, "done": True}))[0] == 404
        assert (await ask(server, "/api/corrections"))[0] == 503
        goes_on.set()
        await server.loaded()
        assert len((await ask(server, "/api/rows?from=0"))[1]["rows"]) == 5
        goes_on.clear()
    async with ReviewServer(slow, SHELL, picture_of, make_token=lambda _: TOKEN):
        pass
    assert len(closed) == 2


async def test_a_run_that_cannot_be_read_to_its_end_is_an_error(store: Store) -> None:
    """The page and the command get the reason why the rest of the run is not shown."""

    class Broken(ReviewSession):
        """A session of a run whose file is damaged."""

        def load_more(self) -> bool:
            """Fail."""
            raise LedgerError("the run is damaged")

    @contextlib.contextmanager
    def damaged() -> Generator[ReviewSession]:
        options = ReviewOptions(by="minji", policy=None, facts={}, retry=lambda _documents, _options: "")
        with store.correct() as record, store.view() as view:
            yield Broken(view, record, options)

    async with ReviewServer(damaged, SHELL, picture_of, make_token=lambda _: TOKEN) as server:
        with pytest.raises(LedgerError, match="the run is damaged"):
            await server.loaded()
        assert await ask(server, "/api/rows?from=0") == (503, {"error": "the run is damaged"})


async def test_a_run_that_cannot_be_written_is_a_problem_in_words(store: Store) -> None:
    """While the run cannot be written a change is refused with the reason, in the words of the place."""

    class Locked:
        """A record of corrections that another program keeps locked."""

        def append(self, *_: object, **_settings: object) -> Any:
            """Refuse."""
            raise LedgerError("another program keeps the ledger locked")

    @contextlib.contextmanager
    def broken() -> Generator[ReviewSession]:
        options = ReviewOptions(by="minji", policy=None, facts={}, retry=lambda _documents, _options: "")
        with store.view() as view:
            session = ReviewSession(view, Locked(), options)  # type: ignore[arg-type]
            yield session

    async with ReviewServer(broken, SHELL, picture_of, make_token=lambda _: TOKEN, words=str.upper) as server:
        await server.loaded()
        status, answer = await ask(server, "/api/confirm", {"n": 0, "path": TOTAL})
    assert (status, answer["error"]) == (503, "ANOTHER PROGRAM KEEPS THE LEDGER LOCKED")
