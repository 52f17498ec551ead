"""The scripts and tables.py must not drift apart, and rows live through them."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text

import host.store
from host.db import migrate, open_engine
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


def move(engine, way, revision):
    """Move a database to a revision, as `host.db.migrate` does to the newest."""
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(host.store.__path__))) / "migrations"))
    config.set_main_option("version_table", "schema_version_host_store")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        way(config, revision)
