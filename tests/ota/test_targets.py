"""Whom a rollout reaches: labels, filters and precedence."""

import pytest

from ota.store import labels
from tests.ota.support import MODEL, Plant, PretendDevice, code, fleet, install_and_confirm
from tests.ota.targets import ALL, explain, history, label, offered


def test_a_rollout_reaches_those_that_its_filter_names_and_counts_only_them(server: Plant, known, released: str) -> None:
    made = server.rollout(released, filter={"sites": ["nord"], "tags": {"none": ["pilot"]}}, stages=[50, 100], soak_s=0)
    assert (made["population"], made["stages"][0]["eligible"]) == (8, 4)
    assert len(offered(known)) == 4
    for _ in range(8):
        install_and_confirm(server, known)
    assert server.status(made["rollout"])["state"] == "done"
    assert [index for index, each in enumerate(known) if each.counter == 2] == list(range(2, 10))
    told = explain(server, known[12])
    assert (told["code"], told["rollouts"][0]["detail"]) == ("filtered", "site: got sued, expected nord")


def test_a_gate_is_not_passed_or_failed_by_devices_of_another_filter(server: Plant, known, released: str) -> None:
    """The same release crashes in the south; the north's comparison must not see that."""
    ident = server.rollout(released, filter={"sites": ["nord"]}, **ALL)["rollout"]
    for each in known[10:]:
        each.counter, each.release = 2, "1.2.0"   # flashed by hand
        each.check_in()
    server.pass_time(1)
    for each in known[10:]:
        each.metrics |= {"uptime_s": 1_000, "app_crashes": 9}
        each.check_in()
    server.pass_time(1)
    gate = {check["name"]: check["numbers"] for check in server.status(ident)["stages"][0]["gate"]["checks"]}
    assert (gate["crashes"]["here"], gate["crashes"]["device_s"], gate["crashes"]["rest_devices"]) == (0, 0, 10)


def test_versions_choose_by_what_runs_and_a_device_under_way_is_not_left_half_way(server: Plant) -> None:
    server.publish(*server.keys.release(2, stone=True))
    target = server.publish(*server.keys.release(3, low=2)).json()["manifest"]
    old, new = fleet(server, 2)
    new.counter, new.release = 2, "1.2.0"
    offered([old, new])
    server.pass_time(1)
    server.rollout(target, filter={"versions": [1, 1]}, **ALL)
    for _ in range(6):
        install_and_confirm(server, [old, new])
    assert (old.counter, new.counter) == (3, 2)


def test_rollouts_for_different_devices_run_beside_each_other(server: Plant, known, released: str) -> None:
    other = server.publish(*server.keys.release(3)).json()["manifest"]
    north = server.rollout(released, filter={"sites": ["nord"]}, **ALL)
    south = server.rollout(other, filter={"sites": ["sued"]}, **ALL)
    assert (north["population"], south["population"], north["overlaps"], south["overlaps"]) == (10, 14, [], [])
    for _ in range(6):
        install_and_confirm(server, known)
    assert [each.counter for each in known] == [2] * 10 + [3] * 14
    assert server.status(north["rollout"])["state"] == server.status(south["rollout"])["state"] == "done"


def test_the_newest_release_goes_first_and_leaves_the_others_their_devices(server: Plant, known, released: str) -> None:
    fix = server.publish(*server.keys.release(3)).json()["manifest"]
    broad = server.rollout(released, stages=[50, 100], soak_s=1_000)["rollout"]
    pilots = server.rollout(fix, filter={"tags": {"any": ["pilot"]}}, stages=[50, 100], soak_s=1_000)
    assert (pilots["population"], pilots["overlaps"]) == (4, [broad])
    server.pass_time(1)
    assert server.status(broad)["population"] == 20   # the pilots belong to the fix, also those that wait for it
    offered(known)
    given = [each.directed for each in known]
    assert given.count(fix) == 2
    assert given.count(released) == 10
    waiting = next(each for index, each in enumerate(known) if index in (0, 1, 10, 11) and each.directed is None)
    told = explain(server, waiting)
    assert [(each["counter"], each["code"]) for each in told["rollouts"]] == [(3, "not_in_stage"), (2, "outranked")]
    server.post(f"/admin/rollouts/{pilots['rollout']}/abort")
    server.pass_time(1)
    assert server.status(broad)["population"] == 24


def test_of_two_rollouts_of_a_release_the_one_added_last_goes_first(server: Plant, known, released: str) -> None:
    slow = server.rollout(released, soak_s=1_000)["rollout"]
    server.pass_time(1)
    fast = server.rollout(released, filter={"sites": ["nord"]}, **ALL)["rollout"]
    server.pass_time(1)
    assert (server.status(slow)["population"], server.status(fast)["population"]) == (14, 10)
    offered(known)
    assert all(each.directed for each in known[:10])
    assert sum(each.directed is not None for each in known[10:]) <= 1


def test_what_was_begun_is_finished_before_a_newer_release_comes(server: Plant, known, released: str) -> None:
    device = known[0]
    server.rollout(released, filter={"sites": ["nord"]}, **ALL)
    device.check_in()
    assert device.directed == released
    fix = server.publish(*server.keys.release(3)).json()["manifest"]
    server.rollout(fix, **ALL)
    device.check_in()
    assert device.directed == released
    device.install()
    device.trial = False
    device.check_in()
    device.check_in()
    assert device.directed == fix
    assert [each for each in history(server, device) if each[0] == "failed"] == []


def test_a_label_reaches_an_idle_device_at_its_next_check_in(server: Plant, known, released: str) -> None:
    server.rollout(released, filter={"tags": {"any": ["urgent"]}}, **ALL)
    device = known[5]
    device.check_in()
    device.check_in()
    assert device.directed is None
    label(server, [device], tag=["urgent"])
    device.check_in()
    assert device.directed == released


def test_devices_that_join_late_get_what_their_labels_say(server: Plant, known, released: str) -> None:
    ident = server.rollout(released, filter={"sites": ["nord"]}, **ALL)["rollout"]
    for _ in range(6):
        install_and_confirm(server, known)
    assert server.status(ident)["state"] == "done"
    joined = PretendDevice(server, "hall-00000000ffff")
    joined.check_in()
    server.pass_time(1)
    assert joined.directed is None
    label(server, [joined], site="nord")
    joined.check_in()
    assert joined.directed == released


def test_labels_are_checked_and_all_or_none(server: Plant, known) -> None:
    assert code(server.post("/admin/labels", {"devices": [known[0].ident, "hall-ffffffffffff"], "tag": ["x"]})) == (404, "http.404")
    assert explain(server, known[0])["tags"] == ["pilot"]
    one = {"devices": [known[0].ident]}
    for body, wrong in ((one, "labels.value"), (one | {"tag": ["A"]}, "labels.value"), (one | {"site": "a b"}, "labels.value"),
                        (one | {"tag": [f"t{n}" for n in range(12)]}, "labels.value"), ({"tag": ["x"]}, "http.404"),
                        (one | {"tags": ["x"]}, "request.tags")):
        assert code(server.post("/admin/labels", body))[1] == wrong, body
    answer = server.client.request("PUT", "/admin/sites/nord", json={"zone": "Nord"}, headers={"x-test-peer": "op.release"})
    assert code(answer) == (422, "labels.zone")
    assert code(server.client.post(
        "/admin/labels", json=one | {"tag": ["x"]}, headers={"x-test-peer": "op.console"})) == (403, "operator.read_only")


def test_labels_of_a_model_are_changed_at_once_and_counted(server: Plant, known) -> None:
    assert server.post("/admin/labels", {"model": MODEL, "tag": ["fleet"], "untag": ["pilot"]}).json()["changed"] == 24
    shown = server.get("/admin/labels").json()
    assert shown["tags"] == [{"tag": "fleet", "devices": 24}]
    assert shown["sites"] == [{"site": site, "zone": "UTC", "known": True, "devices": number}
                              for site, number in (("nord", 10), ("sued", 14))]
    assert (shown["orders"][0]["what"], shown["orders"][0]["by"]) == ("+fleet -pilot", "op.release")
    assert label(server, known, tag=["fleet"]) == 0


def test_there_are_not_endless_groups_of_devices(server: Plant, known, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MAX_COHORTS", 6)
    label(server, [known[0]], tag=["one"])
    assert code(server.post("/admin/labels", {"devices": [known[0].ident], "tag": ["two"]})) == (409, "labels.many")
    assert explain(server, known[0])["tags"] == ["one", "pilot"]
