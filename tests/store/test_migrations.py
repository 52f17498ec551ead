"""The scripts and tables.py must not drift apart, and rows live through them."""

from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import column, select, table, text

import host.store
from host.db import migrate, open_engine
from host.store.packing import pack
from host.store.tables import metadata


def test_scripts_and_tables_describe_the_same_database(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/telemetry.db")
    migrate(engine, "host.store")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "schema_version_host_store"})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_current_database_is_left_as_it_is(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/telemetry.db")
    migrate(engine, "host.store")
    migrate(engine, "host.store")
    engine.dispose()


def test_schemas_of_a_database_from_before_know_their_boot(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/telemetry.db")
    move(engine, command.upgrade, "0001")
    with engine.begin() as connection:
        for name in ("aaaa", "bbbb", "cccc"):
            connection.execute(text("INSERT INTO schema VALUES ('d', :name, 'body')"), {"name": name.encode()})
        for boot, seq, kind, name in ((1, 0, 2, "aaaa"), (1, 1, 2, "bbbb"), (1, 2, 1, "aaaa"), (2, 7, 2, "bbbb"), (2, 9, 2, "bbbb"),
                                      (3, 11, 1, "bbbb")):
            connection.execute(
                text("INSERT INTO batch VALUES ('d', :boot, :seq, :kind, :name, 0, 0, 0, 0, NULL, 0, 'x')"),
                {"boot": boot, "seq": seq, "kind": kind, "name": name.encode()})
    migrate(engine, "host.store")
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT hash, body, boot, seq FROM schema ORDER BY hash")).all()
    assert [(row[0], row[2], row[3]) for row in rows] == [(b"aaaa", 1, 0), (b"bbbb", 2, 7), (b"cccc", 0, 0)]
    assert {row[1] for row in rows} == {"body"}
    move(engine, command.downgrade, "0001")
    engine.dispose()


def test_sums_of_a_database_from_before_are_kept(tmp_path):
    """Also those of days whose readings are gone, which nobody could sum again."""
    engine = open_engine(f"sqlite:///{tmp_path}/telemetry.db")
    move(engine, command.upgrade, "0008")
    columns = ([600, 601, 720], [30, 30, 31], [-5, -4, 0], [1, 0, 9], [3, 0, 100], [3, 3, 1])
    packed = [pack(np.array(numbers)) for numbers in columns]
    minutes = b"".join(len(one).to_bytes(3, "little") + one for one in packed)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO series VALUES (7, 'd', 'c', 'W', '0.1', 1, 10)"))
        connection.execute(
            text("INSERT INTO rollup VALUES (7, 20500, 91, -5, 9, -167, 1, :hours, :minutes)"),
            {"hours": "[[10,12],[60,31],[0,5],[1,9],[33,100],[3,1]]", "minutes": minutes})
    migrate(engine, "host.store")
    day_s = 20_500 * 86_400
    with engine.connect() as connection:
        views = {step: table(f"rollup_{step}", *map(column, ("time", "count", "low", "high", "mean", "quality")))
                 for step in ("minute", "hour", "day")}
        told = {step: connection.execute(select(view).order_by(view.c.time)).all() for step, view in views.items()}
        assert connection.execute(text("SELECT id, device, channel, unit FROM series")).all() == [(7, "d", "c", "W")]
    assert [tuple(row) for row in told["hour"]] == [
        (day_s + 36_000, 60, -0.5, -0.4, pytest.approx(-26.7 / 60), 3), (day_s + 43_200, 31, 0.0, 0.9, pytest.approx(10 / 31), 1)]
    assert [tuple(row)[:4] for row in told["minute"]] == [
        (day_s + 36_000, 30, -0.5, -0.4), (day_s + 36_060, 30, -0.4, -0.4), (day_s + 43_200, 31, 0.0, 0.9)]
    assert told["day"][0][:4] == (day_s, 91, -0.5, 0.9)
    engine.dispose()


def move(engine, way, revision):
    """Move a database to a revision, as `host.db.migrate` does to the newest."""
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(host.store.__path__))) / "migrations"))
    config.set_main_option("version_table", "schema_version_host_store")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        way(config, revision)
