"""Rows: the migrations make the tables that the code expects, groups of check-ins add up, writers take turns."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, select

from host.db import migrate, open_engine
from ota.rules.values import Policy, Release, Report, Rollout, RolloutState
from ota.store import devices, releases, rollouts, tables
from ota.store.devices import Sighting
from ota.store.session import reading, writing
from tests.ota import support

REPORT = Report("hall-000000000001", "hall", "1.1.0", 1, "", trial=False)
FIRST = Sighting(REPORT, 1, "a", 1, {"uptime_s": 100, "drops": 1, "resets": 0}, 1_000.0)


@pytest.fixture
def engine(tmp_path: Path):
    made = open_engine(support.new_database(tmp_path))
    yield made
    made.dispose()


def record(engine: Engine, *sightings: Sighting) -> None:
    with writing(engine) as connection:
        devices.record(connection, sightings)


def totals(engine: Engine) -> dict[int, dict[str, int]]:
    with reading(engine) as connection:
        return {each["counter"]: each["totals"] for each in devices.version_table(connection)}


def test_the_migrations_make_the_tables(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={
            "include_name": lambda name, kind, _parents: kind != "table" or not name.startswith("schema_version")})
        assert compare_metadata(context, tables.metadata) == []


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    record(engine, FIRST)
    migrate(engine, "ota.store")
    assert totals(engine) == {1: {"checkins": 1}}


def test_growth_goes_to_the_version_that_runs(engine: Engine) -> None:
    record(engine, FIRST)
    record(engine, replace(FIRST, metrics={"uptime_s": 150, "drops": 3, "resets": 0}, at_s=1_050.0))
    newer = REPORT._replace(release="1.2.0", counter=2)
    record(engine, Sighting(newer, 2, "b", 1, {"uptime_s": 20, "drops": 0, "resets": 1}, 1_080.0))
    assert totals(engine) == {
        1: {"checkins": 2, "uptime_s": 50, "drops": 2}, 2: {"checkins": 1, "uptime_s": 20, "resets": 1}}


def test_the_same_check_in_seen_twice_counts_once(engine: Engine) -> None:
    later = replace(FIRST, metrics={"uptime_s": 150, "drops": 3, "resets": 0}, at_s=1_050.0)
    record(engine, FIRST)
    record(engine, later)
    record(engine, later)
    record(engine, FIRST)   # from a process that flushed late
    assert totals(engine)[1] == {"checkins": 2, "uptime_s": 50, "drops": 2}


def test_first_contact_of_one_device_by_many_processes_makes_one_row(engine: Engine) -> None:
    start = threading.Barrier(8)

    def contact(index: int) -> None:
        start.wait()
        record(engine, replace(FIRST, at_s=1_000.0 + index))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(contact, range(8)))
    with reading(engine) as connection:
        assert len(connection.execute(select(tables.device)).all()) == 1


@pytest.fixture
def rollout(engine: Engine) -> Rollout:
    release = Release("b" * 64, "1.2.0", 2, ("hall",), 0, 1)
    made = Rollout("r1", release, Policy(), RolloutState.RUNNING, population=100, capacity=3, limit=10_000)
    with writing(engine) as connection:
        releases.add(connection, releases.Published(release, 6, "a" * 64, 10, 0.0, "op.release"))
        rollouts.insert(connection, made, 0.0, "op.release")
    return made


def test_places_are_never_given_twice(engine: Engine, rollout: Rollout) -> None:
    def take(_index: int) -> bool:
        with writing(engine) as connection:
            return rollouts.take_place(connection, rollout)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(20))) == 3


@pytest.mark.parametrize("change", [{"state": RolloutState.HALTED}, {"stage": 1}])
def test_a_place_is_not_given_in_a_rollout_that_has_moved_on(engine: Engine, rollout: Rollout, change: dict[str, object]) -> None:
    with writing(engine) as connection:
        rollouts.save(connection, replace(rollout, **change))
        assert not rollouts.take_place(connection, rollout)


def test_what_is_written_is_read(engine: Engine, rollout: Rollout) -> None:
    with reading(engine) as connection:
        assert rollouts.get(connection, "r1") == rollout
        assert rollouts.get(connection, "r2") is None
        assert rollouts.in_states(connection, [RolloutState.DONE]) == []


def test_an_error_leaves_nothing_of_a_transaction(engine: Engine) -> None:
    def broken() -> None:
        with writing(engine) as connection:
            devices.record(connection, [FIRST])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert totals(engine) == {}


def test_devices_are_counted_by_when_they_were_heard_last(engine: Engine) -> None:
    record(engine, FIRST)
    record(engine, replace(FIRST, report=FIRST.report._replace(device="hall-0000000000ff"), at_s=2_000.0))
    record(engine, replace(FIRST, report=FIRST.report._replace(device="hall-0000000000fe", counter=2), at_s=3_000.0))
    with reading(engine) as connection:
        model = FIRST.report.model
        assert devices.census(connection, [model], [500.0, 1_500.0, 5_000.0]) == {
            (model, 1, 1): (2, 1, 0), (model, 2, 1): (1, 1, 0)}
        assert devices.census(connection, [model], [1_500.0]) == {(model, 1, 1): (1,), (model, 2, 1): (1,)}
        assert devices.census(connection, ["roof"], [0.0]) == {}
