"""Rows of the anomaly detectors: states, models and findings <-> values.

Decides SQL and how long findings are kept, and nothing else. A state and the findings that it found are written in one
transaction: after a crash both are of the same moment. A row that does not fit this version is left out and logged; the
device's detectors then learn anew.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, Table, delete, select

from host.clock import DAY_MS
from host.monitor.anomaly import forest, state
from host.monitor.anomaly.findings import Finding
from host.monitor.anomaly.forest import Forest
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import DeviceWatch
from host.rows import upsert
from host.store.tables import anomaly_finding, anomaly_model, anomaly_state

log = logging.getLogger(__name__)

FINDING_DAYS = 90   # findings that ended are kept; as link events are


class AnomalyRows:
    """Reads and writes of one telemetry database; an engine opened read-only will do for reading."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def state(self, device: str, tuning: Tuning) -> DeviceWatch | None:
        """A device's detectors as they were saved; None when they are to learn anew."""
        body = self._body(anomaly_state, device)
        if body is None:
            return None
        try:
            return state.load(str(body), tuning)
        except state.StateError as error:
            log.warning("the anomaly detectors of %s learn anew: %s", device, error)
            return None

    def model(self, device: str) -> Forest | None:
        """A device's forest; None when there is none that can be used."""
        body = self._body(anomaly_model, device)
        if body is None:
            return None
        try:
            return forest.load(bytes(body))
        except (forest.ModelError, TypeError) as error:   # TypeError: not even bytes
            log.warning("the anomaly model of %s is not used: %s", device, error)
            return None

    def findings(self, from_ms: int, device: str | None = None) -> list[Finding]:
        """Findings that were seen at or after `from_ms`, the newest first."""
        query = select(anomaly_finding.c.body).where(anomaly_finding.c.last_ms >= from_ms)
        if device is not None:
            query = query.where(anomaly_finding.c.device == device)
        with self._engine.connect() as connection:
            bodies = connection.scalars(query.order_by(anomaly_finding.c.last_ms.desc())).all()
        found = []
        for body in bodies:
            try:
                found.append(Finding(**json.loads(body)))
            except (TypeError, ValueError) as error:
                log.warning("a stored finding is left out: %s", error)
        return found

    def save(self, watch: DeviceWatch, findings: Iterable[Finding], now_ms: int) -> None:
        """Keep a device's detectors and what they found; findings that ended long ago go."""
        with self._engine.begin() as connection:
            upsert(connection, anomaly_state, [{"device": watch.device, "at_ms": now_ms, "body": state.dump(watch)}])
            upsert(connection, anomaly_finding, [
                {"device": one.device, "channel": one.channel, "kind": one.kind, "since_ms": one.since_ms, "last_ms": one.last_ms,
                 "until_ms": one.until_ms, "body": json.dumps(asdict(one))} for one in findings])
            connection.execute(delete(anomaly_finding).where(
                anomaly_finding.c.until_ms.is_not(None), anomaly_finding.c.last_ms < now_ms - FINDING_DAYS * DAY_MS,
                anomaly_finding.c.device == watch.device))

    def save_model(self, device: str, model: Forest) -> None:
        """Keep a device's forest in place of the one before."""
        with self._engine.begin() as connection:
            upsert(connection, anomaly_model, [{"device": device, "trained_ms": model.trained_ms, "body": model.dump()}])

    def _body(self, table: Table, device: str) -> Any:
        with self._engine.connect() as connection:
            return connection.scalar(select(table.c.body).where(table.c.device == device))
