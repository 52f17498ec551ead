"""A fleet's detectors as tasks: all of it has its turn, one broken device holds up nobody, and no forest is grown too often."""

import pytest

from host.clock import DAY_MS
from host.db import migrate, open_engine
from host.monitor.anomalies import PAST_DAYS
from host.store.anomalies import AnomalyRows
from host.upkeep.detectors import Devices, Growing, Judging
from tests.ingest.records import DEVICE, OTHER
from tests.monitor.anomaly.test_database import NOW, TUNING, at_work, put

NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def url(tmp_path):
    address = f"sqlite:///{tmp_path}/telemetry.db"
    engine = open_engine(address)
    migrate(engine, "host.store")
    put(engine, DEVICE, jump=900)
    put(engine, OTHER, seed=1)
    engine.dispose()
    return address


def never():
    return False


def test_a_round_that_is_cut_short_goes_on_where_it_was():
    devices, seen = Devices(lambda: NAMES), []
    assert devices.turn(lambda: len(seen) >= 3, seen.append) == (3, True)
    assert devices.turn(never, seen.append) == (1, False)
    assert devices.turn(never, seen.append) == (4, False)
    assert seen == [*NAMES, *NAMES]


def test_a_turn_without_any_time_does_one_device_all_the_same():
    devices, seen = Devices(lambda: NAMES), []
    for _ in NAMES:
        devices.turn(lambda: True, seen.append)
    assert seen == NAMES


def test_a_device_that_breaks_its_detectors_holds_up_nobody():
    devices, seen = Devices(lambda: NAMES), []

    def one(name):
        if name == "b":
            raise ZeroDivisionError(name)
        seen.append(name)

    with pytest.raises(ZeroDivisionError):
        devices.turn(never, one)
    assert devices.turn(never, one) == (2, False)
    assert seen == ["a", "c", "d"]


def test_detectors_of_all_devices_are_kept_and_none_stays_in_memory(url):
    engine = open_engine(url)
    anomalies = at_work(url, write=True)
    done = Judging(anomalies)(never)
    assert done.says.startswith("2 devices, ")
    assert not done.more
    assert anomalies.fleet.devices == {}
    assert {device for device in (DEVICE, OTHER) if AnomalyRows(engine).state(device, TUNING)} == {DEVICE, OTHER}
    assert AnomalyRows(engine).findings(0)
    engine.dispose()


def test_a_forest_is_grown_anew_only_when_it_is_old(url):
    engine = open_engine(url)
    anomalies, rows = at_work(url, write=True), AnomalyRows(engine)

    def grown(now_ms):
        return Growing(anomalies, rows, PAST_DAYS, 86_400, lambda: now_ms)(never).says

    assert grown(NOW) == "2 devices: 2 grown"
    assert grown(NOW + 3_600_000) == "2 devices: 2 fresh"     # a restart within the day
    assert grown(NOW + 25 * 3_600_000) == "2 devices: 2 grown"
    engine.dispose()


def test_a_device_too_young_for_a_forest_is_no_failure(url):
    young = at_work(url, write=True, clock=lambda: NOW + 40 * DAY_MS)   # its past is beyond what is looked at
    engine = open_engine(url)
    assert Growing(young, AnomalyRows(engine), PAST_DAYS, 0, lambda: NOW)(never).says == "2 devices: 2 without enough past"
    engine.dispose()
