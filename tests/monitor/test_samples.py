"""What Prometheus and alert rules are told: bounded, and silent about what nobody knows."""

from dataclasses import replace

import pytest

from host.monitor.catalogue import FLEET_METRICS, METRICS
from host.monitor.samples import away_samples, fleet_samples
from tests.monitor.fleets import FROM_MS, HOUR_MS, NOW_MS, A, B, dropped, fleet, heard, told, total

FULL = {"uptime_s": 7200, "connects": 3, "drops": 2, "tx_bytes": 900, "rx_bytes": 90, "msgs": 12, "acked": 11, "ring_used": 512,
        "ring_dropped": 1, "app_crashes": 1, "task_restarts": 0, "late_max_ms": 250, "sensors_bad": 1, "heap_free": 41_000,
        "idf_block": 30_000, "resets": 4, "alarms": 1, "sync_failure": 2, "rssi": -67}


def everything():
    at_ms = FROM_MS + 20 * HOUR_MS
    events = [*dropped(A, 1), (A, at_ms, "drop", "1.0.0"), (A, at_ms, "reboot", "1.0.0", "boot:power"),
              (A, at_ms, "connect", "1.0.0", "boot:power")]
    return fleet([heard(A), heard(B, online=False, clock_known=False)], events=events, told=[told(A, **FULL), told(B, **FULL)],
                 totals=[total(checkins=9, **FULL)], ends_s={A: NOW_MS // 1000 + 86_400, B: NOW_MS // 1000 + 60})


def values(samples, metric):
    return {tuple(each.labels.values()): each.value for each in samples if each.metric == metric}


def test_every_name_of_the_catalogue_is_told_with_its_labels_and_no_other():
    samples = fleet_samples(everything(), devices_max=None)
    assert {each.metric for each in samples} == set(FLEET_METRICS)
    assert not [each for each in samples if set(each.labels) != set(METRICS[each.metric].labels)]


def test_no_sample_is_told_twice():
    samples = fleet_samples(everything(), devices_max=None)
    assert len({(each.metric, *sorted(each.labels.items())) for each in samples}) == len(samples)


def test_an_empty_fleet_says_only_that_its_sources_answer():
    assert {each.metric for each in fleet_samples(fleet())} == {
        "tenfold_source_up", "tenfold_groups_folded", "tenfold_devices_left_out"}


@pytest.mark.parametrize("metric", [
    "tenfold_heap_free_bytes_min", "tenfold_crash_free_ratio", "tenfold_crashes_total", "tenfold_ring_used_bytes_max",
    "tenfold_certificate_left_seconds_min", "tenfold_check_in_age_seconds_max", "tenfold_device_heap_free_bytes",
    "tenfold_device_certificate_left_seconds"])
def test_what_a_source_that_is_away_would_tell_is_absent_and_not_zero(metric):
    samples = fleet_samples(fleet([heard(A)]), devices_max=None)
    assert not values(samples, metric)
    assert values(samples, "tenfold_source_up") == {("telemetry",): 1}


def test_a_source_that_was_asked_and_did_not_answer_is_told_and_one_that_a_plant_lacks_is_not():
    samples = fleet_samples(replace(fleet([heard(A)]), away=frozenset(("update_server",))))
    assert values(samples, "tenfold_source_up") == {("telemetry",): 1, ("update_server",): 0}


def test_a_database_that_cannot_be_read_is_told_as_that():
    assert values(away_samples(), "tenfold_source_up") == {("telemetry",): 0}


def test_devices_are_told_one_by_one_only_when_asked_and_within_the_limit():
    known = everything()
    assert not [each for each in fleet_samples(known) if "device" in each.labels]
    one = fleet_samples(known, devices_max=1)
    assert {each.labels["device"] for each in one if "device" in each.labels} == {A}
    assert values(one, "tenfold_devices_left_out") == {(): 1}


def test_more_sites_than_the_limit_are_told_together_and_nothing_is_lost():
    known = fleet([heard(f"hall-{number:012x}", late=1) for number in range(10)],
                  told=[told(f"hall-{number:012x}", site=f"site{number // 2}") for number in range(10)],
                  totals=[total(site=f"site{number}", checkins=1) for number in range(5)])
    samples = fleet_samples(known, groups_max=2)
    devices = values(samples, "tenfold_devices")
    assert devices == {("1.0.0", "hall", "site0"): 2, ("1.0.0", "hall", "site1"): 2, ("other", "other", "other"): 6}
    assert values(samples, "tenfold_groups_folded") == {(): 3}
    assert sum(values(samples, "tenfold_check_ins_total").values()) == 5
    assert values(samples, "tenfold_late_batches_total") == {("hall", "site0"): 2, ("hall", "site1"): 2, ("other", "other"): 6}


def test_sums_of_a_devices_life_do_not_fall_when_it_is_updated():
    before = fleet_samples(fleet([heard(A)], told=[told(A)]))
    after = fleet_samples(fleet([heard(A, "1.1.0")], told=[told(A, "1.1.0")]))
    assert values(before, "tenfold_stored_readings_total") == values(after, "tenfold_stored_readings_total")


def test_a_low_water_mark_that_was_not_measured_yet_is_not_the_lowest():
    samples = fleet_samples(fleet(told=[told(A, heap_free=0), told(B, heap_free=50_000)]))
    assert values(samples, "tenfold_heap_free_bytes_min") == {("1.0.0", "hall", "nord"): 50_000}


def test_an_offline_device_tells_for_how_long():
    samples = fleet_samples(fleet([heard(A, online=False, since_ms=NOW_MS - 90_000), heard(B)]), devices_max=None)
    assert [each.value for each in samples if each.metric == "tenfold_device_offline_seconds"] == [90.0, 0.0]
