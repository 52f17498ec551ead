"""Power cuts: SIGKILL of the emulator at random instants of boot, enrolment, sampling and sending. Nothing committed is lost.

TENFOLD_CUTS: how many (make test-esp32 CUTS=5). TENFOLD_SEED replays the instants of a failure.
"""

import os
import random
import time

import pytest

from node.wire import batch
from tests.esp32.rig import show, until

CUTS = int(os.environ.get("TENFOLD_CUTS") or 50)
SEED = int(os.environ.get("TENFOLD_SEED") or time.time())
BOOT_S = 40.0   # until the first sample, as the emulator's flash goes
WORK_S = 15.0   # a connection, some commits, some acks


@pytest.fixture
def ports(ports):
    """Something is committed every other second."""
    return {**ports, "batch_samples": 10, "uplink_s": 2}


def test_power_cut_at_any_instant_loses_a_committed_reading(born, ingest):
    chance = random.Random(SEED)
    show(f"\n{CUTS} cuts, TENFOLD_SEED={SEED}")
    until(lambda: born.ring().first_unacked() > 0)
    tally = 0
    for cut in range(CUTS):
        if cut % 2:   # every other one while it samples and sends
            until(lambda before=tally: born.ring().tally > before)
        time.sleep(chance.uniform(0, WORK_S if cut % 2 else BOOT_S))   # the instant of the cut, nothing waits for it
        born.power_off()
        ring = born.ring()
        assert ring.tally >= tally, f"cut {cut}: the ring's tally shrank from {tally} to {ring.tally}"
        tally = ring.tally
        for _, seq, data in ring.records(ring.oldest()[1]):
            assert ingest.records.get(seq, data) == data, f"cut {cut}: record {seq} differs from the one that was stored"
        born.power_on()
    end = until(lambda: born.ring().tally > tally and born.ring().next_seq)   # it samples again
    until(lambda: set(range(end)) <= set(ingest.records))
    stored = sum(batch.peek(data)[3] for seq, data in ingest.records.items()
                 if seq < end and batch.record_name(data)[0] == batch.BATCH)
    boots = {batch.record_name(data)[1] for data in ingest.records.values()}
    assert stored >= tally, f"{tally} readings committed before the last cut, {stored} stored"
    show(f"{tally} readings committed, {stored} stored, from {len(boots)} boots that committed something")


def test_power_cuts_in_a_row_leave_a_device_that_cannot_boot(born, ingest):
    """Cut within the first seconds, again and again: no boot may need more luck than the one before."""
    until(lambda: born.ring().first_unacked() > 0)
    chance = random.Random(SEED)
    for _ in range(max(3, CUTS // 5)):
        born.power_off()
        born.power_on()
        time.sleep(chance.uniform(0, 4))   # the instant of the cut, nothing waits for it
    born.power_off()
    born.power_on()
    end = born.ring().next_seq
    until(lambda: end in ingest.records)
