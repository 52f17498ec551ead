"""A private PostgreSQL cluster for tests: in a temporary folder, with its socket there, by a user without rights.

It is that of the benches, but for settings: no test cuts the power.
"""

import importlib.util
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from host.bench import postgres
from host.bench.postgres import USER
from host.db import migrate, open_engine

SETTINGS = {"fsync": "off", "max_connections": "60"}
STARTS = 400       # looks, 0.05 s apart


def missing() -> str | None:
    """Tell what these tests lack, if they lack something."""
    if importlib.util.find_spec("psycopg") is None:
        return "NOT TESTED: psycopg is not installed; .venv/bin/pip install 'psycopg[binary]'"
    if postgres.programs() is None:
        return "NOT TESTED: PostgreSQL is not installed; on Debian: apt-get install postgresql"
    return None


class Cluster:
    """A running cluster.

    Attributes:
        folder: of its socket.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._databases = 0
        self._lent: list[str] = []
        self._templates: dict[str, str] = {}
        self._desk = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def create(self) -> str:
        """Make an empty database; gives its URL."""
        return self.url(self._make())

    def lend(self, package: str) -> str:
        """Make a database at the newest schema of a part, without rows; gives its URL. It is gone when `take_back` is called."""
        if package not in self._templates:   # migrated once
            name = self._make()
            engine = open_engine(self.url(name))
            migrate(engine, package)
            engine.dispose()
            self._templates[package] = name
        self._lent.append(self._make(f"TEMPLATE {self._templates[package]}"))
        return self.url(self._lent[-1])

    def take_back(self) -> None:
        """Drop what was lent, whoever is still connected to it."""
        while self._lent:
            self._say(f"DROP DATABASE {self._lent.pop()} WITH (FORCE)")

    def close(self) -> None:
        self._desk.dispose()

    def _make(self, options: str = "") -> str:
        self._databases += 1
        name = f"test{self._databases}"
        self._say(f"CREATE DATABASE {name} {options}")
        return name

    def _say(self, statement: str) -> None:
        with self._desk.connect() as connection:
            connection.exec_driver_sql(statement)


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster; skip, loudly, where there can be none."""
    reason, where = missing(), postgres.programs()
    if reason is not None or where is None:
        sys.stderr.write(f"\n{reason}\n")
        pytest.skip(str(reason))
    with tempfile.TemporaryDirectory(prefix="tenfold-pg-") as made:   # not tmp_path: a socket's path has 107 characters at most
        folder = Path(made)
        server = postgres.make(folder, where)
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        argv = [*server.program(folder / "log").argv, *options]   # of two that set the same, the last counts
        with (folder / "log").open("wb") as log, subprocess.Popen(argv, cwd=folder, stdout=log, stderr=log) as process:
            running = Cluster(folder)
            try:
                pause = threading.Event()
                for _ in range(STARTS):
                    if process.poll() is not None or server.answers():
                        break
                    pause.wait(0.05)
                assert process.poll() is None, (folder / "log").read_text()
                yield running
            finally:
                running.close()
                process.send_signal(signal.SIGQUIT)   # at once: nobody needs what it holds
                process.wait(60)
