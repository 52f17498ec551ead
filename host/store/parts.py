"""Where day columns are kept: in parts, one for each month and channel class, that are dropped as a whole.

Decides files and tables, not what goes in. SQLite: a file for each part in the folder `<database>.parts`; a month goes by
unlinking its file, which needs no room, no VACUUM and no row's deletion. PostgreSQL: a partition of `day_column` for each part; a
month goes by DROP TABLE. Rows are only added and, when nothing can read them any more, removed: which version of a day counts is
told by `packed_day` in the main database, so a crash between the two files leaves a version that nobody reads (host/DESIGN.md).
"""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Engine, bindparam, text

from host.db import BUSY_TIMEOUT_MS

PAGE_BYTES = 1024        # a body of some 10 KB leaves half a page empty, whatever the page's size; its chain costs 4 bytes a page
CLASS = re.compile(r"[a-z][a-z0-9_]{0,19}")
_NAME = re.compile(r"(\d{4})-(\d{2})\.([a-z][a-z0-9_]{0,19})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
IN_LIMIT = 500           # as in telemetry.py


class PartsError(Exception):
    """Day columns cannot be kept or read; the message says why and what to do."""


class Row(NamedTuple):
    """A body of some days of a device, which begin with `day`: a track's, as some run of compact wrote it.

    `series` is that of the device's times. Rows that were written before bodies are one column of one series each.
    """

    series: int
    day: int
    version: int
    track: int
    body: bytes


@dataclass(frozen=True, order=True)
class Part:
    """A month of a class of channels."""

    month: str   # 2026-11
    kind: str    # the class

    @property
    def name(self) -> str:
        return f"{self.month}.{self.kind}"


class Parts(Protocol):
    """A shelf of parts. `connection` is the main database's; only PostgreSQL uses it."""

    def all(self, connection: Connection) -> list[Part]:
        """Every part that there is, oldest first."""

    def write(self, connection: Connection, part: Part, rows: Sequence[Row]) -> None:
        """Add rows; the part is made when it is missing. On disk when this returns, or with the connection's commit."""

    def read(self, connection: Connection, part: Part, series: Sequence[int], days: tuple[int, int]) -> Iterator[Row]:
        """Rows of some series, from a day to a day, in no order; nothing when the part was dropped meanwhile.

        Raises:
            PartsError: the part is damaged.
        """

    def remove(self, connection: Connection, part: Part, series: Sequence[int], day: int, version: int) -> None:
        """Remove one version of a day."""

    def drop(self, connection: Connection, part: Part) -> None:
        """Remove the part as a whole."""

    def size(self, connection: Connection, part: Part) -> int:
        """Bytes on disk."""

    def check(self, connection: Connection, part: Part) -> str:
        """What the database says of the part's soundness; empty when it is sound."""


def month_of(day: int) -> str:
    """The month of a day since 1970, e.g. 2026-11."""
    return f"{_EPOCH + timedelta(days=day):%Y-%m}"


def parts_of(engine: Engine) -> Parts:
    """The shelf that belongs to a database.

    Raises:
        PartsError: a SQLite database without a file.
    """
    if engine.dialect.name == "postgresql":
        return TableParts()
    name = engine.url.database
    if not name or name == ":memory:":
        raise PartsError("a SQLite database in memory has no place for day columns; give it a file")
    return FileParts(Path(f"{name}.parts"))


class FileParts:
    """SQLite: a file for each part, with a rollback journal: one file when nobody writes, and quiet ones are never written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, part: Part) -> Path:
        return self.folder / f"{part.name}.db"

    def all(self, connection: Connection) -> list[Part]:
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(path.stem) for path in self.folder.glob("*.db"))
        return sorted(Part(f"{one[1]}-{one[2]}", one[3]) for one in found if one)

    def write(self, connection: Connection, part: Part, rows: Sequence[Row]) -> None:
        fresh = not self.folder.exists()
        self.folder.mkdir(exist_ok=True)
        with closing(self._open(part, "rwc")) as file:
            if not _made(file):
                file.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                file.execute("PRAGMA auto_vacuum = INCREMENTAL")   # what is removed makes the file smaller: see `remove`
                file.execute("BEGIN IMMEDIATE")
                file.execute("CREATE TABLE day_column (series INTEGER NOT NULL, day INTEGER NOT NULL, version INTEGER NOT NULL, "
                             "track INTEGER NOT NULL, body BLOB NOT NULL)")
                file.execute("CREATE INDEX ix_day_column ON day_column (series, day)")
                file.execute("COMMIT")
                _sync(self.folder)
                if fresh:
                    _sync(self.folder.parent)
            file.execute("BEGIN IMMEDIATE")
            file.executemany("INSERT INTO day_column VALUES (?, ?, ?, ?, ?)", rows)
            file.execute("COMMIT")

    def read(self, connection: Connection, part: Part, series: Sequence[int], days: tuple[int, int]) -> Iterator[Row]:
        try:
            file = self._open(part, "ro")
        except sqlite3.OperationalError:
            if self.path(part).exists():
                raise
            return   # dropped since it was listed
        try:
            with closing(file):
                for some in _pieces(series) if _made(file) else ():
                    query = f"SELECT * FROM day_column WHERE series IN ({_marks(some)}) AND day BETWEEN ? AND ?"  # noqa: S608  marks
                    yield from map(Row._make, file.execute(query, (*some, *days)))
        except sqlite3.DatabaseError as error:
            raise PartsError(f"{self.path(part)}: {error}; see tenfold db check, and restore it from a backup") from None

    def remove(self, connection: Connection, part: Part, series: Sequence[int], day: int, version: int) -> None:
        with closing(self._open(part, "rw")) as file:
            file.execute("BEGIN IMMEDIATE")
            for some in _pieces(series):
                query = f"DELETE FROM day_column WHERE series IN ({_marks(some)}) AND day = ? AND version = ?"  # noqa: S608  marks
                file.execute(query, (*some, day, version))
            file.execute("COMMIT")
            file.executescript("PRAGMA incremental_vacuum")   # a page is freed by each step, and `execute` takes one only

    def drop(self, connection: Connection, part: Part) -> None:
        self.path(part).unlink(missing_ok=True)
        Path(f"{self.path(part)}-journal").unlink(missing_ok=True)
        _sync(self.folder)

    def size(self, connection: Connection, part: Part) -> int:
        return self.path(part).stat().st_size

    def check(self, connection: Connection, part: Part) -> str:
        try:
            with closing(self._open(part, "ro")) as file:
                said = file.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.DatabaseError as error:
            return str(error)
        return "" if said == "ok" else str(said)

    def _open(self, part: Part, mode: str) -> sqlite3.Connection:
        uri = f"{self.path(part).absolute().as_uri()}?mode={mode}"
        file = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False)
        if mode != "ro":
            file.execute("PRAGMA synchronous = FULL")
        return file


class TableParts:
    """PostgreSQL: a partition for each part; all in the transaction of the caller."""

    def all(self, connection: Connection) -> list[Part]:
        names = connection.scalars(text(
            "SELECT obj_description(inhrelid, 'pg_class') FROM pg_inherits WHERE inhparent = 'day_column'::regclass"))
        found = (_NAME.fullmatch(name or "") for name in names)
        return sorted(Part(f"{one[1]}-{one[2]}", one[3]) for one in found if one)

    def write(self, connection: Connection, part: Part, rows: Sequence[Row]) -> None:
        if not self._exists(connection, part):
            table = _table(part)   # made apart and attached: that lets readers of the other parts go on
            connection.execute(text(f"CREATE TABLE {table} (LIKE day_column INCLUDING DEFAULTS INCLUDING STORAGE)"))
            connection.execute(text(f"CREATE INDEX ON {table} (series, day)"))
            connection.execute(text(f"COMMENT ON TABLE {table} IS '{part.name}'"))
            connection.execute(text(f"ALTER TABLE day_column ATTACH PARTITION {table} FOR VALUES IN ('{part.name}')"))
        connection.execute(
            text("INSERT INTO day_column (part, series, day, version, track, body) "
                 "VALUES (:part, :series, :day, :version, :track, :body)"),
            [{"part": part.name, **row._asdict()} for row in rows])

    def read(self, connection: Connection, part: Part, series: Sequence[int], days: tuple[int, int]) -> Iterator[Row]:
        query = text("SELECT series, day, version, track, body FROM day_column WHERE part = :part AND series IN :series "
                     "AND day BETWEEN :first AND :last").bindparams(bindparam("series", expanding=True))
        for some in _pieces(series):
            rows = connection.execute(query, {"part": part.name, "series": list(some), "first": days[0], "last": days[1]})
            yield from (Row(one[0], one[1], one[2], one[3], bytes(one[4])) for one in rows)

    def remove(self, connection: Connection, part: Part, series: Sequence[int], day: int, version: int) -> None:
        query = text("DELETE FROM day_column WHERE part = :part AND series IN :series AND day = :day AND version = :version")
        for some in _pieces(series):
            connection.execute(query.bindparams(bindparam("series", expanding=True)),
                               {"part": part.name, "series": list(some), "day": day, "version": version})

    def drop(self, connection: Connection, part: Part) -> None:
        connection.execute(text(f"DROP TABLE IF EXISTS {_table(part)}"))

    def size(self, connection: Connection, part: Part) -> int:
        return connection.scalar(text(f"SELECT pg_total_relation_size('{_table(part)}')")) or 0

    def check(self, connection: Connection, part: Part) -> str:
        return ""   # pg_amcheck's business; every row is decoded by the caller

    def _exists(self, connection: Connection, part: Part) -> bool:
        return connection.scalar(text("SELECT to_regclass(:name)"), {"name": _table(part)}) is not None


def _table(part: Part) -> str:
    """A partition's name; month and class hold only what an SQL name may."""
    return f"day_column_{part.month.replace('-', '_')}_{part.kind}"


def _made(file: sqlite3.Connection) -> bool:
    """Whether the file has its table: a crash may have left an empty one."""
    return file.execute("SELECT 1 FROM sqlite_master WHERE name = 'day_column'").fetchone() is not None


def _pieces(values: Sequence[int]) -> Iterable[Sequence[int]]:
    return (values[at : at + IN_LIMIT] for at in range(0, len(values), IN_LIMIT))


def _marks(values: Sequence[int]) -> str:
    return ",".join("?" * len(values))


def _sync(folder: Path) -> None:
    """Have the folder's entries on disk: a file that was made or removed stays so through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
