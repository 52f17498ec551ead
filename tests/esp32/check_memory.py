"""What the firmware leaves free on a chip without PSRAM, by its own low-water marks: sensors' drivers and bad days need it."""

import pytest

from host.db import open_engine
from ota.store import devices
from tests.esp32.rig import show, until

LEAST = {"heap_free": 20 * 1024, "idf_block": 16 * 1024}   # bytes: a fifth of Python's heap, as its profile wants; a TLS record
ROUNDS = 3   # check-ins, with the uplink between them


@pytest.fixture
def ports(ports):
    return {**ports, "uplink_s": 3, "checkin_s": 20}


def test_firmware_leaves_too_little_memory(born, ingest, field, tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'ota.db'}")

    def row():
        with engine.connect() as connection:
            return devices.get(connection, born.device)

    first = until(row)
    born.power_off()
    born.power_on()   # a board in the field: without the key, the birth and the enrolment
    rounds = set()
    until(lambda: (now := row()).boot > first.boot and (rounds.add(now.metrics["uptime_s"]) or len(rounds) > ROUNDS))
    seen = row().metrics
    engine.dispose()
    assert seen["acked"] > ROUNDS
    show(f"\nlow-water marks after {seen['uptime_s']} s and {seen['connects']} sessions: " +
         ", ".join(f"{name} {seen[name]:,} B" for name in LEAST))
    assert all(seen[name] >= least for name, least in LEAST.items()), seen
