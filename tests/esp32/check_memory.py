"""What the firmware leaves free on a chip without PSRAM, by its own low-water marks: sensors' drivers and bad days need it."""

import pytest

from host.db import open_engine
from ota.store import devices
from tests.esp32.rig import show, until

LEAST = {"heap_free": 24 * 1024, "idf_block": 18 * 1024}   # bytes; 20 KB of block were it not for the seconds of a handshake
ROUNDS = 5   # check-ins, with the uplink between them


@pytest.fixture
def ports(ports):
    return {**ports, "uplink_s": 3, "checkin_s": 20}


def test_firmware_needs_what_it_promises_to_spare(born, field, ingest, tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'ota.db'}")

    def metrics():
        with engine.connect() as connection:
            found = devices.get(connection, born.device)
        return found.metrics if found else {}

    rounds = set()
    until(lambda: rounds.add(metrics().get("uptime_s")) or len(rounds) > ROUNDS)
    seen = metrics()
    engine.dispose()
    assert seen["acked"] > ROUNDS
    show(f"\nlow-water marks after {seen['uptime_s']} s and {seen['connects']} sessions: " +
         ", ".join(f"{name} {seen[name]:,} B" for name in LEAST))
    assert all(seen[name] >= least for name, least in LEAST.items()), seen
