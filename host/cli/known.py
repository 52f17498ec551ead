"""What commands know of the fleet: the telemetry database, and where they are named the OTA server and the ledger.

A source that is not named costs figures; one that is named and does not answer costs them too and is said. Reads only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from host.cli.database import opened
from host.cli.server import connect
from host.clock import HOUR_MS
from host.db import open_engine
from host.ledger import certificate_ends
from host.monitor.facts import LEDGER, UPDATE_SERVER, Fleet
from host.monitor.words import told_of, totals_of
from host.store.fleet import read_fleet
from ota.client import OtaClient, OtaError

Hours = Annotated[float, typer.Option(min=0.1, max=24 * 90, help="Of the past that links are looked at.")]
Url = Annotated[str, typer.Option(
    "--server", envvar="TENFOLD_SERVER", help="OTA server, for models, sites, crashes and memory, e.g. https://localhost:8443.")]
Ca = Annotated[Path | None, typer.Option("--ca", envvar="TENFOLD_CA", help="PEM bundle that verifies the server.")]
Cert = Annotated[Path | None, typer.Option("--cert", envvar="TENFOLD_CERT", help="PEM certificate of the operator (op.…).")]
Key = Annotated[Path | None, typer.Option("--key", envvar="TENFOLD_KEY", help="Its PEM key.")]
Ledger = Annotated[str, typer.Option("--ledger", envvar="TENFOLD_LEDGER", help="URL of the ledger, for certificates' ends.")]


@dataclass(frozen=True)
class Sources:
    """Where a command looks; `url`, `ledger` empty: not there."""

    database: str = ""
    url: str = ""
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    ledger: str = ""

    def client(self) -> OtaClient | None:
        """A client of the OTA server; None when it or the certificate for it is not named."""
        if not (self.url and self.ca and self.cert and self.key):
            return None
        return connect(self.url, self.ca, self.cert, self.key)


@dataclass(frozen=True)
class Known:
    """A fleet, and what could not be asked, as lines for people."""

    fleet: Fleet
    notes: tuple[str, ...]


def read(sources: Sources, now_ms: int, hours: float) -> Known:
    """Ask all sources.

    Raises:
        DatabaseError: the telemetry database is not there or holds no telemetry.
    """
    with opened(sources.database) as engine:
        return know(engine, sources, now_ms, hours)


def know(engine: Engine, sources: Sources, now_ms: int, hours: float) -> Known:
    """Ask the telemetry database that is open, and the other sources."""
    fleet = read_fleet(engine, now_ms, round(hours * HOUR_MS))
    notes = []
    try:
        client = sources.client()
        if client is None:
            notes.append("no OTA server is named (--server, --ca, --cert, --key): models, sites and crashes are unknown")
        else:
            with client:
                fleet = replace(fleet, told=told_of(client.metrics()), totals=totals_of(client.metric_totals()))
    except OtaError as error:
        fleet = replace(fleet, away=frozenset((UPDATE_SERVER,)))
        notes.append(f"the OTA server does not tell ({error.code}): models, sites and crashes are unknown")
    if sources.ledger:
        fleet = replace(fleet, certificate_ends_s=_ends(sources.ledger))
        if fleet.certificate_ends_s is None:
            fleet = replace(fleet, away=fleet.away | {LEDGER})
            notes.append("the ledger cannot be read: when certificates end is unknown")
    return Known(fleet, tuple(notes))


def _ends(url: str) -> Mapping[str, int] | None:
    engine = open_engine(url, read_only=True)
    try:
        return certificate_ends(engine)
    finally:
        engine.dispose()
