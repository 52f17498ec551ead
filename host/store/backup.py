"""A telemetry database as one file, taken while ingest runs, and a database made of such a file.

Decides what belongs into a backup and in which order it is read. SQLite: the main database by SQLite's online backup in one step
(in WAL mode writers go on), then the parts, which stand still under the maintenance lock, all in a tar file. PostgreSQL: pg_dump's
custom format, which is one snapshot by itself; parts are partitions of the same database. A backup is there whole or not at
all; a restore makes a new database and never writes into one that is there.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Engine, inspect, make_url

from host.store.maintenance import MaintenanceError, alone
from host.store.parts import FileParts

MAIN = "telemetry.db"
_MEMBER = re.compile(r"telemetry\.db|parts/\d{4}-\d{2}\.[a-z][a-z0-9_]{0,19}\.db")
LIBPQ = {"host": "PGHOST", "port": "PGPORT", "username": "PGUSER", "password": "PGPASSWORD"}   # not on a command line


def backup(engine: Engine, file: Path) -> int:
    """Write a backup; gives its bytes.

    Raises:
        MaintenanceError: the file is there, another is at work, or pg_dump fails.
        OSError: the disk.
    """
    if file.exists():
        raise MaintenanceError(f"{file} is there already; name another file")
    with tempfile.TemporaryDirectory(dir=file.resolve().parent, prefix=f".{file.name}.") as folder:
        made = Path(folder) / "backup"
        if engine.dialect.name == "postgresql":
            _run("pg_dump", engine.url, "--format=custom", f"--file={made}")
        else:
            _archive(engine, Path(folder) / MAIN, made)
        with made.open("rb") as written:
            os.fsync(written.fileno())
        made.replace(file)
    return file.stat().st_size


def restore(url: str, file: Path) -> None:
    """Make a database of a backup.

    Raises:
        MaintenanceError: there is a database already, or the file is no backup of this kind.
        OSError: the disk.
    """
    into = make_url(url)
    if into.get_backend_name() == "postgresql":
        _run("pg_restore", into, "--exit-on-error", "--single-transaction", "--no-owner", str(file))
        return
    path = Path(into.database or "")
    parts = FileParts(Path(f"{path}.parts")).folder
    if path.exists() or parts.exists():
        raise MaintenanceError(f"{path if path.exists() else parts} is there already; restore into a new place, then move it")
    with tempfile.TemporaryDirectory(dir=path.resolve().parent, prefix=f".{path.name}.") as folder:
        _extract(file, Path(folder))
        if (Path(folder) / "parts").exists():
            (Path(folder) / "parts").rename(parts)
        (Path(folder) / MAIN).rename(path)   # last: where this file is, the rest is


def refuse_used(engine: Engine) -> None:
    """Let a restore into PostgreSQL go on only where no telemetry is.

    Raises:
        MaintenanceError: there is a table of ours.
    """
    if "batch" in inspect(engine).get_table_names():
        raise MaintenanceError("this database holds telemetry already; restore into an empty one (createdb)")


def _archive(engine: Engine, copy: Path, made: Path) -> None:
    parts = FileParts(Path(f"{engine.url.database}.parts"))
    with alone(engine), engine.connect() as connection:
        with closing(sqlite3.connect(str(engine.url.database))) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            said = target.execute("PRAGMA integrity_check").fetchone()[0]
        if said != "ok":
            raise MaintenanceError(f"the copy of {engine.url.database} is damaged: {said}; run tenfold db check")
        with tarfile.open(made, "w") as tar:
            tar.add(copy, MAIN)
            for part in parts.all(connection):
                tar.add(parts.path(part), f"parts/{part.name}.db")


def _extract(file: Path, folder: Path) -> None:
    """Unpack the members that a backup has, and no other."""
    try:
        with tarfile.open(file) as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() and _MEMBER.fullmatch(member.name) else None
                if source is None:
                    raise MaintenanceError(f"{file}: {member.name!r} does not belong into a telemetry backup")
                target = folder / member.name
                target.parent.mkdir(exist_ok=True)
                with source, target.open("wb") as out:
                    shutil.copyfileobj(source, out)
                    out.flush()
                    os.fsync(out.fileno())
    except (tarfile.TarError, EOFError) as error:
        raise MaintenanceError(f"{file} is no backup of a SQLite telemetry database, or is cut off: {error}") from None
    if not (folder / MAIN).exists():
        raise MaintenanceError(f"{file} holds no {MAIN}: no backup of a SQLite telemetry database")


def _run(program: str, url: URL, *arguments: str) -> None:
    """Run one of PostgreSQL's programs against a database; whom and what it connects to goes by the environment."""
    if shutil.which(program) is None:
        raise MaintenanceError(f"{program} is not installed; on Debian: apt-get install postgresql-client")
    told = {name: str(value) for key, name in LIBPQ.items() if (value := getattr(url, key)) is not None}
    told |= {LIBPQ["host"]: str(url.query["host"])} if "host" in url.query else {}
    done = subprocess.run([program, "--no-password", f"--dbname={url.database}", *arguments], env=os.environ | told,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        raise MaintenanceError(f"{program}: {done.stderr.strip()[-400:]}")
