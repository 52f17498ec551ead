"""A private PostgreSQL cluster for tests: in a temporary folder, with its socket there, by a user without rights."""

import importlib.util
import os
import pwd
import shutil
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

from host.db import migrate, open_engine
from ota.store import tables

USER = "tenfold"   # the cluster's superuser
SETTINGS = {"listen_addresses": "", "fsync": "off", "max_connections": "60"}   # what is tested here is no power cut
STARTS = 400       # looks, 0.05 s apart


def programs() -> Path | None:
    """Find PostgreSQL's own programs; Debian keeps them out of PATH."""
    found = shutil.which("postgres")
    installed = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return installed[-1].resolve().parent if installed else None


def missing() -> str | None:
    """Tell what these tests lack, if they lack something."""
    if programs() is None:
        return "NOT TESTED: PostgreSQL is not installed; on Debian: apt-get install postgresql"
    if importlib.util.find_spec("psycopg") is None:
        return "NOT TESTED: psycopg is not installed; .venv/bin/pip install 'psycopg[binary]'"
    return None


class Cluster:
    """A running cluster.

    Attributes:
        folder: of its socket.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._databases = 0
        self._free: list[str] = []
        self._lent: list[str] = []

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://{USER}@/{database}?host={self.folder}"

    def create(self) -> str:
        """Make an empty database; gives its URL."""
        self._databases += 1
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE test{self._databases}")
        engine.dispose()
        return self.url(f"test{self._databases}")

    def lend(self) -> str:
        """Give the URL of a database at the newest schema without rows; `take_back` empties what was lent."""
        if self._free:
            url = self._free.pop()
        else:   # some 300 files: made once, used by many tests
            url = self.create()
            engine = open_engine(url)
            migrate(engine, "ota.store")
            engine.dispose()
        self._lent.append(url)
        return url

    def take_back(self) -> None:
        rows = ", ".join(table.name for table in tables.metadata.sorted_tables if table is not tables.lock)
        for url in self._lent:
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.exec_driver_sql(f"TRUNCATE {rows} RESTART IDENTITY")
                connection.exec_driver_sql("INSERT INTO cohort (site, tags) VALUES ('', '')")   # as the migrations leave it
            engine.dispose()
        self._free, self._lent = self._free + self._lent, []


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a cluster; skip, loudly, where there can be none."""
    reason, where = missing(), programs()
    if reason is not None or where is None:
        sys.stderr.write(f"\n{reason}\n")
        pytest.skip(str(reason))
    with tempfile.TemporaryDirectory(prefix="tenfold-pg-") as made:   # not tmp_path: a socket's path has 107 characters at most
        folder, as_user = Path(made), None
        if os.geteuid() == 0:   # PostgreSQL refuses root
            as_user = "nobody"
            os.chown(folder, pwd.getpwnam(as_user).pw_uid, -1)
        data = folder / "data"
        common = {"user": as_user, "cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(
            [where / "initdb", "-D", data, "-U", USER, "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"],
            check=False, **common)
        assert done.returncode == 0, done.stdout.decode()
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with subprocess.Popen([where / "postgres", "-D", data, "-k", folder, *options], **common) as server:
            try:
                pause = threading.Event()
                asked = [where / "pg_isready", "-q", "-h", folder, "-U", USER]
                for _ in range(STARTS):
                    if server.poll() is not None or not subprocess.run(asked, check=False).returncode:
                        break
                    pause.wait(0.05)
                assert server.poll() is None, server.stdout.read().decode()
                yield Cluster(folder)
            finally:
                server.send_signal(signal.SIGQUIT)   # at once: nobody needs what it holds
                server.communicate(timeout=60)
