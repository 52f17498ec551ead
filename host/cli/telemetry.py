"""How commands reach the telemetry database, and how people name a device in it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from host.db import DatabaseError, open_engine
from host.ingest.settings import IngestSettings
from host.settings import SettingsError
from host.store.queries import Queries

DEMO = Path("build/demo/telemetry.db")   # where `tenfold up` and `tenfold demo` keep theirs
SHOWN = 8                                # names in an error
Database = Annotated[str, typer.Option(
    "--database", envvar="TENFOLD_TELEMETRY", show_default=False,
    help=f"Telemetry database, e.g. postgresql+psycopg://…; else that of the plant in {DEMO.parent}, else ingest's default.")]


@dataclass(frozen=True)
class Store:
    """An open telemetry database, read only."""

    engine: Engine
    queries: Queries

    def devices(self, names: Sequence[str]) -> list[str]:
        """Full ids of devices that are named whole or by the end of their names; none named means all.

        Raises:
            SettingsError: a name means none or several.
        """
        known = [row.device for row in self.queries.devices()]
        return list(dict.fromkeys(_named(name, known) for name in names)) if names else known


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """Open the database that `--database` names or means.

    Raises:
        DatabaseError: it is not there, or holds no telemetry.
    """
    chosen = url or default()
    parsed = make_url(chosen) if "://" in chosen else None
    if parsed is None:
        raise DatabaseError(f"database {chosen!r}: expected a URL such as sqlite:///telemetry.db")
    if parsed.get_backend_name() == "sqlite" and parsed.database and not Path(parsed.database).is_file():
        raise DatabaseError(f"database {chosen!r}: no such file; name it with --database, or start a plant with `tenfold up`")
    engine = open_engine(chosen, read_only=True)
    try:
        yield Store(engine, Queries(engine))
    except OperationalError as error:
        raise DatabaseError(f"database {engine.url!r}: {error.orig}") from None
    finally:
        engine.dispose()


def default() -> str:
    """The database that is meant when none is named."""
    return f"sqlite:///{DEMO}" if DEMO.is_file() else str(IngestSettings.model_fields["database"].default)


def _named(name: str, known: Iterable[str]) -> str:
    found = [device for device in known if device == name] or [device for device in known if device.endswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise SettingsError("device", repr(name), "the id of a device that was heard, or its end; `tenfold data latest` lists them")
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise SettingsError("device", f"{name!r}, the end of {', '.join(found[:SHOWN])}{more}", "the end of one name only")
