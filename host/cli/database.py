"""Which telemetry database a command means, and opening it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from host.db import DatabaseError, open_engine
from host.ingest.settings import IngestSettings

DEMO = Path("build/demo/telemetry.db")   # where `tenfold up` and `tenfold demo` keep theirs
INGESTS = str(IngestSettings.model_fields["database"].default)
Database = Annotated[str, typer.Option(
    "--database", envvar="TENFOLD_TELEMETRY", show_default=False,
    help=f"Telemetry database, e.g. postgresql+psycopg://…; else that of the plant in {DEMO.parent}, else ingest's default.")]


def default() -> str:
    """The database that is meant when none is named."""
    return f"sqlite:///{DEMO}" if DEMO.is_file() else INGESTS


def present(url: str) -> str:
    """The URL that `--database` names or means, of a database that may be there.

    Raises:
        DatabaseError: it is no URL, or SQLite's file is not there: a question makes none.
    """
    chosen = url or default()
    parsed = _parsed(chosen)
    if parsed.get_backend_name() == "sqlite" and parsed.database and not Path(parsed.database).is_file():
        raise DatabaseError(f"database {chosen!r}: no such file; name it with --database, or start a plant with `tenfold up`")
    return chosen


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Open the database that `--database` names or means, for reading.

    Raises:
        DatabaseError: it is not there, holds no telemetry, is locked or away.
    """
    engine = open_engine(present(url), read_only=True)
    try:
        yield engine
    except DBAPIError as error:   # no tables yet, no database at all, locked, away
        raise DatabaseError(f"database {engine.url!r}: {error.orig}; ingest of this version makes its tables") from None
    finally:
        engine.dispose()


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise DatabaseError(f"database {url!r}: expected a URL such as {INGESTS}") from None
