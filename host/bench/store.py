"""Bytes a reading on disk and times of queries of our store, and of VictoriaMetrics where it is installed.

Decides what is stored and what is counted. Sizes: each recording goes through the real ingest as batches of 60 samples, once for
each of some devices; the files are counted as received, with rollups, and compacted with rollups, after SQLite's own VACUUM, so
that no figure hides or counts free room. Every reading is read back from the compacted store and compared. Queries: a month of
one device and the newest values of many. The peer gets the same readings at the same times, as the decimals of the channel's
resolution; it has no rollups. It is counted after it was stopped, and must give all of them back when it is started again.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from sqlalchemy import Engine, select

from host.bench import victoria
from host.bench.codec import CodecError, Recording
from host.bench.workload import CHANNELS, typical
from host.clock import DAY_MS
from host.db import migrate, open_engine
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.store.classes import ONE_CLASS
from host.store.compact import compact
from host.store.newest import LOOKBACK
from host.store.parts import FileParts
from host.store.queries import Queries
from host.store.rolling import roll
from host.store.segments import snapshot
from host.store.tables import batch as batches
from host.store.telemetry import Telemetry
from node.errors import CallerError
from node.wire import batch, schema, topics

SAMPLES = 60
START_MS = 20_500 * DAY_MS       # 2026-02-16
LATER_MS = START_MS + 600 * DAY_MS   # when ingest gets it all: a clock ahead of its own places nothing
AT_ONCE = 500                    # messages of one commit
READINGS, QUICK_READINGS = 5_000_000, 1_000_000   # at least so many, by as many devices with the whole recording each
MOST_DEVICES = 200
MONTH_DAYS, POINTS = 30, 1000
PERIOD_MS, QUICK_PERIOD_MS = 10_000, 120_000   # of the month
FLEET, QUICK_FLEET = 10_000, 1_000
REPEATS = 3                      # of each query; the median counts


class Sizes(TypedDict):
    """One recording's bytes a reading; None where there is no peer."""

    readings: int
    devices: int
    fresh_bytes_per_reading: float
    rollup_bytes_per_reading: float
    compacted_bytes_per_reading: float
    columns_bytes_per_reading: float
    victoriametrics_bytes_per_reading: float | None


class Times(TypedDict):
    """Milliseconds of one query: of batches as received, of day columns, of the peer; None where it has none."""

    fresh_ms: float
    compacted_ms: float
    victoriametrics_ms: float | None


Say = Callable[[str], None]


def devices_for(recording: Recording, *, quick: bool) -> int:
    """How many devices play a recording, so that there are readings enough."""
    wanted = QUICK_READINGS if quick else READINGS
    return min(MOST_DEVICES, -(-wanted // _readings(recording)))


def sizes(recording: Recording, folder: Path, devices: int, say: Say) -> Sizes:
    """Store one recording for some devices and count. What a database without a row takes is taken off; parts count whole."""
    engine = _made(folder / "telemetry.db")
    empty = _vacuumed(engine)
    say("encoding")
    records = list(_records(recording))
    readings = devices * _readings(recording)
    say("storing")
    for number in range(devices):
        _store(engine, _name(number), recording.channels, records)
    fresh = _vacuumed(engine) - empty
    say("summing up")
    roll(engine, LATER_MS)
    with_rollups = _vacuumed(engine) - empty
    say("compacting")
    _compact(engine)
    parts = sum(path.stat().st_size for path in FileParts(Path(f"{engine.url.database}.parts")).folder.glob("*.db"))
    compacted = _vacuumed(engine) - empty + parts
    say("reading back")
    _compare(engine, recording, _name(devices - 1))
    engine.dispose()
    peer = _peer_size(recording, folder / "victoria", devices, readings, say) if victoria.found() else None
    return Sizes(
        readings=readings, devices=devices, fresh_bytes_per_reading=fresh / readings,
        rollup_bytes_per_reading=with_rollups / readings,
        compacted_bytes_per_reading=compacted / readings, columns_bytes_per_reading=parts / readings,
        victoriametrics_bytes_per_reading=None if peer is None else peer / readings,
    )


def queries(folder: Path, *, quick: bool, say: Say) -> dict[str, Times]:
    """Time a day of a channel, a month downsampled, and the newest values of many devices."""
    period_ms, fleet = (QUICK_PERIOD_MS, QUICK_FLEET) if quick else (PERIOD_MS, FLEET)
    engine = _made(folder / "queries.db")
    say("a month of readings")
    columns = typical(1, MONTH_DAYS * DAY_MS // period_ms)
    month = Recording(Path("month"), CHANNELS, tuple(map(list, columns)), period_ms, (), frozenset())
    _store(engine, _name(0), CHANNELS, list(_records(month)))
    newest = [next(_records(Recording(Path("newest"), CHANNELS, tuple(column[:SAMPLES] for column in month.columns), period_ms, (),
                                      frozenset())))]
    many = _made(folder / "fleet.db")   # of its own: what stays for newest values is the same before and after compaction
    _fleet(many, fleet, newest)
    lo, hi = START_MS, START_MS + MONTH_DAYS * DAY_MS - 1
    asked: dict[str, Callable[[], object]] = {
        "day_of_a_channel": lambda: Queries(engine).series(_name(0), ["pressure"], lo + DAY_MS, lo + 2 * DAY_MS, 1 << 20),
        "month_to_1000_points": lambda: Queries(engine).series(_name(0), ["pressure"], lo, hi, POINTS),
        f"latest_of_{fleet}_devices": lambda: _latest(many, fleet),
    }
    say("asking")
    fresh = {name: _median_ms(ask) for name, ask in asked.items()}
    _compact(engine)
    compacted = {name: _median_ms(ask) for name, ask in asked.items()}
    engine.dispose()
    many.dispose()
    peer = dict.fromkeys(asked)
    if victoria.found():
        say("VictoriaMetrics")
        peer = dict(zip(asked, _peer_times(month, folder / "victoria", fleet, lo, hi), strict=True))
    return {name: Times(fresh_ms=fresh[name], compacted_ms=compacted[name], victoriametrics_ms=peer[name]) for name in asked}


def _latest(engine: Engine, fleet: int) -> int:
    return sum(map(len, Queries(engine).latest_of([_name(number) for number in range(fleet)]).values()))


def _made(path: Path) -> Engine:
    engine = open_engine(f"sqlite:///{path}")
    migrate(engine, "host.store")
    return engine


def _readings(recording: Recording) -> int:
    return max(1, sum(len(column) - column.count(None) for column in recording.columns))


def _name(number: int) -> str:
    return f"hall-{number:012x}"


def _records(recording: Recording) -> Iterator[bytes]:
    """The recording as batches of a device that sampled on its grid; the last one may be shorter."""
    told = schema.schema_hash(schema.build(list(recording.channels)))
    seq = 1
    for start in range(0, recording.rows, SAMPLES):
        for raw in _fitting(recording, told, start, SAMPLES, seq):
            yield raw
            seq += 1


def _fitting(recording: Recording, told: bytes, start: int, rows: int, seq: int) -> list[bytes]:
    """Rows as one record, or as two where it would be too large, as the device's batcher does."""
    columns = [column[start : start + rows] for column in recording.columns]
    if all(value is None for column in columns for value in column):
        return []
    try:
        period_ms = recording.period_ms
        return [batch.encode(1, seq, told, start * period_ms, START_MS, batch.QUALITY_NTP, period_ms, columns, [])]
    except CallerError as error:
        if error.code != "batch.large":
            raise
    first = _fitting(recording, told, start, rows // 2, seq)
    return first + _fitting(recording, told, start + rows // 2, rows - rows // 2, seq + len(first))


def _store(engine: Engine, device: str, channels: Sequence[tuple[str, str, str]], records: Sequence[bytes]) -> None:
    """Through the real ingest, as if the broker had given them."""
    committer = Committer(Telemetry(engine))
    told = [(topics.state(device), topics.encode_state(1, "1.0.0", 1, (1, 0), "power")),
            (topics.up(device), batch.schema_record(1, 0, schema.build(list(channels))))]
    told += [(topics.up(device), record) for record in records]
    for at in range(0, len(told), AT_ONCE):
        committer.commit([sort(*one) for one in told[at : at + AT_ONCE]], LATER_MS)


def _fleet(engine: Engine, fleet: int, records: Sequence[bytes]) -> None:
    committer = Committer(Telemetry(engine))
    told = schema.build(list(CHANNELS))
    for first in range(0, fleet, AT_ONCE // 2):
        names = [_name(number) for number in range(first, min(fleet, first + AT_ONCE // 2))]
        group = [(topics.up(name), raw) for name in names for raw in (batch.schema_record(1, 0, told), *records)]
        committer.commit([sort(*one) for one in group], LATER_MS)


def _compact(engine: Engine) -> None:
    roll(engine, LATER_MS)
    compact(engine, LATER_MS, ONE_CLASS, settled_ms=0)
    roll(engine, LATER_MS)


def _vacuumed(engine: Engine) -> int:
    """Bytes of the main database without free room."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    path = Path(str(engine.url.database))
    return path.stat().st_size + Path(f"{path}-wal").stat().st_size


def _compare(engine: Engine, recording: Recording, device: str) -> None:
    """The store gives back what was put in, from day columns.

    Raises:
        CodecError: it does not.
    """
    found: dict[str, list[tuple[Any, Any]]] = {}
    queries = Queries(engine)
    with snapshot(engine) as connection:
        hot = len(connection.execute(select(batches.c.seq).where(batches.c.device == device)).all())
        for segment in queries.segments(connection, device, None, 0, START_MS + (recording.rows + 1) * recording.period_ms):
            for channel, values, valid in zip(segment.channels, segment.values, segment.valid, strict=True):
                found.setdefault(channel.name, []).append((segment.times[valid], values[valid]))
    if hot > 1 + LOOKBACK:   # the schema, and what stays for newest values
        raise CodecError(f"{recording.path}: {hot} batches were not compacted")
    for (name, _, _), column in zip(recording.channels, recording.columns, strict=True):
        times, values = (np.concatenate([one[at] for one in found.get(name, [(np.empty(0), np.empty(0))])]) for at in range(2))
        order = np.argsort(times)
        meant = [(START_MS + at * recording.period_ms, value) for at, value in enumerate(column) if value is not None]
        if list(zip(times[order].tolist(), values[order].tolist(), strict=True)) != meant:
            raise CodecError(f"{recording.path}, {name}: the store gives back otherwise than was put in")


def _series(recording: Recording, devices: int) -> Iterator[victoria.Series]:
    for (name, _, resolution), column in zip(recording.channels, recording.columns, strict=True):
        step = Decimal(resolution)
        times = [START_MS + at * recording.period_ms for at, value in enumerate(column) if value is not None]
        values = [f"{(value * step).normalize():f}" for value in column if value is not None]
        for number in range(devices):
            yield {"__name__": name, "device": _name(number)}, times, values


def _peer_size(recording: Recording, folder: Path, devices: int, readings: int, say: Say) -> int:
    say("VictoriaMetrics")
    with victoria.running(folder) as peer:
        peer.load(_series(recording, devices))
    size = victoria.bytes_on_disk(folder)
    end_ms = START_MS + recording.rows * recording.period_ms
    with victoria.running(folder) as peer:   # what was counted holds them all
        got = sum(peer.export(f'{{device="{_name(number)}"}}', START_MS, end_ms) for number in range(devices))
    if got != readings:
        raise victoria.VictoriaError(f"VictoriaMetrics: {got} of {readings} readings came back after a restart")
    return size


def _peer_times(month: Recording, folder: Path, fleet: int, lo: int, hi: int) -> list[float]:
    with victoria.running(folder) as peer:
        peer.load(_series(month, 1))
        short = Recording(month.path, month.channels, tuple(column[:SAMPLES] for column in month.columns), month.period_ms, (),
                          frozenset())
        peer.load(one for one in _series(short, fleet) if one[0]["device"] != _name(0))
        match = f'pressure{{device="{_name(0)}"}}'
        newest_ms = lo + SAMPLES * month.period_ms
        return [
            _median_ms(lambda: peer.export(match, lo + DAY_MS, lo + 2 * DAY_MS)),
            _median_ms(lambda: peer.extremes(match, lo, hi, POINTS)),
            _median_ms(lambda: peer.latest('{device!=""}', newest_ms)),
        ]


def _median_ms(ask: Callable[[], object]) -> float:
    took = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took)
