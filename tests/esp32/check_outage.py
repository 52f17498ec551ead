"""A broker outage stops neither sampling nor, for good, the uplink."""

from tests.esp32.rig import show, until

OUTAGE_READINGS = 300   # 30 s at 200 ms on two channels


def test_broker_outage_stops_sampling_or_loses_what_was_sampled(born, field, ingest):
    until(lambda: born.ring().first_unacked() > 0)
    field.stop_broker()
    before = born.ring().tally
    until(lambda: born.ring().tally >= before + OUTAGE_READINGS)
    end = born.ring().next_seq
    assert end > max(ingest.records) + 1   # there is something to drain
    waiting = end - max(ingest.records)
    field.start_broker()
    began = born.seconds()
    until(lambda: set(range(end)) <= set(ingest.records))
    show(f"\n{waiting} records of an outage drained {born.seconds() - began:.1f} s after the broker's return")
