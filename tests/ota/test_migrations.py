"""Schema changes on databases that hold rows: nothing is lost on the way up, and the way down leads to the schema before."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, inspect, text

import ota.store
from host.db import migrate, open_engine
from ota.rules.values import Labels, Release
from ota.store import configs, devices, labels, releases
from ota.store.releases import Published
from ota.store.session import reading, writing

MANIFEST = "b" * 64
FIRST = """INSERT INTO release
    (manifest, release, counter, models, from_lo, from_hi, stone, mpy, artifact, size_bytes, added_s, added_by)
    VALUES (:manifest, '1.1.0', 2, '["hall"]', 0, 1, 0, 6, :artifact, 1234, 5.5, 'op.release')"""
ROLLOUT = """INSERT INTO rollout
    (rollout, manifest, policy, state, stage, stage_since_s, excused_s, population, capacity, bucket_limit, offered, reason,
     added_s, added_by)
    VALUES ('r1', :manifest, '{}', 'done', 0, 0, 0, 1, 1, 1, 1, '', 0, 'op.release')"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database as the first schema left it: a release, and a rollout that refers to it."""
    made = open_engine(f"sqlite:///{tmp_path}/ota.db")
    move(made, command.upgrade, "0001")
    with made.begin() as connection:
        connection.execute(text(FIRST), {"manifest": MANIFEST, "artifact": "a" * 64})
        connection.execute(text(ROLLOUT), {"manifest": MANIFEST})
    yield made
    made.dispose()


def move(engine: Engine, way, revision: str) -> None:
    """Move a database to a revision, as `host.db.migrate` does to the newest."""
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(ota.store.__path__))) / "migrations"))
    config.set_main_option("version_table", "schema_version_ota_store")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        way(config, revision)


def columns(engine: Engine) -> set[str]:
    return {column["name"] for column in inspect(engine).get_columns("release")}


def test_a_release_of_the_first_schema_has_no_image(engine: Engine) -> None:
    migrate(engine, "ota.store")
    with reading(engine) as connection:
        (found,) = releases.all_published(connection)
    assert found == Published(Release(MANIFEST, "1.1.0", 2, ("hall",), 0, 1, stone=False), 6, "a" * 64, 1234, 5.5, "op.release")
    assert (found.image, found.image_bytes) == (None, None)


def test_down_and_up_again_loses_only_the_image(engine: Engine) -> None:
    before = columns(engine)
    migrate(engine, "ota.store")
    image = hashlib.sha256(b"image").hexdigest()
    second = Published(
        Release("c" * 64, "1.2.0", 3, ("hall",), 0, 2, stone=True), 6, "d" * 64, 99, 6.5, "op.release", image, 1_600_000)
    with writing(engine) as connection:
        releases.add(connection, second)
        assert releases.get(connection, "c" * 64) == second
        assert releases.naming(connection, image)
    move(engine, command.downgrade, "0001")
    assert columns(engine) == before
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT manifest, size_bytes FROM release ORDER BY counter")).all()
        assert [tuple(row) for row in rows] == [(MANIFEST, 1234), ("c" * 64, 99)]
        assert connection.execute(text("SELECT manifest FROM rollout")).scalars().all() == [MANIFEST]
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
    migrate(engine, "ota.store")
    assert columns(engine) - before == {"image", "image_bytes", "retired_s"}
    with reading(engine) as connection:
        assert [each.image for each in releases.all_published(connection)] == [None, None]
        assert not releases.naming(connection, image)


DEVICE_0003 = """INSERT INTO device
    (device, model, release, counter, manifest, boot, slot, trial, root, direction_seq, first_seen_s, last_seen_s, metrics)
    VALUES ('hall-000000000001', 'hall', '1.1.0', 1, '', 1, 'a', 0, 1, 0, 1000, 2000, '{}')"""
EVENT_0003 = """INSERT INTO config_event (device, at_s, event, name, reason)
    VALUES ('hall-000000000001', :at_s, :event, :name, :reason)"""


def test_what_configurations_did_is_in_the_history_and_totals_belong_to_no_labels(engine: Engine) -> None:
    move(engine, command.upgrade, "0003")
    told = [(1_000.5, "trial", "aa", ""), (1_001.0, "failed", "aa", "no readings came"), (1_002.0, "runs", "", "")]
    with engine.begin() as connection:
        connection.execute(text(DEVICE_0003))
        for at_s, event, name, reason in told:
            connection.execute(text(EVENT_0003), {"at_s": at_s, "event": event, "name": name, "reason": reason})
        connection.execute(text("INSERT INTO version_total (model, counter, name, value) VALUES ('hall', 1, 'uptime_s', 77)"))
    migrate(engine, "ota.store")
    with reading(engine) as connection:
        shown = configs.events(connection, "hall-000000000001", 10)
        (device,) = devices.page(connection, "", 10)
        (total,) = connection.execute(text("SELECT model, counter, cohort, name, value FROM version_total")).all()
    assert [tuple(each.values()) for each in reversed(shown)] == [(int(at_s), *rest) for at_s, *rest in told]
    assert device.labels == Labels()
    assert tuple(total) == ("hall", 1, 1, "uptime_s", 77)
    with writing(engine) as connection:
        labels.put(connection, ["hall-000000000001"], Labels("nord", ("pilot",)))
        connection.execute(text("INSERT INTO version_total VALUES ('hall', 1, 2, 'uptime_s', 23)"))
    move(engine, command.downgrade, "0003")
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT at_s, event, name, reason FROM config_event ORDER BY ident")).all()
        total = connection.execute(text("SELECT value FROM version_total")).scalar_one()
    assert [tuple(row) for row in rows] == [(int(at_s), *rest) for at_s, *rest in told]
    assert total == 100
    migrate(engine, "ota.store")
    with reading(engine) as connection:
        assert [each["event"] for each in configs.events(connection, "hall-000000000001", 10)] == ["runs", "failed", "trial"]


def test_a_stage_of_an_older_schema_has_gathered_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO stage (rollout, stage, opened_s, baseline) VALUES ('r1', 0, 5.5, '{}')"))
    migrate(engine, "ota.store")
    with reading(engine) as connection:
        (row,) = connection.execute(text("SELECT stage, opened_s, gathered FROM stage")).all()
    assert tuple(row) == (0, 5.5, None)
