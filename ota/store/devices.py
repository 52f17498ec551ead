"""Rows of devices and the totals by firmware version.

Check-ins arrive here in groups: one transaction writes the last word of each device and adds what its counters grew by to the
version that it runs. The growth is computed against the row, inside the transaction, so it does not matter which process saw
the check-in before, and a process that died with its group has cost freshness, not totals.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, case, exists, func, or_, select

from host.rows import insert_new, upsert
from ota.rules import configs as config_rules
from ota.rules import metrics
from ota.rules.configs import LINES, ConfigState
from ota.rules.events import CONFIG, Happened
from ota.rules.values import OPEN, Exposure, Labels, Report
from ota.store import history, labels, tables
from ota.store.history import Event

CHUNK = 500               # values in one IN list; SQLite's default limit of variables is 32,766, older ones 999
CHECKINS = "checkins"     # total by version beside the metrics


@dataclass(frozen=True)
class Sighting:
    """One check-in, as it is kept."""

    report: Report
    boot: int
    slot: str
    root: int
    metrics: Mapping[str, int]
    at_s: float
    config: ConfigState = LINES


@dataclass(frozen=True)
class Device:
    """What the server knows of a device; `report` is its last word.

    Attributes:
        config: the last word on its configuration; failed and reason last until an operator orders another.
        config_wanted: name of the one that it is meant to run.
    """

    report: Report
    boot: int
    slot: str
    root: int
    direction_seq: int
    first_seen_s: float
    last_seen_s: float
    metrics: Mapping[str, int]
    config: ConfigState
    config_wanted: str
    labels: Labels


def record(connection: Connection, sightings: Iterable[Sighting]) -> None:
    """Write a group of check-ins, at most one a device; older ones than the row's are left out. Needs a writing transaction."""
    newest = {each.report.device: each for each in sightings}
    rows = {row.device: row for row in _rows(connection, list(newest))}
    fresh = [each for device, each in newest.items() if device not in rows or each.at_s > rows[device].last_seen_s]
    insert_new(connection, tables.device, [
        _columns(each) | _config(each.config, LINES)
        | {"device": each.report.device, "direction_seq": 0, "first_seen_s": each.at_s}
        for each in fresh if each.report.device not in rows
    ])
    known = [each for each in fresh if each.report.device in rows]
    before = {each.report.device: _config_state(rows[each.report.device]) for each in known}
    changed = [_columns(each) | _config(each.config, before[each.report.device]) | {"key": each.report.device} for each in known]
    if changed:
        connection.execute(tables.device.update().where(tables.device.c.device == bindparam("key")), changed)
    history.note(connection, (event for each in fresh for event in _happened(each, rows.get(each.report.device))))
    _add_up(connection, fresh, rows)


def get(connection: Connection, device: str) -> Device | None:
    """Read one device."""
    row = connection.execute(_labelled().where(tables.device.c.device == device)).first()
    return None if row is None else _device(row)


def quiet(connection: Connection, since_s: float, limit: int) -> Iterator[tuple[Report, int, ConfigState, Labels]]:
    """Read the last words, with boot numbers and labels, of devices heard since a time that have nothing under way and to be sent.

    Args:
        limit: more than so many are left out, whichever.
    """
    table, attempt = tables.device, tables.attempt
    under_way = exists().where(attempt.c.device == table.c.device, attempt.c.state.in_(OPEN))
    is_sent = table.c.config_wanted.in_(("", table.c.config, table.c.config_failed))
    query = select(
        table.c.device, table.c.model, table.c.release, table.c.counter, table.c.manifest, table.c.boot, table.c.config,
        table.c.cohort,
    ).where(table.c.last_seen_s >= since_s, ~table.c.trial, ~table.c.config_trial, is_sent, ~under_way).limit(limit)
    rows = connection.execute(query).all()
    cohorts = labels.all_cohorts(connection)   # after the rows: what those name is never taken away
    for row in rows:
        report = Report(row.device, row.model, row.release, row.counter, row.manifest, trial=False)
        yield report, row.boot, ConfigState(row.config), cohorts[row.cohort]


def page(connection: Connection, after: str, limit: int) -> list[Device]:
    """Read devices in order of their ids, starting behind `after`."""
    query = _labelled().where(tables.device.c.device > after).order_by(tables.device.c.device).limit(limit)
    return [_device(row) for row in connection.execute(query)]


def metrics_page(connection: Connection, after: str, limit: int) -> list[dict[str, Any]]:
    """Read what devices last told of themselves, in order of their ids, starting behind `after`."""
    table = tables.device
    query = select(
        table.c.device, table.c.model, table.c.release, table.c.counter, table.c.cohort, tables.cohort.c.site, table.c.last_seen_s,
        table.c.metrics,
    ).join(tables.cohort, labels.COHORT_OF).where(table.c.device > after).order_by(table.c.device).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]


def totals_by_site(connection: Connection) -> list[dict[str, Any]]:
    """Read the totals of every version of a model at a site."""
    total, cohort, version = tables.version_total.c, tables.cohort.c, tables.version.c
    group = (total.model, total.counter, version.release, cohort.site)
    query = select(*group, total.name, func.sum(total.value).label("value")).join(
        tables.cohort, cohort.ident == total.cohort).join(
        tables.version, (version.model == total.model) & (version.counter == total.counter)).group_by(
        *group, total.name).order_by(*group)
    found: dict[tuple[Any, ...], dict[str, int]] = {}
    for *key, name, value in connection.execute(query):
        found.setdefault(tuple(key), {})[name] = int(value)
    return [{"model": model, "counter": counter, "release": release, "site": site, "totals": totals}
            for (model, counter, release, site), totals in found.items()]


def set_direction_seq(connection: Connection, device: str, seq: int) -> None:
    """Remember the sequence number of the direction that is about to be sent."""
    connection.execute(tables.device.update().where(tables.device.c.device == device).values(direction_seq=seq))


def census(
    connection: Connection, models: Sequence[str], marks_s: Sequence[float],
) -> dict[tuple[str, int, int], tuple[int, ...]]:
    """Count the devices of some models that were heard since each time, by (model, counter, cohort), in one walk over an index."""
    table = tables.device
    group, heard = (table.c.model, table.c.counter, table.c.cohort), table.c.last_seen_s
    query = select(*group, *(func.sum(case((heard >= mark_s, 1), else_=0)) for mark_s in marks_s)).where(
        table.c.model.in_(models), heard >= min(marks_s)).group_by(*group)
    return {(model, counter, cohort): tuple(map(int, numbers)) for model, counter, cohort, *numbers in connection.execute(query)}


def active(connection: Connection, since_s: float) -> int:
    """Count the devices that were heard since a time."""
    query = select(func.count()).select_from(tables.device).where(tables.device.c.last_seen_s >= since_s)
    return int(connection.execute(query).scalar_one())


def versions_seen(connection: Connection, since_s: float) -> list[tuple[str, int]]:
    """Tell the (model, counter) pairs that any device ran since a time."""
    table = tables.version
    query = select(table.c.model, table.c.counter).where(table.c.last_seen_s >= since_s)
    return [(model, counter) for model, counter in connection.execute(query)]


def exposures(
    connection: Connection, models: Sequence[str], counter: int, cohorts: Collection[int],
    versions: tuple[int, int] | None = None,
) -> tuple[Exposure, Exposure]:
    """Add up the totals of some models and cohorts: of the devices while they ran a release, and while they ran anything else.

    Args:
        versions: lowest and highest counter that "anything else" is; None for all.
    """
    table = tables.version_total
    compared = [] if versions is None else [or_(table.c.counter == counter, table.c.counter.between(*versions))]
    query = select(table.c.counter, table.c.name, func.sum(table.c.value).label("value")).where(
        table.c.model.in_(models), one_of(table.c.cohort, cohorts), *compared).group_by(table.c.counter, table.c.name)
    here: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for row in connection.execute(query):
        (here if row.counter == counter else there)[row.name] += int(row.value)
    return Exposure(here.pop("uptime_s", 0), dict(here)), Exposure(there.pop("uptime_s", 0), dict(there))


def version_table(connection: Connection) -> list[dict[str, Any]]:
    """Read every version that was ever seen, with the number of devices that run it now and its totals."""
    running = {(row.model, row.counter): row.number for row in connection.execute(
        select(tables.device.c.model, tables.device.c.counter, func.count().label("number"))
        .group_by(tables.device.c.model, tables.device.c.counter))}
    totals: dict[tuple[str, int], dict[str, int]] = {}
    total = tables.version_total.c
    group = (total.model, total.counter, total.name)
    for row in connection.execute(select(*group, func.sum(total.value).label("value")).group_by(*group)):
        totals.setdefault((row.model, row.counter), {})[row.name] = int(row.value)
    query = select(tables.version).order_by(tables.version.c.model, tables.version.c.counter)
    return [
        {"model": row.model, "counter": row.counter, "release": row.release, "first_seen_s": row.first_seen_s,
         "last_seen_s": row.last_seen_s, "devices": running.get((row.model, row.counter), 0),
         "totals": totals.get((row.model, row.counter), {})}
        for row in connection.execute(query)
    ]


def _add_up(connection: Connection, fresh: Sequence[Sighting], rows: Mapping[str, Row[Any]]) -> None:
    totals: Counter[tuple[str, int, int, str]] = Counter()
    versions: dict[tuple[str, int], dict[str, Any]] = {}
    for each in fresh:
        report, row = each.report, rows.get(each.report.device)
        before, before_boot = (None, 0) if row is None else (row.metrics, row.boot)
        grown = metrics.delta(before, before_boot, each.metrics, each.boot) | {CHECKINS: 1}
        cohort = labels.NO_LABELS if row is None else row.cohort
        for name, value in grown.items():
            totals[report.model, report.counter, cohort, name] += value
        kept = versions.setdefault((report.model, report.counter), {
            "model": report.model, "counter": report.counter, "release": report.release, "first_seen_s": each.at_s,
            "last_seen_s": each.at_s})
        kept["last_seen_s"] = max(kept["last_seen_s"], each.at_s)
    insert_new(connection, tables.version, list(versions.values()))
    for kept in versions.values():
        table = tables.version
        connection.execute(table.update().where(table.c.model == kept["model"], table.c.counter == kept["counter"]).values(
            last_seen_s=kept["last_seen_s"], release=kept["release"]))
    upsert(connection, tables.version_total, [
        {"model": model, "counter": counter, "cohort": cohort, "name": name, "value": value}
        for (model, counter, cohort, name), value in totals.items()
    ], add=["value"])


def one_of(column: ColumnElement[int], numbers: Collection[int]) -> ColumnElement[bool]:
    """A condition with the numbers in its text: there may be more than a statement can have variables."""
    return column.in_(bindparam(None, sorted(numbers), expanding=True, literal_execute=True))


def _happened(sighting: Sighting, row: Row[Any] | None) -> Iterator[Event]:
    """What a check-in adds to its device's history."""
    report, at_s = sighting.report, int(sighting.at_s)
    if row is None or row.counter != report.counter:
        what = Happened.SEEN if row is None else Happened.RUNS
        yield Event(report.device, at_s, what, report.counter, report.release)
    if row is not None:
        for event, name, reason in config_rules.events(_config_state(row), sighting.config):
            yield Event(report.device, at_s, CONFIG[event], report.counter, f"{name} {reason}".strip())


def _labelled() -> Select[Any]:
    return select(tables.device, *labels.COLUMNS).join(tables.cohort, labels.COHORT_OF).join(
        tables.site, labels.SITE_OF, isouter=True)


def _rows(connection: Connection, devices: Sequence[str]) -> Iterable[Row[Any]]:
    for start in range(0, len(devices), CHUNK):
        chunk = devices[start:start + CHUNK]
        yield from connection.execute(select(tables.device).where(tables.device.c.device.in_(chunk)))


def _columns(sighting: Sighting) -> dict[str, Any]:
    report = sighting.report
    return {"model": report.model, "release": report.release, "counter": report.counter, "manifest": report.manifest,
            "boot": sighting.boot, "slot": sighting.slot, "trial": report.trial, "root": sighting.root,
            "last_seen_s": sighting.at_s, "metrics": dict(sighting.metrics)}


def _config(said: ConfigState, before: ConfigState) -> dict[str, Any]:
    failed = said if said.failed else before
    return {"config": said.name, "config_trial": said.trial, "config_failed": failed.failed, "config_reason": failed.reason}


def _config_state(row: Row[Any]) -> ConfigState:
    return ConfigState(row.config, row.config_trial, row.config_failed, row.config_reason)


def _device(row: Row[Any]) -> Device:
    report = Report(row.device, row.model, row.release, row.counter, row.manifest, row.trial, config_trial=row.config_trial)
    return Device(report, row.boot, row.slot, row.root, row.direction_seq, row.first_seen_s, row.last_seen_s, row.metrics,
                  _config_state(row), row.config_wanted, labels.labels_of(row))
