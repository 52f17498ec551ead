"""What a release, a model or a site is judged by: nobody's fault counted for another, and the unknown never told as zero."""

import pytest

from host.monitor.connectivity import Link
from host.monitor.figures import RSSI, crash_free, device_figures, group_figures, places
from tests.monitor.fleets import FROM_MS, HOUR_MS, NOW_MS, A, B, C, dropped, fleet, heard, told, total


def by_release(known):
    return group_figures(known, lambda place: place.release)


def test_drops_count_for_the_release_that_dropped_though_the_device_runs_another_now():
    at_ms = FROM_MS + 12 * HOUR_MS
    events = [*dropped(A, 1), (A, at_ms, "drop", "1.0.0"), (A, at_ms + 9, "update", "1.1.0"), (A, at_ms + 9, "connect", "1.1.0")]
    found = by_release(fleet([heard(A, "1.1.0")], start={A: link("1.0.0")}, events=events))
    assert (found["1.0.0"].links.drops, found["1.1.0"].links.drops) == (1, 0)
    assert ([len(found[each].members) for each in ("1.0.0", "1.1.0")]) == [0, 1]


def test_an_updates_reboot_is_no_reconnect_time():
    back_ms = FROM_MS + 90_000
    events = [(A, FROM_MS + 10, "drop", "1.0.0"), (A, back_ms, "update", "1.1.0"), (A, back_ms, "connect", "1.1.0")]
    found = by_release(fleet([heard(A)], events=events))
    assert all(not group.reconnects_s for group in found.values())


def test_reconnect_times_are_told_as_measured_values_and_an_unfinished_drop_as_none():
    events = [*dropped(A, 1, hours=0.5), *dropped(A, 4, hours=2), (A, NOW_MS - 1, "drop", "1.0.0")]
    one = by_release(fleet([heard(A, online=False)], events=events))["1.0.0"]
    assert (one.reconnect_s(0.5), one.reconnect_s(0.95)) == (1800.0, 7200.0)
    assert by_release(fleet([heard(B)]))["1.0.0"].reconnect_s(0.5) is None


def test_resets_are_counted_by_the_cause_that_the_device_tells():
    events = []
    for hour, reason in ((1, "boot:watchdog"), (2, "boot:power"), (3, "boot:watchdog"), (4, "boot:meteor"), (5, "boot")):
        at_ms = FROM_MS + hour * HOUR_MS
        events += [(A, at_ms, "drop", "1.0.0"), (A, at_ms, "reboot", "1.0.0", reason), (A, at_ms, "connect", "1.0.0", reason)]
    known = fleet([heard(A)], events=events)
    expected = {"watchdog": 2, "power": 1, "other": 1, "unknown": 1}
    assert dict(by_release(known)["1.0.0"].resets) == expected
    assert dict(device_figures(known)[0].resets) == expected


@pytest.mark.parametrize(("sums", "share"), [
    ({"uptime_s": 36_000}, 1.0), ({"uptime_s": 36_000, "app_crashes": 2, "task_restarts": 1}, 0.7),
    ({"uptime_s": 3600, "app_crashes": 9}, 0.0), ({"uptime_s": 0, "app_crashes": 1}, None), ({}, None)])
def test_crash_free_hours_are_never_told_too_high(sums, share):
    assert crash_free(sums) == (share if share is None else pytest.approx(share))


def test_what_the_update_server_did_not_tell_is_unknown_and_not_zero():
    one = by_release(fleet([heard(A)]))["1.0.0"]
    assert (one.sums, one.crash_free, one.told("heap_free")) == (None, None, [])
    device = device_figures(fleet([heard(A)]))[0]
    assert (device.place.model, device.place.site, device.metric("ring_used"), device.certificate_left_s) == (
        "unknown", "none", None, None)


def test_a_device_of_before_tells_no_signal_and_no_failed_sync_and_that_is_not_zero():
    old = {"uptime_s": 100, "heap_free": 40_000}
    known = fleet([heard(A)], told=[told(A, **old)], totals=[total(checkins=5, connects=5)])
    group = by_release(known)["1.0.0"]
    assert (group.unsynced, group.sync_success, group.told(RSSI)) == (None, None, [])
    assert device_figures(known)[0].metric(RSSI) is None


def test_releases_that_do_not_tell_of_failed_syncs_make_no_share_look_better():
    known = fleet(
        [heard(A), heard(B, "2.0.0")], told=[told(A), told(B, "2.0.0", sync_failure=3)],
        totals=[total(checkins=1000, connects=1000), total("2.0.0", checkins=6, connects=6, sync_failure=4)])
    assert group_figures(known, lambda place: place.site)["nord"].sync_success == 0.75


def test_a_release_without_a_failed_sync_has_none_although_sums_of_none_are_not_stored():
    known = fleet([heard(A)], told=[told(A, sync_failure=0)], totals=[total(checkins=5, connects=5)])
    assert (by_release(known)["1.0.0"].unsynced, by_release(known)["1.0.0"].sync_success) == (0, 1.0)


def test_a_device_that_only_checks_in_is_known_and_not_called_offline():
    device = device_figures(fleet(told=[told(A, heap_free=60_000)]))[0]
    assert (device.heard, device.place.release, device.metric("heap_free")) == (None, "1.0.0", 60_000)


def test_the_newest_word_tells_which_release_a_device_runs():
    on_line = places(fleet([heard(A, "1.1.0")], told=[told(A, "1.0.0")]))
    cut_off = places(fleet([heard(A, "1.0.0", online=False, since_ms=FROM_MS)], told=[told(A, "1.1.0")]))
    older = places(fleet([heard(A, "1.1.0", online=False, since_ms=NOW_MS)], told=[told(A, "1.0.0")]))
    assert [each[A].release for each in (on_line, cut_off, older)] == ["1.1.0", "1.1.0", "1.1.0"]


def test_a_site_is_judged_by_its_own_devices():
    known = fleet([heard(A), heard(B), heard(C)], events=dropped(A, 1) + dropped(A, 3) + dropped(C, 5),
                  told=[told(A), told(B), told(C, site="sued")], totals=[total(site="sued", app_crashes=3)])
    found = group_figures(known, lambda place: place.site)
    assert (found["nord"].links.drops, found["sued"].links.drops) == (2, 1)
    assert (found["nord"].sums, found["sued"].sums["app_crashes"]) == (None, 3)


def test_certificates_are_counted_down_below_zero():
    device = device_figures(fleet([heard(A)], ends_s={A: NOW_MS // 1000 - 60}))[0]
    assert device.certificate_left_s == -60


def link(release):
    return Link(True, release)
