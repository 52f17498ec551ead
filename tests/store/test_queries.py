"""What consoles read: right values at right times, and nothing that cannot be read stops the rest."""

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from host.db import open_engine
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.store import queries as module
from host.store.queries import Queries
from host.store.telemetry import Telemetry
from node.wire import batch, schema
from tests.ingest.records import CHANNELS, DEVICE, OTHER, PERIOD_MS, batch_of, schema_of, state, up, will
from tests.store.filled import Filled

NOW = 1_800_000_000_000


@pytest.fixture
def put(engine):
    committer = Committer(Telemetry(engine))
    return lambda *messages, now_ms=NOW: committer.commit([sort(*one) for one in messages], now_ms)


@pytest.fixture
def queries(engine):
    reader = open_engine(str(engine.url), read_only=True)
    yield Queries(reader, lambda: NOW + 5_000)
    reader.dispose()


def batches(count, start=1, **keys):
    return [up(batch_of(1, seq, quality=3, epoch_ms=NOW, **keys)) for seq in range(start, start + count)]


def test_series_places_values_in_time_and_unit(put, queries):
    put(up(schema_of(1, 0)), *batches(2))
    series = queries.series(DEVICE, ["temperature"], NOW, NOW + 10_000, 100)
    assert series == {"temperature": (
        [NOW + 1000, NOW + 1250, NOW + 1750, NOW + 2000, NOW + 2250, NOW + 2750],
        [21.01, 21.02, 21.04, 21.02, 21.03, 21.05],   # the third sample of each batch is missing
    )}


def test_window_cuts_within_batches(put, queries):
    put(up(schema_of(1, 0)), *batches(3))
    times, _ = queries.series(DEVICE, None, NOW + 1250, NOW + 2000, 100)["vibration"]
    assert times == [NOW + 1250, NOW + 1500, NOW + 1750, NOW + 2000]


def test_window_that_starts_inside_a_batch_gets_its_rest(put, queries):
    put(up(schema_of(1, 0)), *batches(1))
    times, _ = queries.series(DEVICE, ["vibration"], NOW + 1500, NOW + 1500, 100)["vibration"]
    assert times == [NOW + 1500]


def test_channels_without_points_are_absent(put, queries):
    put(up(schema_of(1, 0)), *batches(1, columns=[[None, None], [1, 2]]))
    assert set(queries.series(DEVICE, None, NOW, NOW + 10_000, 100)) == {"vibration"}
    assert queries.series(DEVICE, ["no_such"], NOW, NOW + 10_000, 100) == {}
    assert queries.series(OTHER, None, NOW, NOW + 10_000, 100) == {}


def test_long_series_keeps_a_spike_of_one_sample(put, queries):
    spike = [[0] * 49 + [9999] + [0] * 50, [1] * 100]
    flat = [[0] * 100, [1] * 100]
    put(up(schema_of(1, 0)), *(
        up(batch_of(1, seq, quality=3, epoch_ms=NOW, uptime_ms=seq * 25_000, columns=spike if seq == 7 else flat))
        for seq in range(1, 21)
    ))
    times, values = queries.series(DEVICE, ["temperature"], NOW, NOW + 600_000, 50)["temperature"]
    assert len(times) <= 50
    assert (max(values), times[values.index(99.99)]) == (99.99, NOW + 7 * 25_000 + 49 * PERIOD_MS)


def test_boot_without_a_clock_is_shown_as_unplaced_until_it_is_known(put, queries):
    put(up(schema_of(1, 0)), up(batch_of(1, 1)))
    assert queries.devices()[0].unplaced == 1
    assert queries.series(DEVICE, None, 0, 2 * NOW, 100) == {}
    assert queries.latest(DEVICE)[0].t_ms is None
    put(*batches(1, start=2))
    assert queries.devices()[0].unplaced == 0
    assert len(queries.series(DEVICE, None, 0, 2 * NOW, 100)["temperature"][0]) == 6


def test_batch_is_readable_once_its_schema_comes(put, queries):
    put(*batches(1))
    assert queries.latest(DEVICE) == []
    assert queries.series(DEVICE, None, NOW, NOW + 10_000, 100) == {}
    assert queries.devices()[0].schema_missing
    put(up(schema_of(1, 2)))
    assert queries.latest(DEVICE)[0].channel == "temperature"
    assert not queries.devices()[0].schema_missing


def test_batch_that_does_not_fit_its_schema_is_left_out_and_counted(put, queries):
    put(up(schema_of(1, 0)), *batches(1), *batches(1, start=2, columns=[[1], [2], [3]]), *batches(1, start=3))
    times, _ = queries.series(DEVICE, ["vibration"], NOW, NOW + 10_000, 100)["vibration"]
    assert len(times) == 8
    assert queries.undecodable == 1


def test_channel_that_fell_silent_is_old_and_not_current(put, queries):
    put(up(schema_of(1, 0)), *batches(1), *batches(1, start=2, columns=[[None, None], [20, 21]]))
    temperature, vibration = queries.latest(DEVICE)
    assert (temperature.value, temperature.quality, temperature.t_ms) == (21.04, "old", NOW + 1750)
    assert (vibration.value, vibration.quality, vibration.unit) == (0.021, "good", "mm/s")


def test_channel_that_never_spoke_has_no_value(put, queries):
    put(up(schema_of(1, 0)), *batches(1, columns=[[None, None], [20, 21]]))
    assert (queries.latest(DEVICE)[0].value, queries.latest(DEVICE)[0].quality) == (None, "none")


def test_changed_schema_joins_the_series_by_name(put, queries):
    wider = schema.build([("humidity", "%RH", "0.5"), *CHANNELS])
    put(up(schema_of(1, 0)), *batches(1), up(schema_of(2, 2, wider)))
    put(up(batch_of(2, 3, quality=3, epoch_ms=NOW, columns=[[90], [2200], [7]], schema_hash=schema.schema_hash(wider))))
    series = queries.series(DEVICE, None, NOW, NOW + 10_000, 100)
    assert series["temperature"][1] == [21.01, 21.02, 21.04, 22.0]
    assert series["humidity"] == ([NOW + 3000], [45.0])
    assert [one.name for one in queries.channels(DEVICE)] == ["humidity", "temperature", "vibration"]


STATS = schema.build([(f"oil.{kind}", "Cel", "0.1") for kind in ("min", "mean", "max", "std")])


def windows(boot, seq, uptime_ms, columns, period_ms=60_000):
    """A batch of a group of windows."""
    raw = batch.encode(boot, seq, schema.schema_hash(STATS), uptime_ms, NOW, 3, period_ms, columns, [])
    return up(raw)


def test_both_groups_of_a_device_are_read(put, queries):
    put(up(schema_of(1, 0)), up(schema_of(1, 1, STATS)), *batches(3, start=2))
    put(windows(1, 5, 60_000, [[200, 210], [205, 215], [210, 220], [3, 4]]), *batches(1, start=6))
    assert [one.name for one in queries.channels(DEVICE)] == [
        "temperature", "vibration", "oil.min", "oil.mean", "oil.max", "oil.std"]
    latest = {one.channel: one for one in queries.latest(DEVICE)}
    assert (latest["oil.std"].value, latest["oil.std"].t_ms, latest["oil.std"].quality) == (0.4, NOW + 120_000, "good")
    assert (latest["vibration"].value, latest["vibration"].quality) == (0.013, "good")
    series = queries.series(DEVICE, None, NOW, NOW + 200_000, 100)
    assert series["oil.mean"] == ([NOW + 60_000, NOW + 120_000], [20.5, 21.5])
    assert len(series["vibration"][0]) == 16


def test_slow_group_is_not_buried_under_the_batches_of_a_fast_one(put, queries):
    put(up(schema_of(1, 0)), up(schema_of(1, 1, STATS)), windows(1, 2, 1_000, [[200, 210], [205, 215], [210, 220], [3, 4]]))
    put(*batches(200, start=3))
    assert {one.channel: one.quality for one in queries.latest(DEVICE)} == dict.fromkeys(
        ("temperature", "vibration", "oil.min", "oil.mean", "oil.max", "oil.std"), "good")
    at = NOW + 61_000   # the second row of a batch that began before 58 batches of the other group
    assert queries.series(DEVICE, ["oil.max"], at, at, 100) == {"oil.max": ([at], [22.0])}


def test_group_of_an_earlier_boot_is_no_longer_shown(put, queries):
    put(up(schema_of(1, 0)), up(schema_of(1, 1, STATS)), windows(1, 2, 1_000, [[1], [1], [1], [0]]))
    put(up(schema_of(2, 3)), up(batch_of(2, 4, quality=3, epoch_ms=NOW)))
    assert [one.channel for one in queries.latest(DEVICE)] == ["temperature", "vibration"]
    assert "oil.max" in queries.series(DEVICE, None, NOW, NOW + 10_000, 100)


def test_schemas_told_again_keep_their_order(put, queries):
    put(up(schema_of(1, 0)), up(schema_of(1, 1, STATS)), *batches(1, start=2), up(schema_of(1, 3)), up(schema_of(1, 4, STATS)))
    assert [one.name for one in queries.channels(DEVICE)][:3] == ["temperature", "vibration", "oil.min"]


def test_devices_join_what_is_stored_with_who_is_online(put, queries):
    put(state(1, (1, 0)), up(schema_of(1, 0)), *batches(2), state(1, (1, 0), device=OTHER), will(OTHER))
    first, second = queries.devices()
    assert (first.device, first.online, first.release, first.readings, first.batches, first.next_seq) == (
        DEVICE, True, "1.0.0", 14, 2, 3)
    assert (second.device, second.online, second.readings, second.last_ms) == (OTHER, False, 0, 0)


def test_device_without_a_state_message_is_neither_on_nor_off(put, queries):
    put(up(schema_of(1, 0)))
    assert queries.devices()[0].online is None


def test_totals_and_rates(put, queries):
    put(up(schema_of(1, 0)), *batches(2), up(b"\x01poison"), state(1, (1, 0)))
    totals = queries.totals()
    assert (totals.devices, totals.online, totals.readings_stored, totals.batches, totals.quarantined) == (1, 1, 14, 2, 1)
    assert totals.readings_per_s == pytest.approx(14 / 65)


def test_totals_of_an_empty_store(queries):
    assert (queries.totals().devices, queries.totals().readings_per_s, queries.devices(), queries.quarantined()) == (0, 0, [], [])


def test_quarantine_is_shown_newest_first(put, queries):
    put(up(b"\x01poison"))
    put(("x", b"y"), now_ms=NOW + 1)
    newest = queries.quarantined()[0]
    assert (newest.topic, newest.reason, newest.size) == ("x", "topic.name", 1)


def test_connectivity_by_release_from_the_store(put, queries):
    put(state(1, (1, 0)), now_ms=NOW - 3_600_000)
    put(will(), now_ms=NOW - 1_800_000)
    (row,) = queries.version_connectivity(NOW - 3_600_000, NOW)
    assert (row.release, row.devices, row.online, row.connects, row.drops) == ("1.0.0", 1, 0, 1, 1)
    assert row.online_share == pytest.approx(0.5)
    (row,) = queries.version_connectivity(NOW - 900_000, NOW)   # nothing happened in it: the state is known from before
    assert (row.drops, row.online_share) == (0, 0.0)


def test_reader_cannot_write(put, queries):
    with pytest.raises(OperationalError), queries._engine.begin() as connection:
        connection.execute(text("DELETE FROM batch"))


def test_series_reads_by_index(put, queries):
    """A window of an hour must not read the device's years."""
    put(up(schema_of(1, 0)), *batches(2))
    statements = []
    with queries._engine.connect() as connection:
        event.listen(queries._engine, "before_cursor_execute", lambda *given: statements.append(given[2:4]))
        list(module._window(connection, DEVICE, NOW, NOW + 1))
        for statement, values in statements[1:3]:   # the first asks how many schemas there are
            plan = " ".join(row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values))
            assert "USING INDEX ix_batch_start (device=? AND start_ms" in plan, plan
            assert "TEMP" not in plan, plan


def test_device_whose_channels_have_dots_of_their_own_keeps_its_newest_values(engine, queries):
    """SenML allows `gate.alarm` as a name; only a schema that holds nothing but an alarm's columns tells alarms."""
    made = Filled(engine)
    mixed = [("gate.alarm", "", "1"), ("level", "m", "0.01")]
    made.told(DEVICE, mixed)
    made.put(DEVICE, mixed, 0, [[1], [250]])
    assert [(one.channel, one.value) for one in queries.latest(DEVICE)] == [("gate.alarm", 1.0), ("level", 2.5)]
