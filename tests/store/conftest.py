"""A telemetry database on disk for each test."""

import pytest

from host.db import migrate, open_engine
from host.store.queries import Queries
from tests.store.filled import NOW, fill


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/telemetry.db")
    migrate(engine, "host.store")
    yield engine
    engine.dispose()


@pytest.fixture
def filled(engine):
    return fill(engine)


@pytest.fixture
def queries(engine):
    reader = open_engine(str(engine.url), read_only=True)
    yield Queries(reader, lambda: NOW + 100_000)
    reader.dispose()
