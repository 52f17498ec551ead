"""One at a time: compact, roll up, retention and backup do not meet on one database.

Decides how that is told: a lock that ends with the process that holds it, on a file beside a SQLite database, or PostgreSQL's
advisory lock. Ingest and readers take no part in it.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

LOCK = 0x74656E66_6D61696E   # name of PostgreSQL's advisory lock ("tenfmain")


class MaintenanceError(Exception):
    """Maintenance of the telemetry database cannot go on; the message says why and what to do."""


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Hold the lock while the block runs.

    Raises:
        MaintenanceError: another process holds it.
    """
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:name)"), {"name": LOCK}):
                raise _busy()
            connection.commit()
            try:
                yield
            finally:
                connection.execute(text("SELECT pg_advisory_unlock(:name)"), {"name": LOCK})
                connection.commit()
        return
    handle = os.open(f"{engine.url.database}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _busy() from None
        yield
    finally:
        os.close(handle)


def _busy() -> MaintenanceError:
    return MaintenanceError("another compact, rollup, retention or backup is at work on this database; try again when it has ended")
