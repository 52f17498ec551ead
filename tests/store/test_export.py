"""Exports read back by others' readers: every stored value exactly, and nothing else."""

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from host.store.export import export
from host.store.export_arrow import ExportError
from host.store.shape import Order
from tests.ingest.records import DEVICE, OTHER
from tests.store.filled import NOW

BOTH = Order((DEVICE, OTHER), None, 0, 2 * NOW)


def made(queries, form, order=BOTH, **keys):
    return b"".join(export(queries, order, form, **keys))


def table(content, form):
    return pq.read_table(io.BytesIO(content)) if form == "parquet" else pa.ipc.open_file(io.BytesIO(content)).read_all()


def unix_ms(at):
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def test_csv_is_read_back_exactly(filled, queries):
    content = made(queries, "csv").decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert content.count("\r\n") == content.count("\n") == len(rows) + 1
    assert list(rows[0]) == ["time_ms", "time", "device", "channel", "unit", "value", "quality"]
    found = [(row["device"], int(row["time_ms"]), row["channel"], row["unit"], Decimal(row["value"])) for row in rows]
    assert sorted(found) == sorted(filled.rows)
    assert all(unix_ms(datetime.fromisoformat(row["time"])) == int(row["time_ms"]) for row in rows)
    assert {row["quality"] for row in rows} == {"ntp"}


def test_csv_shows_the_places_of_the_resolution(filled, queries):
    first = next(csv.DictReader(io.StringIO(made(queries, "csv", Order((DEVICE,), ("temperature",), 0, NOW)).decode(), newline="")))
    assert (first["value"], first["time"]) == ("21.40", "2027-01-15T08:00:00.000Z")


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_columns_are_read_back_exactly(filled, queries, form):
    found = table(made(queries, form), form)
    rows = [(row["device"], unix_ms(row["time"]), row["channel"], row["unit"], row["value"]) for row in found.to_pylist()]
    assert sorted(rows) == sorted((*row[:4], float(row[4])) for row in filled.rows)
    assert found.schema.field("time").type == pa.timestamp("ms", tz="UTC")
    assert found.schema.metadata[b"resolution.odd"] == b"0.03"


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_wide_rows_hold_the_same_readings(filled, queries, form):
    content = made(queries, form, wide=True)
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        found = [(row["device"], int(row["time_ms"]), name, Decimal(row[name]))
                 for row in rows for name in list(row)[4:] if row[name]]
        assert list(rows[0])[4:] == ["temperature", "odd", "big", "oil.mean"]
    else:
        rows = table(content, form).to_pylist()
        found = [(row["device"], unix_ms(row["time"]), name, row[name])
                 for row in rows for name in list(row)[3:] if row[name] is not None]
    assert sorted(found) == sorted((row[0], row[1], row[2], row[4] if form == "csv" else float(row[4])) for row in filled.rows)
    times = [row[1] for row in filled.of()]
    twice = 2   # two boots whose clocks disagree: two readings of one channel at one time never share a row
    assert len([row for row in rows if row["device"] == DEVICE]) == len(set(times)) + twice


def test_wide_columns_tell_units_where_one_changed(filled, queries):
    filled.told(OTHER, [("oil.mean", "K", "0.5")])
    filled.put(OTHER, [("oil.mean", "K", "0.5")], 9_000, [[600]])
    content = made(queries, "csv", Order((OTHER,), None, 0, 2 * NOW), wide=True).decode()
    rows = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [(row["oil.mean [Cel]"], row["oil.mean [K]"]) for row in rows] == [("0.1", ""), ("0.2", ""), ("0.3", ""), ("", "300.0")]
    schema = table(made(queries, "parquet", Order((OTHER,), None, 0, 2 * NOW), wide=True), "parquet").schema
    assert schema.field("oil.mean [K]").metadata == {b"unit": b"K", b"resolution": b"0.5"}


def test_batches_before_the_clock_was_known_are_marked(filled, queries):
    filled.put(OTHER, [("oil.mean", "Cel", "0.1")], 5_000, [[9]], epoch_ms=0, quality=0)
    rows = list(csv.DictReader(io.StringIO(made(queries, "csv", Order((OTHER,), None, 0, 2 * NOW)).decode(), newline="")))
    assert [(int(row["time_ms"]) - NOW, row["quality"]) for row in rows] == [
        (500, "ntp"), (750, "ntp"), (1000, "ntp"), (5000, "boot")]


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
@pytest.mark.parametrize("wide", [False, True])
def test_an_empty_window_is_a_file_with_columns_and_no_rows(filled, queries, form, wide):
    content = made(queries, form, Order((DEVICE,), None, 5, 6), wide=wide)
    if form == "csv":
        assert content.startswith(b"time_ms,time,device,")
        assert content.count(b"\r\n") == 1
    else:
        assert table(content, form).num_rows == 0


def test_progress_only_grows_and_ends_at_one(filled, queries):
    told = []
    made(queries, "csv", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_without_pyarrow_the_install_line_is_told_before_the_first_byte(filled, queries, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ExportError, match=r"pip install 'tenfold\[analysis\]'"):
        export(queries, BOTH, "parquet")
    assert made(queries, "csv")
