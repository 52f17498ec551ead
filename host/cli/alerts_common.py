"""What the alert commands share: the database, samples, times and lists of labels as people write them."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from host.cli import times
from host.cli.database import opened
from host.cli.known import Sources, know
from host.clock import DAY_MS
from host.db import DatabaseError, open_engine
from host.monitor.anomaly.findings import scores_of
from host.monitor.sample import Sample
from host.monitor.samples import fleet_samples
from host.settings import SettingsError
from host.store import alerts
from host.store.anomalies import AnomalyRows

WINDOW_H = 24   # of links, as everywhere
ANOMALY_MS = DAY_MS   # a finding that nobody has seen for longer is not told on: its watcher has ended
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
log = logging.getLogger("host.monitor.alerting")


@contextmanager
def database(url: str, *, write: bool = False) -> Iterator[Connection]:
    """Open the telemetry database that `--database` names or means; what is written is committed at the end.

    Raises:
        DatabaseError: it is not there, not one of this release, or at fault.
    """
    with opened(url) as engine:
        used = open_engine(engine.url.render_as_string(hide_password=False)) if write else engine
        try:
            with used.begin() as connection:
                yield connection
        except DBAPIError as error:
            told = f"database {engine.url!r}: {error.orig}"
            raise DatabaseError(f"{told}; if tables are missing, `tenfold alerts run` makes them") from None
        finally:
            used.dispose()


def reader(sources: Sources) -> Callable[[int], list[Sample]]:
    """Make the function that reads all that is known as of a time (Unix milliseconds), device by device.

    It raises DatabaseError when the telemetry database cannot be read. Other sources that are away are told as such, once.
    """
    said: list[tuple[str, ...]] = []
    unasked = {name for name, named in (("update_server", sources.url), ("ledger", sources.ledger)) if not named}

    def read(now_ms: int) -> list[Sample]:
        with opened(sources.database) as engine:
            known = know(engine, sources, now_ms, WINDOW_H)
            anomalies = scores_of(AnomalyRows(engine).findings(now_ms - ANOMALY_MS), now_ms)
            with engine.connect() as connection:
                quarantined = alerts.quarantined(connection)
        if said != [known.notes]:
            for note in known.notes:
                log.warning("%s", note)
            said[:] = [known.notes]
        found = [
            each for each in fleet_samples(known.fleet, devices_max=None)
            if each.metric != "tenfold_source_up" or each.labels["source"] not in unasked   # what nobody named is not away
        ]
        return [*found, *anomalies, Sample("tenfold_ingest_quarantined_total", {}, quarantined)]

    return read


def seconds(option: str, words: str) -> float:
    """Read a length of time, e.g. 90s, 30m, 2h, 3d, 1w."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", words)
    if found is None:
        raise typer.BadParameter(f"got {words!r}, expected a length of time, e.g. 30m, 2h or 3d", param_hint=option)
    return float(found[1]) * UNITS_S[found[2]]


def time_ms(option: str, words: str) -> int:
    """Read a time with its zone."""
    try:
        at = datetime.fromisoformat(words)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise typer.BadParameter(f"got {words!r}, expected a time with its zone, e.g. 2027-06-05T22:00+02:00", param_hint=option)
    return int(at.timestamp() * 1000)


def since_ms(words: str, now_ms: int) -> int:
    """Read a time, or how long ago it was."""
    return now_ms - int(seconds("--since", words) * 1000) if words[-1:] in UNITS_S else time_ms("--since", words)


def when(at_ms: int) -> str:
    """Tell a time to people."""
    return f"{times.utc(at_ms)}Z"


def matchers(words: list[str]) -> dict[str, str]:
    """Read LABEL=PATTERN pairs."""
    found = {}
    for word in words:
        label, equals, pattern = word.partition("=")
        if not equals or not re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", label) or not pattern:
            raise typer.BadParameter(f"got {word!r}, expected LABEL=PATTERN, e.g. site=nord", param_hint="LABEL=PATTERN")
        found[label] = pattern
    return found


def samples(path: Path) -> list[Sample]:
    """Read samples, one JSON object a line.

    Raises:
        SettingsError: a line is none.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            told = json.loads(line)
            found.append(Sample(str(told["metric"]), {str(key): str(value) for key, value in told["labels"].items()},
                                float(told["value"])))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsError(f"{path}, line {number}", line[:80], '{"metric": "…", "labels": {…}, "value": 1}') from None
    return found
