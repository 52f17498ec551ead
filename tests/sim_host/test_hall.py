"""The machine hall: deterministic, physical, endless and as compressible as the real thing."""

import time

import numpy as np
import pytest

from host.sim import hall
from host.sim.signals import MISSING

DEVICES = [f"hall-0242ac1100{number:02x}" for number in range(24)]
TEMP, CURRENT, VIBRATION, PRESSURE = range(4)


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    return {device: table.values() for device, table in hall.tables(7, DEVICES).items()}


def test_the_same_seed_and_device_give_the_same_table() -> None:
    first, second = hall.table(7, DEVICES[0], minutes=2), hall.table(7, DEVICES[0], minutes=2)
    assert np.array_equal(first.steps, second.steps)


def test_neither_two_devices_nor_two_seeds_are_alike() -> None:
    first = hall.table(7, DEVICES[0], minutes=2).steps
    assert not np.array_equal(first, hall.table(7, DEVICES[1], minutes=2).steps)
    assert not np.array_equal(first, hall.table(8, DEVICES[0], minutes=2).steps)


def test_a_fleet_is_made_quickly() -> None:
    start_s = time.process_time()
    hall.tables(1, DEVICES, minutes=60)
    assert time.process_time() - start_s < 4   # CPU seconds; 0.2 on an idle machine


def test_every_kind_of_machine_stands_in_a_hall_of_24() -> None:
    assert {hall.kind_of(7, device).name for device in DEVICES} == {"mill", "press", "pump"}


def test_readings_stay_within_what_such_machines_do(values: dict[str, np.ndarray]) -> None:
    for readings in values.values():
        low, high = np.nanmin(readings, axis=0), np.nanmax(readings, axis=0)
        assert low[TEMP] > 5
        assert high[TEMP] < 130            # class F insulation ends at 155
        assert low[CURRENT] >= 0
        assert high[CURRENT] < 80
        assert low[VIBRATION] > 0
        assert high[VIBRATION] < 15        # ISO 10816-3 zone D begins at 7.1
        assert low[PRESSURE] > 80
        assert high[PRESSURE] < 3000


def test_machines_run_and_rest(values: dict[str, np.ndarray]) -> None:
    running = [float(np.mean(readings[:, VIBRATION] > 0.3)) for readings in values.values()]
    assert min(running) < 0.85
    assert 0.4 < np.mean(running) < 0.95


def test_a_running_motor_is_warmer_than_one_at_rest(values: dict[str, np.ndarray]) -> None:
    for readings in values.values():
        running = readings[:, VIBRATION] > 0.3
        assert np.nanmean(readings[running, TEMP]) > np.nanmean(readings[~running, TEMP]) + 2


def test_the_last_row_leads_into_the_first_without_a_jump(values: dict[str, np.ndarray]) -> None:
    for readings in values.values():
        steps = np.abs(np.diff(readings[:, TEMP]))
        if not np.isnan(readings[[0, -1], TEMP]).any():
            assert abs(readings[0, TEMP] - readings[-1, TEMP]) < np.nanmax(steps) + 0.1


def test_sensors_fail_now_and_then_and_say_so() -> None:
    missing = sum(int((table.steps == MISSING).sum()) for table in hall.tables(7, DEVICES).values())
    share = missing / (24 * 9600 * 4)
    assert 0 < share < 0.01


def test_the_noise_is_a_real_sensors_not_a_random_generators() -> None:
    """Rice-coded differences of 60 samples stay near the 0.6 bytes a reading that typical machines take (DESIGN, "Numbers")."""
    bits = []
    for table in hall.tables(7, DEVICES[:8]).values():
        for column in table.steps.T.astype(np.int64):
            deltas = np.diff(column[column != MISSING])
            blocks = deltas[: len(deltas) // 60 * 60].reshape(-1, 60)
            folded = np.where(blocks < 0, -2 * blocks - 1, 2 * blocks)
            bits.append(np.mean([((folded >> k) + 1 + k).mean(axis=1) for k in range(12)], axis=1).min())
    assert 0.3 < np.mean(bits) / 8 < 0.75
