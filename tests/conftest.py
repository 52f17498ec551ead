"""What all tests share: databases, and no example of a property held against the clock, since machines are shared and noisy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import Engine

from host.db import open_engine
from tests.databases import migrated
from tests.ota import postgresql

settings.register_profile("tenfold", deadline=None)
settings.load_profile("tenfold")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A telemetry database on disk."""
    made = open_engine(migrated(tmp_path / "telemetry.db"))
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def cluster() -> Iterator[postgresql.Cluster]:
    """One PostgreSQL for all tests; it skips, loudly, where there can be none."""
    with postgresql.cluster() as running:
        yield running


@pytest.fixture
def postgresql_url(cluster: postgresql.Cluster) -> Iterator[str]:
    """A telemetry database on it."""
    yield cluster.lend("host.store")
    cluster.take_back()
