"""The scripts and tables.py must not drift apart."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

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
