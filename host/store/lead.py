"""Which of the workers on one database leads: the one that does what must be done once.

Decides by a lock that the kernel or the database lets go when its holder dies: an advisory lock of PostgreSQL, a lock on a file
beside SQLite's. What the leader does is host.ingest's.

A worker that hangs does not die. PostgreSQL takes the lead from one that has not asked for it for a while, and whoever leads ends
the brief transactions that last: those that host.db's limits do not reach, as one whose holder stopped while it sent a statement,
for the rest of which PostgreSQL waits without a limit.
"""

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from host.db import BRIEF_NAME

IDLE_S = 30        # a leader asks every second; one that has not asked for so long hangs
HUNG_S = 60.0      # no brief transaction lasts so long; beyond every limit of host.db
LEADING = 0x74656E666F6C65   # name of PostgreSQL's advisory lock; host.db has the one before it for migrations

_END_HUNG = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = :brief "
    "AND datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() "
    "AND xact_start < clock_timestamp() - make_interval(secs => :hung_s)")

log = logging.getLogger(__name__)


class Lead:
    """One worker's part in it. Not for several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._file: int | None = None
        self._connection: Connection | None = None

    def held(self) -> bool:
        """Whether this worker leads; takes the lead when nobody has it. Costs one small query."""
        led = self._file is not None or self._connection is not None
        leads = self._lock_row() if self._engine.dialect.name == "postgresql" else self._lock_file()
        if leads is not led:
            log.info("this worker leads" if leads else "this worker leads no longer")
        return leads

    def end(self) -> None:
        """Leave the lead to another."""
        if self._file is not None:
            os.close(self._file)
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LEADING})")   # now, not when the server sees our end
            with suppress(SQLAlchemyError):
                self._connection.invalidate()   # the lock belongs to the session, which a pool would keep
                self._connection.close()
        self._file = self._connection = None

    def _lock_file(self) -> bool:
        place = self._engine.url.database
        if self._file is not None or not place or place == ":memory:":
            return True
        handle = os.open(Path(place).with_name(Path(place).name + ".lead"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._file = handle
        return True

    def _lock_row(self) -> bool:
        try:
            if self._connection is not None:   # as long as the session lives, the lock is ours
                ended = self._connection.scalar(_END_HUNG, {"brief": BRIEF_NAME, "hung_s": HUNG_S})
                if ended:
                    log.warning("ended %d transactions of workers that hang", ended)
                return True
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            if connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LEADING})").scalar():
                connection.exec_driver_sql(f"SET idle_session_timeout = '{IDLE_S}s'")   # PostgreSQL 14; never given back: end()
                self._connection = connection
                return True
            connection.close()
        except SQLAlchemyError as error:
            log.debug("cannot ask who leads: %s", error)
            self.end()
        return False
