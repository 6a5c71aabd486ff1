"""The pages of docs/: their blocks of code, and a runner that does with them what a reader would do.

A block is run by its language: ``python`` as a program, ``sh`` in a shell; ``toml`` is stored as a file. The title of a
block is the name of its file, or says more: a "Cell" shares its names with the other cells of the page, and
"Terminal 1" runs until the page ends. A block with the title "Output" is what the block before it has printed, where
``…`` stands for anything. The blocks of all other languages are not run.

Lines of ``clova-ocr`` alone run in this process, since a process costs a second.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from support.commands import clova_ocr

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

    from clova_ocr_async.emulator import Emulator

__all__ = ["DOCS", "ROOT", "RUN", "Block", "PageRunner", "all_pages", "all_text", "blocks_of", "matches"]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUN = ("python", "sh", "toml")
_NO_URL = "https://….apigw.ntruss.com/custom/v1/123/abc…"
OUTPUT, CELL, TERMINAL = "Output", "Cell", "Terminal 1"
_FENCE = re.compile(r"^( *)```(\w+)(?: title=\"([^\"]*)\")?\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
# A command without anything that a shell would do: pipes, variables, several commands in a line.
_PLAIN = re.compile(r"clova-ocr( [^|&;<>$~`]*)?$")
_LONGEST = 60.0  # seconds that a block may take on a busy machine


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        page: The page, relative to docs/.
        line: The line of the page at which it begins.
        language: The language.
        title: The title; "" if there is none.
        code: The text.
        output: What it prints, if the page shows that.
    """

    page: str
    line: int
    language: str
    title: str
    code: str
    output: str | None = None


def all_pages() -> list[str]:
    """Return the pages, relative to docs/."""
    return sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def all_text() -> str:
    """Return the text of all pages."""
    return "\n".join((DOCS / page).read_text(encoding="utf-8") for page in all_pages())


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page, each with its output."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        indent, language, title, code = match.groups()
        if title == OUTPUT:
            last = found.pop()
            found.append(Block(last.page, last.line, last.language, last.title, last.code, code))
        else:
            code = re.sub(rf"^{indent}", "", code, flags=re.MULTILINE)
            found.append(Block(page, line, language, title or "", code))
    return found


def matches(shown: str, printed: str) -> bool:
    """Return whether an output is the one that a page shows."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


class PageRunner:
    """Runs the blocks of one page, one after the other, in one folder."""

    def __init__(self, folder: Path, clova: Emulator) -> None:
        self._folder = folder
        self._clova = clova
        self._cells: dict[str, Any] = {"__name__": "__main__"}
        # A thread of their own: CPython 3.11 reports one return too many when an exception wakes a task, which would
        # make coverage lose this thread.
        self._thread = ThreadPoolExecutor(1)
        self._loop = asyncio.Runner()
        self._background: list[subprocess.Popen[bytes]] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environ = {
            **os.environ,
            "CLOVA_OCR_INVOKE_URL": clova.url(),
            "CLOVA_OCR_SECRET": clova.secret,
            "PATH": path,
            "APP_TOKEN": "token",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()
        for process in self._background:
            process.send_signal(signal.SIGINT)
        for process in self._background:
            process.wait(_LONGEST)

    def run(self, block: Block) -> str:
        """Run a block, and return what it has printed."""
        code = block.code.replace(
            "https://….apigw.ntruss.com/custom/v1/123/abc…/document/receipt", self._clova.url("receipt")
        )
        code = code.replace("your secret", self._clova.secret)
        if block.title not in {"", CELL, TERMINAL, "Terminal 2"}:
            (self._folder / block.title).write_text(code, encoding="utf-8")
        if block.language == "sh":
            return self._in_background(code) if block.title == TERMINAL else self._shell(code, block.title)
        return self._python(code, block) if block.language == "python" else ""

    def _shell(self, code: str, title: str) -> str:
        # "pip install" is not run: a test reads its extras.
        lines = [line for line in code.splitlines() if not line.startswith("pip install")]
        if not title and all(_PLAIN.match(line) for line in lines):
            with self._entered():
                return "".join(self._command(line) for line in lines)
        script = [f"sh {title}"] if title.endswith(".sh") else lines
        done = subprocess.run(
            # The environment that the block leaves is the next one's.
            ["bash", "-c", "\n".join(["set -e", *script, "env -0 > .environment"])],
            cwd=self._folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_LONGEST,
        )
        printed = done.stdout.decode()
        assert done.returncode == 0, f"{code}\nexit code {done.returncode}\n{printed}"
        after = (self._folder / ".environment").read_bytes().decode().split("\0")
        self._environ = dict(line.split("=", 1) for line in after if line)
        return printed

    def _command(self, line: str) -> str:
        words = shlex.split(line, comments=True)[1:]
        done = clova_ocr(*(path for word in words for path in (Path().glob(word) if "*" in word else [word])))
        assert done.exit_code == 0, f"{line}\nexit code {done.exit_code}\n{done.output}"
        return done.output

    @contextlib.contextmanager
    def _entered(self) -> Generator[None]:
        """Work in the folder and the environment of the page."""
        before, folder = dict(os.environ), Path.cwd()
        try:
            os.environ.clear()
            os.environ.update(self._environ)
            os.chdir(self._folder)
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(before)

    def _in_background(self, code: str) -> str:
        # Its output is a file, which is empty until the program is ready.
        ready = self._folder / code.rpartition("> ")[2].strip()
        self._background.append(
            subprocess.Popen(
                ["bash", "-c", f"exec {code}"], cwd=self._folder, env=self._environ, stderr=subprocess.DEVNULL
            )
        )
        wait = f"until [ -s {ready} ]; do sleep 0.05; done"
        subprocess.run(["bash", "-c", wait], check=True, timeout=_LONGEST)
        return ""

    def _python(self, code: str, block: Block) -> str:
        printed = io.StringIO()
        with self._entered(), contextlib.redirect_stdout(printed):
            self._thread.submit(self._execute, code, block).result()
        return printed.getvalue()

    def _execute(self, code: str, block: Block) -> None:
        name = f"docs/{block.page}:{block.line}"
        if block.title == CELL:
            self._loop.run(_cell(compile(code, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), self._cells))
            return
        # FastAPI looks up the module of a handler's annotations.
        module = types.ModuleType("__main__" if not block.title.startswith("test_") else Path(block.title).stem)
        exec(compile(code, name, "exec"), module.__dict__)  # noqa: S102 - our own pages
        if block.title.startswith("test_"):
            for test in list(vars(module).values()):
                if (
                    inspect.isfunction(test)
                    and test.__name__.startswith("test_")
                    and not inspect.signature(test).parameters
                ):
                    test()


async def _cell(code: types.CodeType, names: dict[str, Any]) -> None:
    result = eval(code, names)  # noqa: S307 - our own pages
    if inspect.isawaitable(result):
        await result
