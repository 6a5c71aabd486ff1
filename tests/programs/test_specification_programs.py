import ast
import base64
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from support.answers import SAMPLES

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator import draw_sample, emulator_in_thread

JARS = [
    path
    for path in (*map(Path, os.environ.get("CLASSPATH", "").split(os.pathsep)), *Path("/usr/share/java").glob("*.jar"))
    if zipfile.is_zipfile(path) and "org/json/JSONObject.class" in zipfile.ZipFile(path).namelist()
]
JAVA = ("java", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-cp", str(JARS[0] if JARS else ""))
PHP = ("php", "-d", "display_errors=stderr")


def has(*command: str, said: str = "") -> bool:
    """Return whether this machine has a tool that works and prints the expected text."""
    return (
        shutil.which(command[0]) is not None
        and (ran := subprocess.run(command, capture_output=True, text=True, check=False)).returncode == 0
        and said in ran.stdout
    )


def printed_text(output: str) -> str:
    """Return an answer printed as text; the PHP programs print its status before it."""
    return output.removeprefix("200")


def printed_bytes(output: str) -> str:
    """Return an answer printed as the literal of a bytes object."""
    printed: bytes = ast.literal_eval(output)
    return printed.decode()


@dataclass(frozen=True)
class Program:
    """A program of the specification, and the tool that runs it.

    Attributes:
        file: Its file among the samples.
        command: What runs it.
        document: What the picture shows.
        format: The format that the program declares.
        read: Makes the answer of what it printed.
    """

    file: str
    command: tuple[str, ...]
    document: str
    format: str = "jpg"
    read: Callable[[str], str] = printed_text


has_curl = pytest.mark.skipif(not has("curl", "--version"), reason="there is no curl")
has_java = pytest.mark.skipif(
    not (has("javac", "-version") and JARS), reason="there is no JDK, or no jar with org.json in /usr/share/java"
)
has_php = pytest.mark.skipif(not has("php", "-m", said="curl"), reason="there is no PHP with its curl extension")

PROGRAMS = [
    pytest.param(Program("multipart_body.py", (sys.executable,), "receipt", read=printed_bytes), id="python-multipart"),
    pytest.param(Program("json_body.py", (sys.executable,), "id-card"), id="python-json"),
    pytest.param(Program("multipart_body.sh", ("sh",), "name-card", "png"), id="curl-multipart", marks=has_curl),
    pytest.param(Program("json_body.sh", ("sh",), "credit-card"), id="curl-json", marks=has_curl),
    pytest.param(Program("OCRAPIDemo.java", JAVA, "biz-license"), id="java-multipart", marks=has_java),
    pytest.param(Program("OCRGeneralAPIDemo.java", JAVA, "receipt"), id="java-json", marks=has_java),
    pytest.param(Program("multipart_body.php", PHP, "passport"), id="php-multipart", marks=has_php),
    pytest.param(Program("json_body.php", PHP, "name-card"), id="php-json", marks=has_php),
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_specification_gets_what_stands_on_its_picture(program: Program, tmp_path: Path) -> None:
    """Every program of the specification, changed in URL, secret and file alone, prints a perfect reading."""
    sample = draw_sample(program.document, format=program.format)
    (tmp_path / f"image.{program.format}").write_bytes(sample.data)
    with emulator_in_thread() as clova:
        text = (SAMPLES / "programs" / program.file).read_text(encoding="utf-8")
        for placeholder, value in {
            "YOUR_API_URL": clova.url(program.document),
            "YOUR_SECRET_KEY": clova.secret,
            "YOUR_IMAGE_FILE": f"image.{program.format}",
            "your apigw invoke url": clova.url(program.document),
            "your secret key": clova.secret,
            "your image base64 bytes": base64.b64encode(sample.data).decode(),
        }.items():
            text = text.replace(placeholder, value)
        (tmp_path / program.file).write_text(text, encoding="utf-8")
        output = subprocess.check_output(
            (*program.command, program.file),
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUTF8": "1"},
            encoding="utf-8",
            timeout=50,
        )
    answer = msgspec.json.decode(program.read(output))
    image = answer["images"][0]
    assert (answer["version"], image["name"], image["inferResult"]) == ("V2", "demo", "SUCCESS")
    assert image[DOCUMENTS[program.document].answer_key] == sample.truth.answer
    assert clova.billed.total() == 1
