"""What is run on this project: ``nox -s tests`` for the tests, ``nox --list`` for the rest."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["lint", "types", "tests"]

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PROJECT)
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
EVERYTHING = ".[all,heic,taskiq]"  # ``all`` leaves out heic, whose wheels are GPL, and what needs a server or an engine
CODE = ["clova_ocr_async", "tests", "examples", "benchmarks", "tools", "noxfile.py"]


def group(name: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PROJECT, name)


PARALLEL = ("-n", "4", "--dist", "worksteal")  # many tests wait for processes and locks more than they work
BROWSER, CHROMIUM = "tests/browser", "chromium"
NO_SERVER = ("-m", "not server")  # likewise
# What only a server runs: nox -s servers measures these modules, and nox -s tests leaves them out.
OF_SERVERS = (
    "clova_ocr_async/ledger/postgres/*",
    "clova_ocr_async/slots/postgres.py",
    "clova_ocr_async/slots/redis.py",
    "clova_ocr_async/slots/sharing/postgres_store.py",
    "clova_ocr_async/slots/sharing/redis_store.py",
    "clova_ocr_async/integrations/taskiq/stream_upkeep.py",
)
RAY, OF_RAY = "tests/ray", "clova_ocr_async/integrations/ray.py"  # which takes 500 MB
WITHOUT_BROWSER = (f"--ignore={BROWSER}", f"--ignore={RAY}")  # pip alone runs the rest
# Minutes of killed processes, full disks and computing, which say nothing of the package's lines.
CHAOS, BENCHMARKS = "tests/chaos", "tests/test_benchmarks.py"


def covered(session: nox.Session, modules: str, *arguments: str) -> None:
    """Run tests with coverage, which must be whole for some modules: an option of coverage says which."""
    # Hundreds of tests start the command line, and each of these processes would compile the package anew.
    session.run("python", "-m", "compileall", "-q", "clova_ocr_async")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *PARALLEL, *arguments)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", modules)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests with the Python nox runs on, coverage whole."""
    session.install("-e", EVERYTHING, *group("tests"))
    left_out = (*WITHOUT_BROWSER, *NO_SERVER, f"--ignore={CHAOS}", f"--ignore={BENCHMARKS}")
    covered(session, f"--omit={','.join((*OF_SERVERS, OF_RAY))}", *left_out, *session.posargs)


@nox.session
def servers(session: nox.Session) -> None:
    """Run the tests on real PostgreSQL and Redis servers, which root installs where they are missing."""
    session.install("-e", f"{EVERYTHING[:-1]},postgres,redis]", *group("tests"))
    installed = Path("/usr/lib/postgresql").exists() and shutil.which("redis-server")
    if not installed and os.geteuid() == 0:
        session.run("apt-get", "update", "--quiet", external=True)
        packages = ("postgresql", "redis-server")
        session.run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages, external=True)
    covered(session, f"--include={','.join(OF_SERVERS)}", "-m", "server", *WITHOUT_BROWSER, *session.posargs)


@nox.session(default=False)
def ray(session: nox.Session) -> None:
    """Run the tests on a small Ray of this machine, without its dashboard, which would be open to anybody."""
    session.install("-e", f"{EVERYTHING[:-1]},ray]", *group("tests"))
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", RAY, *session.posargs)  # Ray takes both cores for itself
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report", f"--include={OF_RAY}")


@nox.session(python=[version for version in PYTHONS if version != THIS])
def others(session: nox.Session) -> None:
    """Run the tests with the other supported Pythons; those that are not installed are skipped."""
    session.install("-e", EVERYTHING, *group("tests"))
    session.run("pytest", *PARALLEL, *WITHOUT_BROWSER, *NO_SERVER, *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """Run the tests with the oldest versions that are allowed, of the four dependencies and of what writes tables."""
    asked = PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["tables"]
    oldest = [line.split(";")[0].replace(">=", "==").strip() for line in asked]
    session.install("-e", EVERYTHING, *group("tests"), *oldest)
    session.run("pytest", *PARALLEL, *WITHOUT_BROWSER, *NO_SERVER, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and layers."""
    session.install("-e", ".", *group("lint"))
    session.run("ruff", "format", "--check", *CODE)
    session.run("ruff", "check", *CODE)
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, with both checkers at their strictest, and that users see all of them."""
    session.install("-e", f"{EVERYTHING[:-1]},postgres,redis]", *group("types"))  # ray has a stub
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation without a warning, and follow its links; generated parts must be those of the code."""
    session.install("-e", ".[cli,emulator,fastapi,otel]", *group("docs"))  # what the generated parts import
    session.run("python", "tools/generated_docs.py", "--check")
    session.run("zensical", "build", "--clean", "--strict")
    session.run("python", "tools/site_links.py", "site")


@nox.session
def demo(session: nox.Session) -> None:
    """Install the built package as a user would, and run the demo away from the source."""
    session.install(".[all]")
    place = session.create_tmp()
    session.chdir(place)
    session.run("clova-ocr", "demo", "--folder", str(Path(place) / "samples"))
    shutil.rmtree(place)


@nox.session
def browser(session: nox.Session) -> None:
    """Look at the report page in Chromium, which root installs where it is missing; nothing else is measured here."""
    session.install("-e", ".[all]", *group("tests"), *group("browser"))
    if shutil.which(CHROMIUM) is None and os.geteuid() == 0:
        session.run("apt-get", "update", "--quiet", external=True)
        session.run("apt-get", "install", "--yes", "--quiet", "--no-install-recommends", CHROMIUM, external=True)
    session.run("pytest", BROWSER, *session.posargs)
    session.run("python", "benchmarks/report_page.py", "--quick")


@nox.session
def short_chaos(session: nox.Session) -> None:
    """Kill, stop, copy and starve batches in the short form: no call may be paid twice, and no answer lost."""
    session.install("-e", EVERYTHING, *group("tests"))
    session.run("pytest", *PARALLEL, *NO_SERVER, CHAOS, *session.posargs)


@nox.session
def short_bench(session: nox.Session) -> None:
    """Run every benchmark in its short form: it shows that they run, and measures nothing that counts."""
    session.install("-e", EVERYTHING, *group("tests"))
    session.run("pytest", *NO_SERVER, BENCHMARKS, *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure beside others, and write benchmarks/README.md anew; arguments go to benchmarks/all.py."""
    # niquests brings a urllib3 of its own, which would take the place of the one that requests is measured with.
    own = {"URLLIB3_NO_OVERRIDE": "1"}
    extras = ".[cli,emulator,fastapi,heic,pictures,postgres,redis,report,tables]"
    # pytest, as the servers that are measured are started as for tests.
    session.install("--no-binary", "urllib3-future", "-e", extras, *group("bench"), "pytest", env=own)
    session.run("python", "benchmarks/all.py", *session.posargs)


@nox.session(default=False)
def chaos(session: nox.Session) -> None:
    """Kill batches, at random and at every named point, and watches; arguments go to the program of the batches."""
    session.install("-e", ".[cli,emulator,watch]")
    session.run("python", "tests/chaos/chaos.py", *session.posargs)
    session.run("python", "tests/chaos/watch_kills.py")


@nox.session(default=False)
def cluster(session: nox.Session) -> None:
    """Kill workers of several hosts, and restart their servers; arguments go to the program. Takes an hour."""
    session.install("-e", ".[cli,crypto,emulator,postgres,ray,redis,taskiq]", *group("tests"))
    session.run("python", "tests/chaos/cluster.py", *session.posargs)


@nox.session(default=False)
def web(session: nox.Session) -> None:
    """Overload a web service over real sockets, on asyncio and on uvloop; arguments go to the program.

    ``-- --seconds 8 --callers 100 --loop uvloop`` is its short form.
    """
    session.install("-e", ".[emulator,fastapi]", "uvloop")
    session.run("python", "tests/chaos/web.py", *session.posargs, env={"PYTHONPATH": "benchmarks"})
