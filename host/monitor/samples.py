"""A fleet as samples: what Prometheus is told, and what alert rules are evaluated over.

Decides which figure has which name (catalogue.py) and how many samples there may be. A figure that is not known makes no sample. By
release, model and site always, up to `groups_max` groups: the smallest beyond it are told together, so that no number of sites
makes a scrape grow without end. By device only when asked, for the first `devices_max` by id: the same ones at every scrape.
"""

from collections.abc import Iterable, Iterator, Mapping

from host.monitor.facts import LEDGER, TELEMETRY, UPDATE_SERVER, Fleet
from host.monitor.figures import (
    CRASHES,
    OTHER,
    RSSI,
    SYNC_FAILURE,
    DeviceFigures,
    GroupFigures,
    Place,
    device_figures,
    group_figures,
    lowest,
)
from host.monitor.sample import Sample
from host.monitor.spread import quantile

GROUPS_MAX = 1000
SECONDS_PER_DAY = 86_400
PERCENTILES = (50, 95)
FOLDED = Place(OTHER, OTHER, OTHER)
GROWING = {   # metric -> names of check-ins' sums
    "tenfold_check_ins_total": ("checkins",),
    "tenfold_uptime_seconds_total": ("uptime_s",),
    "tenfold_crashes_total": CRASHES,
    "tenfold_resets_total": ("resets",),
    "tenfold_drops_told_total": ("drops",),
    "tenfold_sent_bytes_total": ("tx_bytes",),
    "tenfold_received_bytes_total": ("rx_bytes",),
    "tenfold_messages_total": ("msgs",),
    "tenfold_ring_dropped_records_total": ("ring_dropped",),
}
STORED = {   # metric -> field of Heard
    "tenfold_stored_records_total": "records",
    "tenfold_stored_readings_total": "readings",
    "tenfold_stored_bytes_total": "bytes",
    "tenfold_late_batches_total": "late",
    "tenfold_unclocked_batches_total": "unclocked",
    "tenfold_overflow_records_total": "lost",
}
LIVES = {   # metric -> field of Heard: by what the devices run now, so it falls when they are updated
    "tenfold_members_late_batches": "late",
    "tenfold_members_unclocked_batches": "unclocked",
    "tenfold_members_overflow_records": "lost",
}


def fleet_samples(fleet: Fleet, *, devices_max: int | None = 0, groups_max: int = GROUPS_MAX) -> list[Sample]:
    """All samples of a fleet.

    Args:
        devices_max: how many devices are told one by one; None: all of them (for rules that are evaluated here, not for a scrape).
        groups_max: how many groups of release, model and site are told.
    """
    devices = device_figures(fleet)
    shown = devices if devices_max is None else devices[:devices_max]
    groups = group_figures(fleet, lambda place: place)
    kept = sorted(groups, key=lambda place: (-len(groups[place].members), place.release, place.model, place.site))[:groups_max]
    folded = set(groups) - set(kept)
    if folded:
        kept_places = set(kept)
        groups = group_figures(fleet, lambda place: place if place in kept_places else FOLDED)
    stored = _stored(devices, set(kept))
    return [
        Sample("tenfold_source_up", {"source": TELEMETRY}, 1),
        *_sources(fleet),
        Sample("tenfold_groups_folded", {}, len(folded)),
        Sample("tenfold_devices_left_out", {}, len(devices) - len(shown)),
        *(sample for place in sorted(groups, key=_order) for sample in _group(place, groups[place], fleet)),
        *(Sample(metric, {"model": model, "site": site}, total)
          for (metric, model, site), total in sorted(stored.items())),
        *(sample for each in shown for sample in _device(each, fleet)),
    ]


def away_samples() -> list[Sample]:
    """What is told while the telemetry database cannot be read: that it cannot."""
    return [Sample("tenfold_source_up", {"source": TELEMETRY}, 0)]


def _sources(fleet: Fleet) -> Iterator[Sample]:
    """The other sources that were asked; one that a plant does not have is no fault."""
    for source, told in ((UPDATE_SERVER, fleet.told), (LEDGER, fleet.certificate_ends_s)):
        if told is not None or source in fleet.away:
            yield Sample("tenfold_source_up", {"source": source}, float(told is not None))


def _group(place: Place, group: GroupFigures, fleet: Fleet) -> Iterator[Sample]:
    labels = _labels(place)
    links, members = group.links, group.members
    yield Sample("tenfold_devices", labels, len(members))
    yield Sample("tenfold_devices_online", labels, sum(each.heard is not None and each.heard.online is True for each in members))
    yield Sample("tenfold_devices_offline", labels, sum(each.heard is not None and each.heard.online is False for each in members))
    values: dict[str, float | None] = {
        "tenfold_link_drops": links.drops if links.watched_days else None,
        "tenfold_link_watched_seconds": links.watched_days * SECONDS_PER_DAY,
        "tenfold_link_online_seconds": links.online_days * SECONDS_PER_DAY,
        "tenfold_link_online_ratio": links.online_share,
        "tenfold_link_drops_per_device_day": links.drops_per_device_day,
        "tenfold_rollbacks": links.rollbacks if links.watched_days else None,
        "tenfold_crash_free_ratio": group.crash_free,
        "tenfold_ring_used_bytes_max": max(group.told("ring_used"), default=None),
        "tenfold_heap_free_bytes_min": lowest(group.told("heap_free")),
        "tenfold_idf_block_bytes_min": lowest(group.told("idf_block")),
        "tenfold_sample_late_seconds_max": _scaled(max(group.told("late_max_ms"), default=None), 1000),
        "tenfold_sensors_bad": sum(group.told("sensors_bad")) if group.told("sensors_bad") else None,
        "tenfold_alarms": sum(group.told("alarms")) if group.told("alarms") else None,
        "tenfold_rssi_dbm_min": min(group.told(RSSI), default=None),
        "tenfold_rssi_dbm_median": quantile(group.told(RSSI), 0.5),
        "tenfold_sync_failures_total": group.unsynced,
        "tenfold_sync_success_ratio": group.sync_success,
        "tenfold_check_in_age_seconds_max": max(
            ((fleet.now_ms - each.told.at_ms) / 1000 for each in members if each.told is not None), default=None),
        "tenfold_certificate_left_seconds_min": min(
            (each.certificate_left_s for each in members if each.certificate_left_s is not None), default=None),
        "tenfold_clock_unknown_devices": sum(each.heard is not None and each.heard.clock_known is False for each in members),
    }
    yield from _known(values | {metric: group.life(name) for metric, name in LIVES.items()}, labels)
    for percentile in PERCENTILES:
        seconds = group.reconnect_s(percentile / 100)
        yield from _known({"tenfold_reconnect_seconds": seconds}, labels | {"percentile": str(percentile)})
    for cause, count in sorted(group.resets.items()):
        yield Sample("tenfold_reboots", labels | {"cause": cause}, count)
    if group.sums is not None:
        for metric, names in GROWING.items():
            yield Sample(metric, labels, sum(group.sums[name] for name in names))


def _device(each: DeviceFigures, fleet: Fleet) -> Iterator[Sample]:
    heard, told, links = each.heard, each.told, each.links
    values: dict[str, float | None] = {
        "tenfold_device_online_ratio": links.online_share,
        "tenfold_device_drops": links.drops if links.watched_days else None,
        "tenfold_device_reboots": links.reboots if links.watched_days else None,
        "tenfold_device_crash_free_ratio": each.crash_free,
        "tenfold_device_ring_used_bytes": each.metric("ring_used"),
        "tenfold_device_heap_free_bytes": each.metric("heap_free") or None,   # 0: not measured yet
        "tenfold_device_idf_block_bytes": each.metric("idf_block") or None,
        "tenfold_device_sensors_bad": each.metric("sensors_bad"),
        "tenfold_device_alarms": each.metric("alarms"),
        "tenfold_device_rssi_dbm": each.metric(RSSI),
        "tenfold_device_sync_failures": each.metric(SYNC_FAILURE),
        "tenfold_device_sent_bytes": each.metric("tx_bytes"),
        "tenfold_device_received_bytes": each.metric("rx_bytes"),
        "tenfold_device_messages": each.metric("msgs"),
        "tenfold_device_certificate_left_seconds": each.certificate_left_s,
    }
    if told is not None:
        values["tenfold_device_check_in_age_seconds"] = (fleet.now_ms - told.at_ms) / 1000
    if heard is not None:
        if heard.online is not None:
            values["tenfold_device_online"] = float(heard.online)
            values["tenfold_device_offline_seconds"] = 0.0 if heard.online else (fleet.now_ms - heard.since_ms) / 1000
        values["tenfold_device_record_age_seconds"] = (fleet.now_ms - heard.last_ms) / 1000 if heard.last_ms else None
        values["tenfold_device_late_batches"] = heard.late
        values["tenfold_device_unclocked_batches"] = heard.unclocked
        values["tenfold_device_overflow_records"] = heard.lost
        values["tenfold_device_clock_known"] = None if heard.clock_known is None else float(heard.clock_known)
    labels = {"device": each.device} | _labels(each.place)
    yield from _known(values, labels)
    for percentile in PERCENTILES:
        yield from _known({"tenfold_device_reconnect_seconds": quantile(each.reconnects_s, percentile / 100)},
                          labels | {"percentile": str(percentile)})
    for cause, count in sorted(each.resets.items()):
        yield Sample("tenfold_device_resets", labels | {"cause": cause}, count)


def _stored(devices: Iterable[DeviceFigures], kept: set[Place]) -> dict[tuple[str, str, str], int]:
    """Sums of devices' lives by (metric, model, site), of the same models and sites as the groups that are told."""
    told = {(place.model, place.site) for place in kept}
    found: dict[tuple[str, str, str], int] = {}
    for each in devices:
        if each.heard is None:
            continue
        where = (each.place.model, each.place.site)
        model, site = where if where in told else (OTHER, OTHER)
        for metric, name in STORED.items():
            key = metric, model, site
            found[key] = found.get(key, 0) + int(getattr(each.heard, name))
    return found


def _known(values: Mapping[str, float | None], labels: Mapping[str, str]) -> Iterator[Sample]:
    return (Sample(metric, labels, value) for metric, value in values.items() if value is not None)


def _labels(place: Place) -> dict[str, str]:
    return {"release": place.release, "model": place.model, "site": place.site}


def _order(place: Place) -> tuple[str, str, str]:
    return place.release, place.model, place.site


def _scaled(value: int | None, parts: int) -> float | None:
    return None if value is None else value / parts
