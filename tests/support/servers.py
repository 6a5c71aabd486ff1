"""PostgreSQL and Redis on loopback, started for the tests of what needs them."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PostgresServer", "RedisServer", "free_port", "shared_database", "shared_postgres"]

_STARTED_WITHIN = 60.0  # seconds, on a machine that is busy with other tests
_SUPERUSER = "clova_admin"


def free_port() -> int:
    """Return a port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _program(name: str) -> Path:
    """Return a program's path; skip the test if it is not installed."""
    of_debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))  # not on the PATH there
    if found := of_debian[-1] if of_debian else shutil.which(name):
        return Path(found)
    pytest.skip(f"{name} is not installed: apt-get install postgresql redis-server")


class PostgresServer:
    """A PostgreSQL server with an empty data folder; its superuser needs no password from loopback.

    Attributes:
        port: Its port on 127.0.0.1.
    """

    def __init__(self) -> None:
        self._programs = _program("initdb").parent
        # PostgreSQL refuses root, and others may not enter root's temporary folders.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="clova-postgres-", dir="/tmp"))  # a socket's path is short
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._data = self._folder / "data"
        self.port = free_port()
        self._databases = 0
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={_SUPERUSER}", "--encoding=UTF8", "--no-locale",
                  f"--pgdata={self._data}")  # fmt: skip
        self.start()

    def start(self) -> None:
        """Start the server, which has been stopped."""
        network = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        options = f"{network} -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "start", "--wait", f"--pgdata={self._data}", f"--log={self._folder / 'log'}",
                  f"--timeout={_STARTED_WITHIN:.0f}", f"--options={options}")  # fmt: skip

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; "immediate" is what a crash does, "fast" ends its transactions in order."""
        self._run("pg_ctl", "stop", "--wait", f"--pgdata={self._data}", f"--mode={mode}")

    def close(self) -> None:
        """Stop the server, if it runs, and remove its files."""
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def is_up(self) -> bool:
        """Return whether the server takes connections."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def new_database(self) -> str:
        """Create an empty database, and return its URL as the superuser's."""
        self._databases += 1
        name = f"test_{os.getpid()}_{self._databases}"
        self.psql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def url(self, database: str = "postgres", user: str = _SUPERUSER) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def locked_user(self, password: str) -> str:
        """Create a superuser who needs a password from loopback; return the name."""
        self._databases += 1
        name = f"locked_{os.getpid()}_{self._databases}"
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"host all {name} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        self.psql(f"CREATE ROLE {name} LOGIN SUPERUSER PASSWORD '{password}'")
        self.psql("SELECT pg_reload_conf()")
        return name

    def psql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser, and return what it prints."""
        return self._run("psql", "--no-psqlrc", "--tuples-only", "--no-align", "--quiet",
                         "--set=ON_ERROR_STOP=1", f"--command={statement}", self.url(database))  # fmt: skip

    def dump(self, database: str) -> str:
        """Return everything that a database holds, as text."""
        return self._run("pg_dump", self.url(database))

    def _run(self, program: str, *arguments: str) -> str:
        # Its output goes to a file: a server that pg_ctl starts keeps the descriptors.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                [self._programs / program, *arguments], check=False, user=self._user, cwd="/", stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, timeout=2 * _STARTED_WITHIN,
            )  # fmt: skip
            output.seek(0)
            said = output.read().decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}: {said}")
        return said.strip()


@functools.cache
def shared_postgres() -> PostgresServer:
    """Return the PostgreSQL server of this process's tests; the fixture ``postgres_server`` closes it."""
    return PostgresServer()


@functools.cache
def shared_database() -> str:
    """Return the URL of a database of that server, for tests that take no more of it than a run of their own."""
    return shared_postgres().new_database()


class RedisServer:
    """A Redis server with an empty folder.

    Attributes:
        port: Its port on 127.0.0.1.
    """

    def __init__(self, *settings: str) -> None:
        self._program = _program("redis-server")
        self._settings: Sequence[str] = settings
        self._folder = Path(tempfile.mkdtemp(prefix="clova-redis-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The URL of its database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start the server, which has been stopped; it has what it had on the disk."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder),
                 "--appendonly", "yes", "--save", "", *self._settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + _STARTED_WITHIN
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"redis-server does not start: {(self._folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop the server, and remove its files."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def dump(self) -> bytes:
        """Return everything on its disk."""
        return b"".join(path.read_bytes() for path in sorted(self._folder.rglob("*")) if path.is_file())

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(7).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
