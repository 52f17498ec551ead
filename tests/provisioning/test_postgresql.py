"""The ledger on a real PostgreSQL: its tests again, with this module's database in place of a SQLite file."""

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from tests.ota.postgresql import Cluster
from tests.provisioning.test_far_station import *  # noqa: F403
from tests.provisioning.test_ledger import *  # noqa: F403
from tests.provisioning.test_recorder import *  # noqa: F403


@pytest.fixture
def ledger_url(cluster: Cluster) -> Iterator[str]:
    yield cluster.lend("provisioning")
    cluster.take_back()


def test_the_tests_of_this_module_run_on_postgresql(ledger_url: str) -> None:
    assert make_url(ledger_url).get_backend_name() == "postgresql"
