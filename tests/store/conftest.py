"""A telemetry database on disk for each test, perhaps filled, and queries of it."""

import pytest

from host.db import open_engine
from host.store.queries import Queries
from tests.store.filled import NOW, fill


@pytest.fixture
def filled(engine):
    return fill(engine)


@pytest.fixture
def queries(engine):
    reader = open_engine(str(engine.url), read_only=True)
    yield Queries(reader, lambda: NOW + 100_000)
    reader.dispose()
