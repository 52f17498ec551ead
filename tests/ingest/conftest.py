"""A telemetry database on disk for each test."""

import pytest

from host.db import migrate, open_engine


@pytest.fixture
def engine(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/telemetry.db")
    migrate(engine, "host.store")
    yield engine
    engine.dispose()
