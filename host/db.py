"""Database foundations shared by every part that keeps rows: engine and migrations.

Decides how durable a commit is: with SQLite, WAL and synchronous=FULL, so that a commit that returned survives a power cut
(WAL with NORMAL does not; SQLite documentation, "synchronous"); with PostgreSQL, synchronous_commit=on, whatever its default.
And how long a process that hangs may hold what others wait for: those whose transactions are brief lose them (`brief`).
Knows no tables: each part brings its own Alembic scripts.
"""

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

if TYPE_CHECKING:
    from alembic.config import Config

CONNECTIONS = 5            # kept open by an engine: SQLAlchemy's default
BUSY_TIMEOUT_MS = 10_000   # a writer waits this long for another's commit; a commit takes milliseconds, a backup seconds
# A worker that hangs in the middle of a commit (swapped out, stopped, in a machine that was paused) holds the rows of its devices.
# PostgreSQL ends a transaction that does nothing for so long, before those who wait for it give up (BUSY_TIMEOUT_MS). Between two
# statements of a commit is the decoding of a group, tens of ms.
IDLE_MS = 5_000
STATEMENT_MS = 60_000      # one statement of a brief transaction; above BUSY_TIMEOUT_MS, which counts in. Pruning takes the longest
BRIEF_NAME = "tenfold-brief"   # application_name of such sessions: whoever leads ends what the limits do not (host.store.lead)
# A peer whose machine is gone without a word is noticed after 10 + 3 x 5 s, not after the two hours of Linux: by the server, where
# it may hold the lead, and by us, where a commit would wait for it.
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
GONE_MS = 25_000
CONNECT_S = 10             # an attempt to connect; else as long as TCP tries, more than two minutes
# Pages of 4 KB that the log takes before they go into the database: 16 MB. A batch lies on a page with those of its device before
# it, which is written anew with each of them: the longer the log, the fewer times it goes into the database. With its own 1,000 a
# commit of ingest takes a quarter longer; with 8,000 the commit that meets the move waits so long that 1 % of acks come late.
WAL_PAGES = 4000
DEADLOCK_STATES = ("40P01", "40001")   # deadlock_detected, serialization_failure (PostgreSQL, appendix A)
MIGRATING = 0x74656E666F6C64   # name of PostgreSQL's advisory lock ("tenfold"): whoever migrates holds it


class DatabaseError(Exception):
    """A database cannot be opened or brought to the current schema; the message names the URL and the reason."""


def open_engine(url: str, *, read_only: bool = False, connections: int = CONNECTIONS, brief: bool = False) -> Engine:
    """Open a database by URL, e.g. `sqlite:///fleet.db` or `postgresql+psycopg://…`.

    Args:
        read_only: refuse writes on this engine (SQLite: query_only); for consoles and audits.
        connections: that are kept open; for more threads at once another is opened and closed each time, up to ten more.
        brief: its transactions take milliseconds, so PostgreSQL is to end one whose holder hangs; for ingest.

    Raises:
        DatabaseError: the URL is malformed or its driver is not installed.
    """
    shown = re.sub(r"(://[^:/@]*):[^/]*@", r"\1:***@", url)   # without a password
    try:
        backend = make_url(url).get_backend_name()
        options = _postgresql(read_only=read_only, brief=brief) if backend == "postgresql" else {}
        engine = create_engine(url, pool_size=connections, **options)
    except (ArgumentError, ImportError, ValueError, SQLAlchemyError) as error:
        raise DatabaseError(f"database {shown!r}: {str(error).replace(url, shown)}") from None
    if engine.dialect.name == "sqlite":

        def set_pragmas(dbapi_connection: Any, _record: object) -> None:
            cursor = dbapi_connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            cursor.execute("PRAGMA foreign_keys=ON")
            if read_only:
                cursor.execute("PRAGMA query_only=ON")
            else:
                cursor.execute("PRAGMA journal_mode=WAL")
                cursor.execute("PRAGMA synchronous=FULL")
                cursor.execute(f"PRAGMA wal_autocheckpoint={WAL_PAGES}")
            cursor.close()

        event.listen(engine, "connect", set_pragmas)
    if engine.dialect.name == "postgresql":
        event.listen(engine, "connect", _send_arrays_as_bytes)
    return engine


def migrate(engine: Engine, package: str) -> None:
    """Bring the database to the newest schema of one part.

    Args:
        package: the part that keeps the tables, e.g. "ota.store"; its Alembic scripts lie in `migrations/versions` beside it.

    Raises:
        DatabaseError: a migration failed; the database is as it was before it.
    """
    from alembic import command  # noqa: PLC0415  half a second, which no command that asks need wait for
    from alembic.config import Config  # noqa: PLC0415

    folder = _migrations_of(package)
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("version_table", "schema_version_" + package.replace(".", "_"))
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":   # two processes that meet an empty database: the second waits, then finds it done
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif engine.dialect.name == "postgresql":
                for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
                    connection.exec_driver_sql(f"SET LOCAL {limit} = 0")   # it takes as long as it takes, whatever the engine
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise DatabaseError(f"database {engine.url!r}: migration of {package} failed: {error}") from error


def is_deadlock(error: DBAPIError) -> bool:
    """Whether PostgreSQL ended a transaction because two waited for each other; done again, it succeeds."""
    return getattr(error.orig, "sqlstate", None) in DEADLOCK_STATES


def run_migrations(connection: Connection, config: "Config") -> None:
    """What each part's `migrations/env.py` calls: run the scripts on the connection that `migrate` opened."""
    from alembic import context  # noqa: PLC0415  Alembic's context exists only while its command runs

    context.configure(connection=connection, version_table=config.get_main_option("version_table"), render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


def _postgresql(*, read_only: bool, brief: bool) -> dict[str, Any]:
    options: dict[str, object] = {"synchronous_commit": "on", "lock_timeout": f"{BUSY_TIMEOUT_MS}ms"}
    if read_only:
        options["default_transaction_read_only"] = "on"
    if brief:
        options["application_name"] = BRIEF_NAME
        options |= {"idle_in_transaction_session_timeout": IDLE_MS, "statement_timeout": STATEMENT_MS}
    options |= {f"tcp_{name}": value for name, value in KEEPALIVES.items()}   # of the server's side; no effect on a Unix socket
    told = " ".join(f"-c {name}={value}" for name, value in options.items())
    connect = {"options": told, "connect_timeout": CONNECT_S, "tcp_user_timeout": GONE_MS, **KEEPALIVES}
    # Each statement sees what was committed before it: what is read under the write lock is true then.
    return {"isolation_level": "READ COMMITTED", "pool_pre_ping": True, "connect_args": connect}


def _send_arrays_as_bytes(dbapi_connection: Any, _record: object) -> None:
    """As the driver does with single values; arrays it sends as text, and a payload so takes a hundred times the CPU time."""
    from psycopg.types.array import ListBinaryDumper  # noqa: PLC0415  an extra: installed where there is a connection of it

    dbapi_connection.adapters.register_dumper(list, ListBinaryDumper)


def _migrations_of(package: str) -> Path:
    module = import_module(package)
    return Path(next(iter(module.__path__))) / "migrations"
