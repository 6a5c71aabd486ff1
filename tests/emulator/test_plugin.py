import subprocess
import sys

import pytest

from clova_ocr_async.client import RetryPolicy

pytest_plugins = ["pytester"]

ARGUMENTS = (
    "--disable-plugin-autoload",
    *("-p", "clova_ocr_async.emulator.pytest_plugin"),
    *("-p", "no:cacheprovider"),
    *("-W", "error"),
    "--strict-markers",
)
CALL = """
import http.client
import json
from urllib.parse import urlsplit

import pytest

def call(clova):
    image = {"format": "png", "name": "demo", "data": "aGVsbG8="}
    message = {"version": "V2", "requestId": "id", "timestamp": 0, "images": [image]}
    url = urlsplit(clova.url("receipt"))
    connection = http.client.HTTPConnection(url.hostname, url.port)
    connection.request("POST", url.path, json.dumps(message), {"X-OCR-SECRET": clova.secret})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status
"""


def test_the_fixture_listens_while_a_test_runs(pytester: pytest.Pytester) -> None:
    """Each test with the fixture gets a new running emulator, with and without asyncio."""
    pytester.makepyfile(
        CALL
        + """
import asyncio

def test_one(clova_emulator):
    assert call(clova_emulator) == 200
    assert clova_emulator.requests == 1

def test_another(clova_emulator):
    assert clova_emulator.requests == 0

def test_in_a_loop(clova_emulator):
    async def main():
        return call(clova_emulator)
    assert asyncio.run(main()) == 200
"""
    )
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=3)


def test_the_marker_gives_the_settings(pytester: pytest.Pytester) -> None:
    """The closest marker's settings are the emulator's; pytest knows the marker, also when it is strict."""
    pytester.makepyfile(
        CALL
        + """
@pytest.mark.clova_emulator(secret="outer", quota=0)
class TestMarked:
    def test_far(self, clova_emulator):
        assert (clova_emulator.secret, call(clova_emulator)) == ("outer", 400)

    @pytest.mark.clova_emulator(faults=["not-deployed", None])
    def test_close(self, clova_emulator):
        assert clova_emulator.secret != "outer"
        assert [call(clova_emulator), call(clova_emulator)] == [500, 200]
"""
    )
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=2)
    printed = pytester.runpytest_subprocess(*ARGUMENTS, "--markers")
    printed.stdout.fnmatch_lines(["@pytest.mark.clova_emulator(**settings)*"])


def test_a_marker_that_cannot_work_is_an_error(pytester: pytest.Pytester) -> None:
    """A wrong or positional setting is an error of the test that names the reason."""
    pytester.makepyfile(
        CALL
        + """
@pytest.mark.clova_emulator(faults=["silense"])
def test_a_wrong_name(clova_emulator):
    pass

@pytest.mark.clova_emulator("silence")
def test_no_name(clova_emulator):
    pass
"""
    )
    result = pytester.runpytest_subprocess(*ARGUMENTS)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*ConfigurationError: 'silense' is not a valid Fault; faults are *", "*TypeError*"])


def test_a_run_without_the_fixture_loads_nothing_heavy(pytester: pytest.Pytester) -> None:
    """A run without the fixture imports neither a server nor a picture library."""
    pytester.makepyfile(
        """
import sys

def test_nothing_is_loaded():
    assert "clova_ocr_async.emulator.pytest_plugin" in sys.modules
    assert not {"aiohttp", "PIL", "msgspec", "clova_ocr_async.emulator.server"} & sys.modules.keys()
"""
    )
    pytester.runpytest_subprocess(*ARGUMENTS).assert_outcomes(passed=1)


def test_the_server_needs_no_picture_library() -> None:
    """An emulator that draws no samples does not load Pillow."""
    code = "import sys, clova_ocr_async.emulator as e; e.Emulator(); e.emulator_in_thread; print('PIL' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


@pytest.mark.parametrize("marker", ["clova(billed_at_most=1)", "clova_emulator(concurrency=2)"])
def test_a_marker_without_the_fixture_is_an_error(pytester: pytest.Pytester, marker: str) -> None:
    """A marker on a test that does not use the fixture would check nothing, and so the test fails."""
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.{marker}
        def test_it():
            pass
        """
    )
    result = pytester.runpytest_subprocess(*ARGUMENTS)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*the marker {marker.partition('(')[0]} is for tests that use the fixture*"])


def test_a_strict_marker_checks_what_was_billed_and_met(pytester: pytest.Pytester) -> None:
    """With the marker clova too many billed calls, and scripted faults that no call met, are errors of the test."""
    pytester.makepyfile(
        CALL
        + """
@pytest.mark.clova(billed_at_most=1)
def test_billed_too_often(clova_emulator):
    assert [call(clova_emulator), call(clova_emulator)] == [200, 200]

@pytest.mark.clova
@pytest.mark.clova_emulator(faults=["quota", None])
def test_unused(clova_emulator):
    pass

@pytest.mark.clova(billed_at_most=1, all_faults_used=False)
@pytest.mark.clova_emulator(faults=[None, "quota"])
def test_relaxed(clova_emulator):
    assert call(clova_emulator) == 200

@pytest.mark.clova(billed_at_most=0)
@pytest.mark.clova_emulator(faults=["not-deployed"])
def test_met(clova_emulator):
    assert call(clova_emulator) == 500

@pytest.mark.clova(billed_at_most=0)
def test_billed_once(clova_emulator):
    assert call(clova_emulator) == 200

@pytest.mark.clova(billed=1)
def test_misspelt(clova_emulator):
    pass
"""
    )
    result = pytester.runpytest_subprocess(*ARGUMENTS)
    result.assert_outcomes(passed=5, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "1 call was billed, and the marker clova allows 0",
            "2 calls were billed, and the marker clova allows 1",
            "no call has met these scripted faults: quota, None; all_faults_used=False allows that",
            "*TypeError*billed*",
        ]
    )


def test_retries_can_be_fast(clova_fast_retries: RetryPolicy) -> None:
    """The fixture's policy decides as the default one does, and no wait is longer than a few milliseconds."""
    default = RetryPolicy()
    for name in ("max_attempts", "ambiguous", "server_errors", "quota_probes", "budget"):
        assert getattr(clova_fast_retries, name) == getattr(default, name)
    assert max(clova_fast_retries.cap, clova_fast_retries.quota_cap, clova_fast_retries.outage_cap) <= 0.01
