"""What a group becomes in the database and in acks, once more on a real PostgreSQL."""

import pytest

from host.db import open_engine
from tests.ingest.test_commit import *  # noqa: F403

test_failed_commit_leaves_nothing_behind_and_can_be_repeated = None   # locks and plans of SQLite
test_no_commit_reads_a_whole_history = None


@pytest.fixture
def engine(postgresql_url):
    engine = open_engine(postgresql_url)
    assert engine.dialect.name == "postgresql"
    yield engine
    engine.dispose()
