"""Foundations of the databases: durability settings, and migrations that meet each other."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from host.db import WAL_PAGES, DatabaseError, migrate, open_engine

MIGRATE = "import sys; from host.db import migrate, open_engine; migrate(open_engine(sys.argv[1]), 'ota.store')"


def test_commit_survives_a_power_cut_by_setting(tmp_path: Path) -> None:
    with open_engine(f"sqlite:///{tmp_path}/a.db").connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA wal_autocheckpoint")).scalar() == WAL_PAGES
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2   # FULL


def test_read_only_engine_refuses_writes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    migrate(open_engine(url), "ota.store")
    with open_engine(url, read_only=True).connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.execute(text("DELETE FROM device"))


def test_processes_that_meet_an_empty_database_all_start(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MIGRATE, f"sqlite:///{tmp_path}/a.db"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in processes] == [(b"", 0)] * 3


def test_failed_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE device (other INTEGER)"))   # in the way of the migration's own
    with pytest.raises(DatabaseError, match=r"migration of ota\.store failed"):
        migrate(engine, "ota.store")
    with engine.connect() as connection:
        names = set(connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
    assert names == {"device"}


def test_malformed_url_is_told_by_name() -> None:
    with pytest.raises(DatabaseError, match="no-such-thing"):
        open_engine("no-such-thing")


@pytest.mark.parametrize("url", [
    "nosuch://fleet:hush@host/x", "postgresql+nosuch://fleet:hush@host/x", "postgresql+psycopg://fleet:hush@host:x/y",
])
def test_passwords_are_not_told(url: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        open_engine(url)
    assert "fleet:***@host" in str(caught.value)
    assert "hush" not in str(caught.value)
