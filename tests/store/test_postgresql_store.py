"""The same on PostgreSQL: partitions, functions for Grafana, pg_dump."""

import shutil
import subprocess

import pytest

from host.bench.postgres import programs
from host.clock import DAY_MS
from host.db import open_engine
from host.store.backup import backup, refuse_used, restore
from host.store.check import check
from host.store.classes import ChannelClass, Classes
from host.store.compact import STALE_MS, compact, sweep
from host.store.dropping import retain
from host.store.maintenance import MaintenanceError, alone
from host.store.parts import parts_of
from host.store.queries import Queries
from host.store.rolling import roll
from host.store.rollups import STEPS, Rollups
from tests.ingest.records import DEVICE
from tests.ota import postgresql
from tests.store.days_of import NOW, START, fill, history, quick_history
from tests.store.test_compact import answers

TWO = Classes(classes=(ChannelClass(name="fast", channels=("vib*",), days=30), ChannelClass(name="rest")))


@pytest.fixture
def engine(postgresql_url):
    engine = open_engine(postgresql_url)
    yield engine
    engine.dispose()


def test_answers_are_the_same_before_and_after(engine):
    messages = history(days=4)
    fill(engine, *messages[:40])
    compact(engine, NOW, TWO)
    fill(engine, *messages[40:])
    roll(engine, NOW)
    before = answers(engine)
    assert compact(engine, NOW, TWO).batches > 0
    roll(engine, NOW)
    assert answers(engine) == before
    assert sweep(engine, parts_of(engine), NOW + STALE_MS) > 0
    assert answers(engine) == before
    assert check(engine) == []
    assert fill(engine, *messages, now_ms=NOW).records == 0


def test_a_partition_is_dropped_as_a_whole(engine):
    fill(engine, *history(days=3))
    compact(engine, NOW, TWO)
    kept = Queries(engine).series(DEVICE, ["temperature"], START, NOW, 100_000)
    (drop,) = retain(engine, TWO, NOW + 30 * DAY_MS)
    assert drop.part.name == "2026-02.fast"
    with engine.connect() as connection:
        assert [part.name for part in parts_of(engine).all(connection)] == ["2026-02.rest"]
    assert Queries(engine).series(DEVICE, ["temperature"], START, NOW, 100_000) == kept


def test_two_cannot_be_at_work(engine):
    with alone(engine), pytest.raises(MaintenanceError, match="another"):
        compact(engine, NOW, TWO)


def test_grafanas_function_and_the_views_say_what_rollups_say(engine):
    """By psql, not by our driver."""
    fill(engine, *quick_history())
    roll(engine, NOW)
    folder = engine.url.query["host"]
    given = [f"device={DEVICE}", f"since={START // 1000}", f"until={NOW // 1000}"]
    columns = "SELECT extract(epoch FROM time)::bigint, count, low, high, "
    for step in STEPS:
        for query in (
            columns + "value FROM tenfold_rollup(:'device', 'temperature', to_timestamp(:since), to_timestamp(:until), :'step');",
            columns + f"mean FROM rollup_{step} WHERE device = :'device' AND channel = 'temperature' ORDER BY time;",
        ):
            told = [word for one in (*given, f"step={step}") for word in ("-v", one)]
            said = subprocess.run(
                [programs() / "psql", "-h", folder, "-U", "tenfold", "-At", "-F", ",", *told, engine.url.database],
                input=query, capture_output=True, text=True, check=True).stdout
            rows = [tuple(map(float, line.split(","))) for line in said.splitlines()]
            meant = [(one.t_ms / 1000, one.count, one.low, one.high, pytest.approx(one.mean))
                     for one in Rollups(engine).of(DEVICE, "temperature", START, NOW, step)]
            assert rows == meant
            assert rows


def test_backup_and_restore_by_its_own_tools(engine, tmp_path):
    if shutil.which("pg_dump") is None:
        pytest.skip("NOT TESTED: pg_dump is not installed; on Debian: apt-get install postgresql-client")
    fill(engine, *history())
    compact(engine, NOW, TWO)
    roll(engine, NOW)
    before = answers(engine)
    assert backup(engine, tmp_path / "telemetry.dump") > 1000
    with pytest.raises(MaintenanceError, match="already"):
        refuse_used(engine)
    with postgresql.cluster() as other:
        url = other.create()
        restore(url, tmp_path / "telemetry.dump")
        restored = open_engine(url)
        assert answers(restored) == before
        assert check(restored) == []
        restored.dispose()
