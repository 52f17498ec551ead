"""How commands reach the telemetry database, and how people name a device in it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine

from host.cli import database
from host.settings import SettingsError
from host.store.queries import Queries

SHOWN = 8                                # names in an error


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
        DatabaseError: as host.cli.database.opened.
    """
    with database.opened(url) as engine:
        yield Store(engine, Queries(engine))


def _named(name: str, known: Iterable[str]) -> str:
    found = [device for device in known if device == name] or [device for device in known if device.endswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if not found:
        raise SettingsError("device", repr(name), "the id of a device that was heard, or its end; `tenfold data latest` lists them")
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise SettingsError("device", f"{name!r}, the end of {', '.join(found[:SHOWN])}{more}", "the end of one name only")
