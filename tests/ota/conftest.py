"""A server with its keys for each test; keys that nothing changes are made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ota.support import Keys, Plant, plant


@pytest.fixture(scope="session")
def signing(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Plant]:
    with plant(tmp_path) as made:
        yield made
