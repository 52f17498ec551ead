"""What the telemetry database tells the console, as plain JSON values.

Decides shapes and bounds only; host.store.queries decides what is true. Every call blocks and belongs on a thread. A database
that is absent, empty or locked is a SourceError, never an exception that ends a page.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Engine, case, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from host.clock import DAY_MS
from host.console.watched import SourceError
from host.db import DatabaseError, open_engine
from host.monitor import presence
from host.monitor.facts import Fleet
from host.settings import SettingsError
from host.store.fleet import read_fleet
from host.store.queries import Queries
from host.store.tables import link_event

SPARK_MS = 120_000       # window of a row's little plot
SPARK_POINTS = 60        # it is about 120 pixels wide, and each bucket gives two points
Json = dict[str, object]
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def _told(ask: Callable[Concatenate["Telemetry", P], R]) -> Callable[Concatenate["Telemetry", P], R]:
    """Turn what goes wrong in the database into a SourceError."""

    @wraps(ask)
    def guarded(self: "Telemetry", /, *args: P.args, **kwargs: P.kwargs) -> R:
        if self.file is not None and not self.file.exists():   # opening it would make an empty one
            raise SourceError("telemetry.absent", "there is no telemetry database yet: ingest makes it when it starts")
        try:
            return ask(self, *args, **kwargs)
        except OperationalError as error:
            if "no such table" in str(error.orig):
                raise SourceError("telemetry.empty", "the telemetry database has no tables yet: ingest makes them") from None
            raise SourceError("telemetry.unreachable", f"the telemetry database cannot be read: {error.orig}") from None
        except SQLAlchemyError as error:
            raise SourceError("telemetry.unreachable", f"the telemetry database cannot be read: {error}") from None

    return guarded


class Telemetry:
    """Questions to one database.

    Args:
        database: URL.
        clock_ms: Unix milliseconds.

    Raises:
        SettingsError: the URL is no database URL.
    """

    def __init__(self, database: str, clock_ms: Callable[[], int]) -> None:
        try:
            url = make_url(database)
            self._engine = open_engine(database, read_only=True)
        except (ArgumentError, DatabaseError) as error:
            raise SettingsError("database", repr(database), f"a database URL ({error})") from None
        self._queries = Queries(self._engine, clock_ms)
        self._clock_ms = clock_ms
        self.file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    @_told
    def totals(self) -> Json:
        """Sums of the whole fleet; `bytes_per_reading` is None while there are no readings."""
        totals = self._queries.totals()
        per_reading = totals.bytes / totals.readings_stored if totals.readings_stored else None
        return asdict(totals) | {"bytes_per_reading": per_reading}

    @_told
    def devices(self) -> list[Json]:
        """Every device, by id; `drops` are its lost connections of the last 24 hours."""
        drops = self._drops(self._clock_ms() - DAY_MS)
        return [asdict(row) | {"drops": drops.get(row.device, 0)} for row in self._queries.devices()]

    @_told
    def versions(self) -> list[Json]:
        """How well devices stay connected, release by release, over the last 24 hours."""
        return [
            asdict(links) | {"online_share": links.online_share, "drops_per_device_day": links.drops_per_device_day}
            for links in self._queries.version_connectivity()
        ]

    @_told
    def quarantined(self) -> list[Json]:
        """What could not be stored under a name, newest first."""
        return [asdict(row) for row in self._queries.quarantined(limit=20)]

    @_told
    def fleet(self) -> Fleet:
        """All that ingest knows, for the monitor's figures."""
        return read_fleet(self._engine, self._clock_ms())

    @_told
    def device(self, device: str) -> Json | None:
        """One device with its channels' newest values; None when it was never heard."""
        row = next((row for row in self._queries.devices() if row.device == device), None)
        if row is None:
            return None
        drops = self._drops(self._clock_ms() - DAY_MS, device)
        return asdict(row) | {
            "drops": drops.get(device, 0), "latest": [asdict(one) for one in self._queries.latest(device)],
        }

    @_told
    def series(self, device: str, channels: Sequence[str] | None, from_ms: int, to_ms: int, max_points: int) -> list[Json]:
        """Points of some channels in a window, in the schema's order; a channel without points has empty lists."""
        found = self._queries.series(device, channels, from_ms, to_ms, max_points)
        known = self._queries.channels(device)
        units = {one.name: (one.unit, str(one.resolution)) for one in known}
        names = [one.name for one in known if channels is None or one.name in channels]
        names += [name for name in found if name not in units]   # of an older schema
        return [
            {"name": name, "unit": units.get(name, ("", ""))[0], "resolution": units.get(name, ("", ""))[1],
             "t": found.get(name, ([], []))[0], "v": found.get(name, ([], []))[1]}
            for name in names
        ]

    @_told
    def spark(self, device: str, channel: str | None) -> Json:
        """The last two minutes of one channel, None the device's first; empty lists when there is nothing."""
        known = self._queries.channels(device)
        names = [one.name for one in known]
        name = channel if channel in names else (names[0] if names else None)
        if name is None:
            return {"channel": "", "unit": "", "resolution": "", "t": [], "v": []}
        now_ms = self._clock_ms()
        times, values = self._queries.series(device, [name], now_ms - SPARK_MS, now_ms, SPARK_POINTS).get(name, ([], []))
        one = known[names.index(name)]
        return {"channel": name, "unit": one.unit, "resolution": str(one.resolution), "t": times, "v": values}

    @_told
    def asked(self, question: Callable[[Queries, Engine], T]) -> T:
        """Put any other question to the database."""
        return question(self._queries, self._engine)

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()

    def _drops(self, from_ms: int, device: str | None = None) -> dict[str, int]:
        """Lost connections by device. An update ends the link too and is not counted: host.monitor.connectivity."""
        kinds = {presence.DROP: 1, presence.UPDATE: -1}
        query = (
            select(link_event.c.device, func.sum(case(kinds, value=link_event.c.kind, else_=0)))
            .where(link_event.c.at_ms >= from_ms, link_event.c.kind.in_(kinds)).group_by(link_event.c.device)
        )
        if device is not None:
            query = query.where(link_event.c.device == device)
        with self._engine.connect() as connection:
            return {name: max(0, int(count)) for name, count in connection.execute(query)}
