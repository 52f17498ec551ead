"""Every metric that is exported: its kind, its labels and what it says. METRICS.md, dashboards and rules are tested against this.

Decides names only. They are Prometheus's: base unit last, `_total` for what only grows. A name is for ever: dashboards and alert
rules of others stand on it.
"""

from dataclasses import dataclass
from typing import Final

GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"
FLEET: Final = ()
SOURCE: Final = ("source",)
GROUP: Final = ("release", "model", "site")
TASK: Final = ("task",)   # of upkeep; `job` is Prometheus's own
STANDING: Final = ("model", "site")   # sums of a device's life: by release they would fall when it is updated
CODE: Final = ("code",)
DEVICE: Final = ("device", "release", "model", "site")


@dataclass(frozen=True, slots=True)
class Metric:
    """One exported name. `labels` are all that a sample of it bears."""

    kind: str
    labels: tuple[str, ...]
    text: str


WINDOW = "in the last 24 h"
FLEET_METRICS: Final[dict[str, Metric]] = {
    "tenfold_source_up": Metric(GAUGE, SOURCE, "Whether telemetry, update_server and ledger answer, 1 or 0, those set up."),
    "tenfold_groups_folded": Metric(GAUGE, FLEET, "Groups of release, model and site beyond the limit, told together as other."),
    "tenfold_devices_left_out": Metric(GAUGE, FLEET, "Devices beyond the limit of what is told by device."),
    # by release, model and site: links
    "tenfold_devices": Metric(GAUGE, GROUP, "Known devices."),
    "tenfold_devices_online": Metric(GAUGE, GROUP, "Devices with an open session at the broker."),
    "tenfold_devices_offline": Metric(GAUGE, GROUP, "Devices whose last will has come."),
    "tenfold_link_drops": Metric(GAUGE, GROUP, f"Connections that ended unasked {WINDOW}, those of updates left out."),
    "tenfold_link_watched_seconds": Metric(GAUGE, GROUP, f"Device-seconds {WINDOW} for which the link's state was known."),
    "tenfold_link_online_seconds": Metric(GAUGE, GROUP, f"Device-seconds online {WINDOW}."),
    "tenfold_link_online_ratio": Metric(GAUGE, GROUP, f"Share of the watched time online {WINDOW}, 0 to 1."),
    "tenfold_link_drops_per_device_day": Metric(GAUGE, GROUP, f"Drops a watched device-day {WINDOW}."),
    "tenfold_reconnect_seconds": Metric(GAUGE, (*GROUP, "percentile"), f"How long drops {WINDOW} lasted, those that ended."),
    "tenfold_reboots": Metric(GAUGE, (*GROUP, "cause"), f"Boots {WINDOW} by the cause that devices told."),
    "tenfold_rollbacks": Metric(GAUGE, GROUP, f"Returns to an older release {WINDOW}."),
    # by release, model and site: check-ins, of what devices say of themselves
    "tenfold_check_ins_total": Metric(COUNTER, GROUP, "Check-ins."),
    "tenfold_uptime_seconds_total": Metric(COUNTER, GROUP, "Up-time told at check-ins."),
    "tenfold_crashes_total": Metric(COUNTER, GROUP, "Crashes of the app and restarts of the agent's tasks, told at check-ins."),
    "tenfold_resets_total": Metric(COUNTER, GROUP, "Boots that the firmware did not ask for, power cuts too, told at check-ins."),
    "tenfold_drops_told_total": Metric(COUNTER, GROUP, "Connections that ended unasked, as devices count them."),
    "tenfold_crash_free_ratio": Metric(GAUGE, GROUP, "Share of hours of up-time without a crash, ever, at least; 0 to 1."),
    "tenfold_sent_bytes_total": Metric(COUNTER, GROUP, "Bytes that devices sent to the broker, before TLS, told at check-ins."),
    "tenfold_received_bytes_total": Metric(COUNTER, GROUP, "Bytes that devices got from the broker, told at check-ins."),
    "tenfold_messages_total": Metric(COUNTER, GROUP, "Records that devices published, repeats included, told at check-ins."),
    "tenfold_ring_dropped_records_total": Metric(COUNTER, GROUP, "Records overwritten unsent, as devices count them."),
    "tenfold_ring_used_bytes_max": Metric(GAUGE, GROUP, "Fullest ring: bytes not acknowledged, at the newest check-in."),
    "tenfold_heap_free_bytes_min": Metric(GAUGE, GROUP, "Lowest free Python heap since boot of any device."),
    "tenfold_idf_block_bytes_min": Metric(GAUGE, GROUP, "Lowest largest free block of the chip's own heap of any device."),
    "tenfold_sample_late_seconds_max": Metric(GAUGE, GROUP, "Largest lateness of a sample since boot of any device."),
    "tenfold_sensors_bad": Metric(GAUGE, GROUP, "Channels whose sensor fails."),
    "tenfold_alarms": Metric(GAUGE, GROUP, "Channels beyond a limit of their configuration."),
    "tenfold_rssi_dbm_min": Metric(GAUGE, GROUP, "Weakest Wi-Fi signal of any device, at the newest check-in."),
    "tenfold_rssi_dbm_median": Metric(GAUGE, GROUP, "Median of the devices' Wi-Fi signals, at the newest check-in."),
    "tenfold_sync_failures_total": Metric(COUNTER, GROUP, "Connections not had, acks that stood still, check-ins not answered."),
    "tenfold_sync_success_ratio": Metric(GAUGE, GROUP, "Share of connections and check-ins that came about, ever; 0 to 1."),
    "tenfold_members_late_batches": Metric(GAUGE, GROUP, "Late batches in the lives of the devices that are here now."),
    "tenfold_members_unclocked_batches": Metric(GAUGE, GROUP, "Unclocked batches in the lives of the devices that are here now."),
    "tenfold_members_overflow_records": Metric(GAUGE, GROUP, "Records lost in the lives of the devices that are here now."),
    "tenfold_check_in_age_seconds_max": Metric(GAUGE, GROUP, "Age of the oldest newest check-in."),
    "tenfold_certificate_left_seconds_min": Metric(GAUGE, GROUP, "Until the first of the devices' certificates ends."),
    "tenfold_clock_unknown_devices": Metric(GAUGE, GROUP, "Devices whose newest boot has sent batches and no wall time yet."),
    # by model and site: what ingest stored
    "tenfold_stored_records_total": Metric(COUNTER, STANDING, "Records stored."),
    "tenfold_stored_readings_total": Metric(COUNTER, STANDING, "Readings stored."),
    "tenfold_stored_bytes_total": Metric(COUNTER, STANDING, "Bytes of the stored records."),
    "tenfold_late_batches_total": Metric(COUNTER, STANDING, "Batches stored more than 30 min after their last sample."),
    "tenfold_unclocked_batches_total": Metric(COUNTER, STANDING, "Batches stored before their boot's wall time was known."),
    "tenfold_overflow_records_total": Metric(COUNTER, STANDING, "Records lost by full rings, as ingest counts them."),
    # by device, when the setting says so
    "tenfold_device_online": Metric(GAUGE, DEVICE, "Whether it has an open session at the broker: 1 or 0."),
    "tenfold_device_offline_seconds": Metric(GAUGE, DEVICE, "For how long it has been offline; 0 while online."),
    "tenfold_device_online_ratio": Metric(GAUGE, DEVICE, f"Share of the watched time online {WINDOW}, 0 to 1."),
    "tenfold_device_drops": Metric(GAUGE, DEVICE, f"Connections that ended unasked {WINDOW}."),
    "tenfold_device_reboots": Metric(GAUGE, DEVICE, f"Boots {WINDOW}."),
    "tenfold_device_resets": Metric(GAUGE, (*DEVICE, "cause"), f"Boots {WINDOW} by the cause that it told."),
    "tenfold_device_reconnect_seconds": Metric(GAUGE, (*DEVICE, "percentile"), f"How long its drops {WINDOW} lasted, that ended."),
    "tenfold_device_crash_free_ratio": Metric(GAUGE, DEVICE, "Share of hours since boot without a crash, at least; 0 to 1."),
    "tenfold_device_check_in_age_seconds": Metric(GAUGE, DEVICE, "Age of its newest check-in."),
    "tenfold_device_record_age_seconds": Metric(GAUGE, DEVICE, "Since its newest record was stored."),
    "tenfold_device_ring_used_bytes": Metric(GAUGE, DEVICE, "Bytes in its ring not acknowledged, at the newest check-in."),
    "tenfold_device_heap_free_bytes": Metric(GAUGE, DEVICE, "Lowest free Python heap since boot."),
    "tenfold_device_idf_block_bytes": Metric(GAUGE, DEVICE, "Lowest largest free block of the chip's own heap since boot."),
    "tenfold_device_sensors_bad": Metric(GAUGE, DEVICE, "Channels whose sensor fails."),
    "tenfold_device_alarms": Metric(GAUGE, DEVICE, "Channels beyond a limit of its configuration, at the newest check-in."),
    "tenfold_device_rssi_dbm": Metric(GAUGE, DEVICE, "Its Wi-Fi signal, at the newest check-in; none on a cable or a modem."),
    "tenfold_device_sync_failures": Metric(GAUGE, DEVICE, "As tenfold_sync_failures_total, of it since its boot."),
    "tenfold_device_sent_bytes": Metric(GAUGE, DEVICE, "Bytes that it sent to the broker since boot, before TLS."),
    "tenfold_device_received_bytes": Metric(GAUGE, DEVICE, "Bytes that it got from the broker since boot."),
    "tenfold_device_messages": Metric(GAUGE, DEVICE, "Records that it published since boot, repeats included."),
    "tenfold_device_unclocked_batches": Metric(GAUGE, DEVICE, "Batches of its life that came before their wall time was known."),
    "tenfold_device_late_batches": Metric(GAUGE, DEVICE, "Batches of its life that came late."),
    "tenfold_device_overflow_records": Metric(GAUGE, DEVICE, "Records of its life lost by a full ring."),
    "tenfold_device_clock_known": Metric(GAUGE, DEVICE, "Whether the wall time of its newest boot is known: 1 or 0."),
    "tenfold_device_certificate_left_seconds": Metric(GAUGE, DEVICE, "Until its certificate ends; below 0: has ended."),
}
INGEST_METRICS: Final[dict[str, Metric]] = {
    "tenfold_ingest_records_total": Metric(COUNTER, FLEET, "Records committed."),
    "tenfold_ingest_readings_total": Metric(COUNTER, FLEET, "Readings committed."),
    "tenfold_ingest_duplicates_total": Metric(COUNTER, FLEET, "Records that were stored already."),
    "tenfold_ingest_quarantined_total": Metric(COUNTER, FLEET, "Messages put into quarantine."),
    "tenfold_ingest_rejects_total": Metric(COUNTER, CODE, "Messages put into quarantine, by reason; other beyond 64 of them."),
    "tenfold_ingest_acks_total": Metric(COUNTER, FLEET, "Acknowledgements sent to devices."),
    "tenfold_ingest_messages_total": Metric(COUNTER, FLEET, "Messages committed and settled with the broker."),
    "tenfold_ingest_refused_total": Metric(COUNTER, FLEET, "Messages that a full inbox left with the broker."),
    "tenfold_ingest_faults_total": Metric(COUNTER, FLEET, "Tries to commit that the database did not take."),
    "tenfold_ingest_inbox_messages": Metric(GAUGE, FLEET, "Messages that wait for a commit."),
    "tenfold_ingest_inbox_limit_messages": Metric(GAUGE, FLEET, "Messages that may wait."),
    "tenfold_ingest_inbox_bytes": Metric(GAUGE, FLEET, "Bytes of the messages that wait, and of the commit under way."),
    "tenfold_ingest_inbox_limit_bytes": Metric(GAUGE, FLEET, "Bytes that they may have."),
    "tenfold_ingest_lag_seconds": Metric(
        GAUGE, FLEET, "Age of the oldest message not committed, since the broker took it (JetStream) or it came (MQTT); 0: none."),
    "tenfold_ingest_commit_messages": Metric(HISTOGRAM, FLEET, "Messages of a commit."),
    "tenfold_ingest_commit_seconds": Metric(HISTOGRAM, FLEET, "How long a commit took, tries included."),
    "tenfold_ingest_last_commit_timestamp_seconds": Metric(GAUGE, FLEET, "Unix time of the newest commit; 0: none yet."),
}
UPKEEP_METRICS: Final[dict[str, Metric]] = {
    "tenfold_upkeep_period_seconds": Metric(GAUGE, TASK, "How often the task is to be done."),
    "tenfold_upkeep_failures_total": Metric(COUNTER, TASK, "Turns that failed; the log has the code."),
    "tenfold_upkeep_duration_seconds": Metric(GAUGE, TASK, "How long the last turn took."),
    "tenfold_upkeep_last_success_timestamp_seconds": Metric(GAUGE, TASK, "Unix time at which the task was last done; 0: not yet."),
}
METRICS: Final = FLEET_METRICS | INGEST_METRICS | UPKEEP_METRICS
