"""A telemetry database for each test: SQLite on disk, or one of a PostgreSQL of our own."""

import pytest
from sqlalchemy import create_engine

from host.db import migrate, open_engine
from host.store import tables as t
from tests.ota import postgresql


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/telemetry.db")
    migrate(engine, "host.store")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def cluster():
    with postgresql.cluster() as running:
        yield running


@pytest.fixture(scope="session")
def migrated(cluster):
    """The URL of one database at the newest schema; it takes seconds to make."""
    url = cluster.create()
    engine = open_engine(url)
    migrate(engine, "host.store")
    engine.dispose()
    return url


@pytest.fixture
def postgresql_url(migrated):
    """That database, without rows."""
    engine = create_engine(migrated, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        rows = ", ".join(table.name for table in t.metadata.sorted_tables)
        connection.exec_driver_sql(f"TRUNCATE {rows} RESTART IDENTITY")
    engine.dispose()
    return migrated
