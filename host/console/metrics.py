"""`GET /metrics`: the fleet's figures for Prometheus.

Puts the sources together: telemetry database, OTA server, ledger. One that is away costs its own figures and is told as such
(`tenfold_source_up`); the figures themselves are host.monitor's. However many scrape, sources are asked once in `metrics_keep_s`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import APIRouter, Request, Response
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from host.console.ota import OtaSource
from host.console.settings import ConsoleSettings
from host.console.telemetry import Telemetry
from host.console.watched import SourceError, Watched
from host.db import DatabaseError, open_engine
from host.monitor.exposition import CONTENT_TYPE, render
from host.monitor.facts import Told, Totals
from host.monitor.samples import away_samples, fleet_samples
from host.monitor.words import told_of, totals_of
from host.settings import SettingsError
from provisioning import rows as ledger_rows

router = APIRouter()


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
        fleet, (told, totals), ends_s = await asyncio.gather(
            asyncio.to_thread(self.telemetry.fleet), self._reported(), asyncio.to_thread(self._ends))
        known = replace(fleet, told=told, totals=totals, certificate_ends_s=ends_s)
        return await asyncio.to_thread(lambda: render(fleet_samples(known, devices_max=self.devices_max)))

    def close(self) -> None:
        """Close the ledger's connections."""
        if self.ledger is not None:
            self.ledger.dispose()

    async def _reported(self) -> tuple[Mapping[str, Told] | None, list[Totals] | None]:
        try:
            rows, sums = await asyncio.gather(self.ota.told(), self.ota.totals())
        except SourceError:
            return None, None
        return told_of(rows), totals_of(sums)

    def _ends(self) -> Mapping[str, int] | None:
        return None if self.ledger is None else certificate_ends(self.ledger)


def certificate_ends(ledger: Engine) -> Mapping[str, int] | None:
    """When devices' certificates end, by the ledger; None when it cannot be read."""
    file = ledger.url.database if ledger.dialect.name == "sqlite" else None
    if file and not Path(file).is_file():   # opening it would make an empty one
        return None
    try:
        with ledger.connect() as connection:
            return ledger_rows.certificate_ends(connection)
    except SQLAlchemyError:
        return None


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

