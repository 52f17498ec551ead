"""Check-ins and directions. PretendDevice verifies every direction as the firmware does."""

import pytest

from node.wire.checkin import parse_request
from ota.rules.values import Labels
from ota.server import app as application
from ota.server.desk import COUNT_S, LastWord, sighting_of
from tests.ota.support import DEVICE, Plant, PretendDevice, fleet, plant, request_of


def test_directions_are_bound_and_their_sequence_rises(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE, seq=40)
    device.check_in()
    server.pass_time(1)
    server.rollout(released)
    seen = []
    for _ in range(3):
        device.check_in()
        assert device.directed == released
        seen.append(device.seq)
    assert seen == [41, 42, 43]
    device.seq = 0   # a device that forgot its floor: the server's memory keeps the sequence rising
    device.check_in()
    assert device.seq == 44


def test_the_end_of_the_sequence_is_told_not_wrapped(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE, seq=2**31 - 1)
    device.check_in()
    server.pass_time(1)
    server.rollout(released)
    assert "sequence has ended" in device.check_in()["reason"]
    assert device.directed is None


def test_the_answer_slows_a_large_fleet_down(tmp_path) -> None:
    with plant(tmp_path, checkins_per_s=0.5) as server:
        for device in fleet(server, 10):
            device.check_in()
            server.pass_time(COUNT_S)
        assert device.check_in()["period_s"] == 25   # 0.4 a second


def test_being_put_off_is_no_attempt(tmp_path) -> None:
    """Screentinker #153: the server's own load shedding burnt the devices' attempts."""
    with plant(tmp_path, offers_per_s=0.5) as server:
        devices = fleet(server, 5)
        for device in devices:
            device.check_in()
        server.pass_time(1)
        ident = server.rollout(server.publish(*server.keys.release(2)).json()["manifest"], stages=[100])["rollout"]
        told = [device.check_in() for device in devices]
        assert [each["direction"] is not None for each in told] == [True, False, False, False, False]
        assert all("busy" in each["reason"] for each in told[1:])
        assert [each["period_s"] for each in told[1:]] == [2, 6, 10, 14]   # a slope, at half the rate
        assert server.status(ident)["offered"] == 1
        server.pass_time(2)
        devices[1].check_in()
        assert devices[1].directed


def test_too_many_check_ins_at_once_are_turned_away(server: Plant) -> None:
    server.context.settling = server.context.settings.max_settling
    told = PretendDevice(server, DEVICE).check_in()
    assert "busy" in told["reason"]
    assert 30 <= told["period_s"] <= 45


def test_idle_check_ins_do_not_touch_the_database(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    monkeypatch.setattr(server.context.desk, "settle", None)
    for _ in range(3):
        device.live(5)
        assert device.check_in()["reason"] == "no rollout for this model is under way"
    server.pass_time(1)
    assert server.get("/admin/devices").json()["devices"][0]["last_seen_s"] == server.clock.now_s - 1


def test_a_flush_that_fails_loses_nothing(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    PretendDevice(server, DEVICE).check_in()
    with monkeypatch.context() as patch:
        patch.setattr("ota.store.devices.record", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            application.pulse(server.context)
    application.pulse(server.context)
    assert len(server.get("/admin/devices").json()["devices"]) == 1


def test_a_silent_fallback_is_noticed_by_a_process_that_knew_the_old_version(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    ident = server.rollout(released)["rollout"]
    old = (device.release, device.counter, device.manifest)
    device.check_in()
    device.install()
    device.check_in()
    then = sighting_of(parse_request(request_of(DEVICE)), 0)
    server.context.desk._last_words[DEVICE] = LastWord(   # this process slept
        then.report, 1, then.config, (0, 0), Labels(), frozenset())
    server.post(f"/admin/rollouts/{ident}/pause")
    device.release, device.counter, device.manifest, device.trial = *old, False
    device.reboot()
    device.check_in()
    assert server.status(ident)["state"] == "halted"
