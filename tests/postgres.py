"""A PostgreSQL server of the tests' own, from Debian's package: stopped and started at will."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

import psycopg

NEEDED = "TRIAGE_TEST_POSTGRES"  # set by .ci/run: there, a missing server is a failure


def binaries() -> Path | None:
    """The folder of the newest server's programs; None if none is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda file: int(file.parts[-3]) if file.parts[-3].isdecimal() else 0,
    )
    if found:
        return found[-1].parent
    where = shutil.which("postgres")
    return Path(where).resolve().parent if where else None


class Server:
    """A server with its data in a folder of its own, on a free port of this machine.

    Args:
        folder: For data and log; made, and the server user's.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder, self._programs = folder, programs
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._number = 0
        self._mounted: Path | None = None

    def make(self) -> None:
        self._run("initdb", "-D", str(self._data), "-U", "triage", "-A", "trust", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = ''\nmax_connections = 200\n"
            )

    def start(self) -> None:
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-t", "60", "start")

    def stop(self, how: str = "fast") -> None:
        """Stops it: "fast" ends connections, "immediate" is like a kill."""
        self._run("pg_ctl", "-D", str(self._data), "-m", how, "-w", "stop")

    def small_disk(self) -> str | None:
        """A tablespace on a file system of a few megabytes; None if none can be mounted."""
        place = self._folder / "small"
        place.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return None
        self._mounted = place
        (place / "space").mkdir()
        user = pwd.getpwnam("postgres")
        os.chown(place / "space", user.pw_uid, user.pw_gid)
        self._sql(f"CREATE TABLESPACE small LOCATION '{place / 'space'}'")
        return "small"

    def database(self, tablespace: str = "pg_default") -> str:
        """The URL of a new, empty database."""
        self._number += 1
        name = f"test{os.getpid()}x{self._number}"
        self._sql(f"CREATE DATABASE {name} TABLESPACE {tablespace}")
        return f"postgresql+psycopg://triage@127.0.0.1:{self.port}/{name}"

    def drop(self, url: str) -> None:
        """Drops a database, with whatever connections are left of it."""
        self._sql(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def unmount(self) -> None:
        if self._mounted is not None:
            subprocess.run(["umount", "-l", str(self._mounted)], check=False)

    def _sql(self, command: str) -> None:
        url = f"postgresql://triage@127.0.0.1:{self.port}/postgres"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(command)  # type: ignore[arg-type]

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:  # it refuses to run as root
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *command]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr[-1000:] + done.stdout[-1000:]


@contextmanager
def server() -> Iterator[Server | None]:
    """A running server; None if none is installed."""
    programs = binaries()
    if programs is None:
        assert not os.environ.get(NEEDED), f"{NEEDED} is set, and no PostgreSQL is installed"
        yield None
        return
    folder = Path(mkdtemp(prefix="triage-postgres-"))
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
    running = Server(folder, programs)
    try:
        running.make()
        running.start()
        yield running
    finally:
        try:
            running.stop("immediate")
        finally:
            running.unmount()
            shutil.rmtree(folder, ignore_errors=True)
