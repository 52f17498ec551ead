"""The figures that the monitor owes, one by one: each by device, release, model and site, in `tenfold fleet` and on /metrics.

So that none can go lost: a figure that is taken out of a command or of a scrape fails here, by its name.
"""

from dataclasses import asdict

import pytest

from host.monitor.samples import fleet_samples
from host.monitor.standing import device_rows, model_rows, release_rows, site_rows
from tests.monitor.fleets import NOW_MS, A, B
from tests.monitor.test_samples import FULL, everything

# figure: (fields of a device, its metrics), (fields of a group, its metrics)
OWED = {
    "connection drops a day": (
        (("drops", "drops_a_day"), ("tenfold_device_drops",)),
        (("drops", "drops_a_day"), ("tenfold_link_drops", "tenfold_link_drops_per_device_day"))),
    "online share": ((("online_share",), ("tenfold_device_online_ratio",)), (("online_share",), ("tenfold_link_online_ratio",))),
    "reconnect time": (
        (("back_p50_s", "back_p95_s"), ("tenfold_device_reconnect_seconds",)),
        (("back_p50_s", "back_p95_s"), ("tenfold_reconnect_seconds",))),
    "traffic in bytes": (
        (("tx_bytes", "rx_bytes", "stored_bytes"), ("tenfold_device_sent_bytes", "tenfold_device_received_bytes")),
        (("tx_bytes", "rx_bytes", "stored_bytes"), ("tenfold_sent_bytes_total", "tenfold_received_bytes_total"))),
    "traffic in messages": (
        (("msgs", "records"), ("tenfold_device_messages",)), (("msgs", "records"), ("tenfold_messages_total",))),
    "batches late": ((("late",), ("tenfold_device_late_batches",)), (("late",), ("tenfold_members_late_batches",))),
    "ring depth": ((("ring_used",), ("tenfold_device_ring_used_bytes",)), (("ring_used",), ("tenfold_ring_used_bytes_max",))),
    "overflow": (
        (("lost", "ring_dropped"), ("tenfold_device_overflow_records",)),
        (("lost", "ring_dropped"), ("tenfold_members_overflow_records", "tenfold_ring_dropped_records_total"))),
    "resets by cause": ((("resets",), ("tenfold_device_resets",)), (("resets",), ("tenfold_reboots",))),
    "crash-free hours": ((("crash_free",), ("tenfold_device_crash_free_ratio",)), (("crash_free",), ("tenfold_crash_free_ratio",))),
    "sync success": (
        (("sync_failures",), ("tenfold_device_sync_failures",)),
        (("sync_success", "sync_failures"), ("tenfold_sync_success_ratio", "tenfold_sync_failures_total"))),
    "RSSI": (
        (("rssi_dbm",), ("tenfold_device_rssi_dbm",)),
        (("rssi_dbm", "rssi_dbm_min"), ("tenfold_rssi_dbm_median", "tenfold_rssi_dbm_min"))),
    "heap low-water": (
        (("heap_free", "idf_block"), ("tenfold_device_heap_free_bytes", "tenfold_device_idf_block_bytes")),
        (("heap_free", "idf_block"), ("tenfold_heap_free_bytes_min", "tenfold_idf_block_bytes_min"))),
    "clock quality": (
        (("clock_known", "unclocked"), ("tenfold_device_clock_known", "tenfold_device_unclocked_batches")),
        (("clock_unknown", "unclocked"), ("tenfold_clock_unknown_devices", "tenfold_members_unclocked_batches"))),
    "certificate days left": (
        (("certificate_left_s",), ("tenfold_device_certificate_left_seconds",)),
        (("certificate_left_s",), ("tenfold_certificate_left_seconds_min",))),
    "alarms": ((("alarms",), ("tenfold_device_alarms",)), (("alarms",), ("tenfold_alarms",))),
}


@pytest.mark.parametrize("figure", OWED)
def test_figure_is_told_by_device_release_model_and_site_to_people_and_to_prometheus(figure):
    (fields, metrics), (group_fields, group_metrics) = OWED[figure]
    known = everything()
    device = next(asdict(row) for row in device_rows(known) if row.device == A)
    assert None not in [device[field] for field in fields]
    for rows in (release_rows, model_rows, site_rows):
        row = asdict(rows(known)[0])
        assert None not in [row[field] for field in group_fields], rows.__name__
    samples = fleet_samples(known, devices_max=None)
    for metric in metrics:
        found = next(each for each in samples if each.metric == metric and each.labels.get("device") == A)
        assert {"release", "model", "site"} <= set(found.labels)
    for metric in group_metrics:
        assert [each for each in samples if each.metric == metric and {"release", "model", "site"} <= set(each.labels)], metric


def test_values_stand_under_their_names():
    row = asdict(next(row for row in device_rows(everything()) if row.device == A))
    as_told = ("tx_bytes", "rx_bytes", "msgs", "ring_used", "ring_dropped", "heap_free", "idf_block", "alarms", "sensors_bad")
    assert [row[name] for name in as_told] == [FULL[name] for name in as_told]
    assert (row["rssi_dbm"], row["sync_failures"], row["stored_bytes"], row["records"], row["readings"]) == (-67, 2, 80, 10, 100)
    assert (row["certificate_left_s"], row["checkin_ms"], row["clock_known"]) == (86_400, NOW_MS - 60_000, True)
    site = asdict(site_rows(everything())[0])
    assert (site["rssi_dbm"], site["rssi_dbm_min"], site["alarms"], site["stored_bytes"]) == (-67, -67, 2, 160)
    assert site["clock_unknown"] == 1
    assert (site["sync_success"], site["sync_failures"]) == (12 / 14, 2)   # 3 connections and 9 check-ins
    assert [row.device for row in device_rows(everything())] == [B, A]   # B is offline
