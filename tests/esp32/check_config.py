"""A configuration over the air: sensors on a bus that is wired to nothing, a window's statistics, and a board that goes on."""

import json

import pytest

from host.db import open_engine
from host.ingest.decode import decode
from node.agent.reconfigure import name_of
from node.wire import batch
from ota.release.drivers import named
from ota.store import devices
from tests.esp32.rig import show, until

TRIAL_S = 300   # a boot, an acknowledged batch and a check-in take 60 on an idle machine
STATISTICS = 4   # minimum, mean, maximum, deviation
CONFIG = {
    "buses": {"i2c0": {"kind": "i2c", "id": 0, "scl": 22, "sda": 21}},
    "sensors": [{"driver": "sht4x", "bus": "i2c0", "channels": {"temperature": "air", "humidity": "damp"}}],
    "channels": [
        {"name": "temp_chip", "unit": "Cel", "resolution": "0.01", "stats": 8, "high": 1000},
        {"name": "air", "unit": "Cel", "resolution": "0.01", "median": 3}, {"name": "damp", "unit": "%RH", "resolution": "0.1"}],
}


@pytest.fixture(scope="module")
def drivers():
    return named([json.dumps(CONFIG).encode()])


@pytest.fixture
def ports(ports):
    return {**ports, "trial_s": TRIAL_S, "checkin_s": 15}


def test_configuration_with_a_dead_bus_is_given_up_or_stops_the_board(born, ingest, field, tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'ota.db'}")

    def told():
        with engine.connect() as connection:
            return devices.get(connection, born.device)

    until(told)
    until(lambda: born.ring().first_unacked() > 0)
    name = field.operate("/admin/configs", {"body": json.dumps(CONFIG)})["name"]
    field.operate(f"/admin/configs/{name}/order", {"devices": [born.device]})
    until(lambda: told().config.trial)
    until(lambda: told().config.name == name and not told().config.trial)
    last = told()
    engine.dispose()
    assert (last.config.failed, last.metrics["sensors_bad"]) == ("", 2)
    assert any(batch.record_name(raw)[0] == batch.BATCH and len(decode(raw).valid) == STATISTICS for raw in ingest.records.values())
    assert name_of(born.files()["/state/config.json"]) == name
    assert set(range(max(ingest.records))) <= set(ingest.records)
    show(f"\nlow-water marks with it: {last.metrics['heap_free']:,} B of Python heap, a block of {last.metrics['idf_block']:,} B")
