"""`GET /metrics`: the fleet's figures for Prometheus.

Puts the sources together: telemetry database, OTA server, ledger. One that is away costs its own figures and is told as such
(`tenfold_source_up`); the figures themselves are host.monitor's. However many scrape, sources are asked once in `metrics_keep_s`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request, Response
from sqlalchemy import Engine

from host.console.ota import NONE, OtaSource
from host.console.settings import ConsoleSettings
from host.console.telemetry import Telemetry
from host.console.watched import SourceError, Watched
from host.db import DatabaseError, open_engine
from host.ledger import certificate_ends
from host.monitor.exposition import CONTENT_TYPE, render
from host.monitor.facts import LEDGER, UPDATE_SERVER, Told, Totals
from host.monitor.samples import away_samples, fleet_samples
from host.monitor.words import told_of, totals_of
from host.settings import SettingsError

router = APIRouter()


@dataclass(frozen=True)
class Reported:
    """What the OTA server told; as the fields of Fleet."""

    told: Mapping[str, Told] | None = None
    totals: list[Totals] | None = None
    away: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Scrape:
    """What a scrape asks.

    Attributes:
        ledger: None: certificates' ends are not known.
        devices_max: as fleet_samples.
    """

    telemetry: Telemetry
    ota: OtaSource
    ledger: Engine | None
    devices_max: int

    async def text(self) -> bytes:
        """Ask all sources at once and tell what they said."""
        fleet, reported, ends_s = await asyncio.gather(
            asyncio.to_thread(self.telemetry.fleet), self._reported(), asyncio.to_thread(self._ends))
        away = reported.away | ({LEDGER} if self.ledger is not None and ends_s is None else frozenset())
        known = replace(fleet, told=reported.told, totals=reported.totals, certificate_ends_s=ends_s, away=away)
        return await asyncio.to_thread(lambda: render(fleet_samples(known, devices_max=self.devices_max)))

    def close(self) -> None:
        """Close the ledger's connections."""
        if self.ledger is not None:
            self.ledger.dispose()

    async def _reported(self) -> Reported:
        try:
            rows, sums = await asyncio.gather(self.ota.told(), self.ota.totals())
        except SourceError as error:
            return Reported(away=frozenset() if error.code == NONE else frozenset((UPDATE_SERVER,)))
        return Reported(told_of(rows), totals_of(sums))

    def _ends(self) -> Mapping[str, int] | None:
        return None if self.ledger is None else certificate_ends(self.ledger)


def make_scrape(settings: ConsoleSettings, telemetry: Telemetry, ota: OtaSource) -> Scrape:
    """The scrape that the settings name.

    Raises:
        SettingsError: the ledger's URL is no database URL.
    """
    try:
        ledger = open_engine(settings.ledger, read_only=True) if settings.ledger else None
    except DatabaseError as error:
        raise SettingsError("ledger", repr(settings.ledger), f"a database URL ({error})") from None
    return Scrape(telemetry, ota, ledger, settings.metrics_devices)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """All figures; an error of the telemetry database is a sample too, not an answer without any."""
    watched = request.app.state.metrics
    assert isinstance(watched, Watched)  # noqa: S101  app.create_app put it there
    known = await watched.get()
    body = known.value if known.error is None else render(away_samples())
    return Response(body, media_type=CONTENT_TYPE)

