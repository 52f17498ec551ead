"""SQLite files at the newest schema, migrated once and copied: migrating takes longer than most tests.

Those on PostgreSQL: tests/ota/postgresql.py.
"""

import tempfile
from functools import cache
from pathlib import Path

from host.db import migrate, open_engine

TELEMETRY = "host.store"


def migrated(path: Path, package: str = TELEMETRY) -> str:
    """Put a database without rows, at the newest schema of a part, at a path; gives its URL."""
    path.write_bytes(_empty(package))
    return f"sqlite:///{path}"


@cache
def _empty(package: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = open_engine(f"sqlite:///{path}")
        migrate(engine, package)
        engine.dispose()   # the last connection that closes leaves all of it in one file
        return path.read_bytes()
