"""Whether a database keeps what it has committed, as Tenfold's own connections to it are set. Reads settings; writes nothing.

Decides from the settings that the database tells of this very connection, the file system and its free room. Whether a disk keeps
what it says it has synced can only be found by cutting its power.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from host.db import DatabaseError, open_engine
from host.doctor.codes import Finding, judge, untried

FULL = 2                                   # PRAGMA synchronous
MEMORY = {"tmpfs", "ramfs"}                # gone at a restart
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs"}   # WAL needs memory shared by all who open it
LEAST_FREE_BYTES = 1 << 30                 # 1.8 billion readings at 0.6 bytes; below it a bad day fills the disk
PG_WANTED = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "local", "remote_write", "remote_apply")}


def database(url: str) -> Iterator[Finding]:
    """Look at a telemetry database.

    Raises:
        DatabaseError: it cannot be opened.
    """
    engine = open_engine(url)
    try:
        if engine.dialect.name == "sqlite":
            yield from _sqlite(engine)
        else:
            with engine.connect() as connection:
                yield from _postgresql(connection)
    except SQLAlchemyError as error:
        raise DatabaseError(f"database {engine.url!r}: {getattr(error, 'orig', None) or error}") from None
    finally:
        engine.dispose()


def _sqlite(engine: Engine) -> Iterator[Finding]:
    path = Path(engine.url.database or ":memory:")
    if not path.is_file():   # opening it would make one
        raise DatabaseError(f"database {str(path)!r}: there is no such file; name the one in ingest's settings")
    with engine.connect() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
    yield judge("database.sync", journal != "wal" or synchronous != FULL, "how commits of this database reach the disk",
                f"journal_mode {journal}, synchronous {synchronous}")
    yield place(path.resolve(), Path("/proc/mounts"))
    yield room(shutil.disk_usage(path.resolve().parent).free, path.resolve().parent)


def place(path: Path, mounts: Path) -> Finding:
    """Judge the file system that a database lies on, by the kernel's table of mounts."""
    tried = "where the file lies"
    try:
        rows = [line.split() for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return untried("database.place", tried, "this system tells no mounts")
    kind = max(((len(row[1]), row[2]) for row in rows if path.is_relative_to(row[1])), default=(0, "unknown"))[1]
    return judge("database.place", kind in MEMORY | NETWORK, tried, f"{path.parent}, on {kind}")


def room(free_bytes: int, where: Path) -> Finding:
    """Judge the free room of a disk."""
    return judge("database.room", free_bytes < LEAST_FREE_BYTES, f"free room at {where}", f"{free_bytes / 1e9:.1f} GB")


def _postgresql(connection: Connection) -> Iterator[Finding]:
    told = {name: str(connection.exec_driver_sql(f"SHOW {name}").scalar()) for name in PG_WANTED}
    yield settings(told)
    standby = bool(connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar())
    read_only = connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"
    yield judge("database.writes", standby or read_only, "whether this server takes writes",
                "a standby" if standby else "read-only" if read_only else "it does")
    yield untried("database.room", "free room of the server's disk", "PostgreSQL tells none: look at it there")


def settings(told: Mapping[str, str]) -> Finding:
    """Judge PostgreSQL's settings, as they are for Tenfold's connections."""
    bad = [name for name, wanted in PG_WANTED.items() if told[name] not in wanted]
    return judge("database.sync", bool(bad), "how commits of this database reach the disk",
                 ", ".join(f"{name} {value}" for name, value in told.items()))
