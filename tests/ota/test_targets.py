"""Whom a rollout reaches: labels, filters, precedence, windows, schedule; and what a device's history and `explain` say of it."""

import datetime as dt

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ota.rules.rollout import OFFERING, rank
from ota.rules.values import ACTIVE, OPEN, Attempt
from ota.rules.windows import is_open
from ota.store import attempts, devices, labels
from ota.store import rollouts as rollout_rows
from ota.store.session import reading
from tests.ota.support import DEVICE, MODEL, Plant, PretendDevice, code, fleet, install_and_confirm, plant

ALL = {"stages": [100], "soak_s": 0, "min_reports": 1}
BERLIN = dt.datetime(2027, 6, 4, 12, tzinfo=dt.UTC)   # a Friday, 14:00 on the wall


def label(server: Plant, devices, **change):
    answer = server.post("/admin/labels", {"devices": [each.ident for each in devices]} | change)
    assert answer.status_code == 201, answer.text
    return answer.json()["changed"]


def explain(server: Plant, device: PretendDevice):
    return server.get(f"/admin/devices/{device.ident}/explain").json()


def history(server: Plant, device: PretendDevice) -> list[tuple[str, int]]:
    shown = server.get(f"/admin/devices/{device.ident}/history").json()["history"]
    return [(each["event"], each["counter"]) for each in reversed(shown)]


def later(server: Plant, device: PretendDevice) -> None:
    server.pass_time(5)
    device.check_in()


@pytest.fixture
def known(server: Plant) -> list[PretendDevice]:
    """24 devices that have checked in; those at the site nord come first."""
    devices = fleet(server, 24)
    for each in devices:
        each.check_in()
    server.pass_time(1)
    label(server, devices[:10], site="nord")
    label(server, devices[10:], site="sued")
    label(server, devices[:2] + devices[10:12], tag=["pilot"])
    return devices


def offered(devices: list[PretendDevice]) -> list[int]:
    for each in devices:
        each.check_in()
    return [index for index, each in enumerate(devices) if each.directed]


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


def at(server: Plant, hours: float) -> None:
    """Set the clock to hours after noon UTC of the Friday."""
    server.clock.now_s = BERLIN.timestamp() + hours * 3_600


def test_a_device_waits_for_the_window_of_its_site(server: Plant, released: str) -> None:
    at(server, 0)
    berlin, nowhere = fleet(server, 2)
    offered([berlin, nowhere])
    server.pass_time(1)
    label(server, [berlin], site="berlin")
    assert server.client.request(
        "PUT", "/admin/sites/berlin", json={"zone": "Europe/Berlin"}, headers={"x-test-peer": "op.release"}).status_code == 200
    ident = server.rollout(released, windows=["fri 15:00-16:00"], active_s=1e6, lease_s=1e6, **ALL)["rollout"]
    assert offered([berlin, nowhere]) == []
    told = explain(server, berlin)
    (word,) = told["rollouts"]
    assert (told["code"], word["zone"], word["from_s"] - told["now_s"]) == ("window", "Europe/Berlin", 3_599)
    assert explain(server, nowhere)["rollouts"][0]["from_s"] == BERLIN.timestamp() + 3 * 3_600
    at(server, 1)
    assert offered([berlin, nowhere]) == [0]
    assert server.status(ident)["stages"][0]["lost"] == 0
    at(server, 2.5)   # its window has ended; it goes on with what it has
    assert offered([berlin, nowhere]) == [0]
    berlin.install()
    berlin.trial = False
    assert offered([berlin, nowhere]) == []
    at(server, 3)
    assert offered([berlin, nowhere]) == [1]
    assert [each for each in history(server, berlin) if each[0] == "offered"] == [("offered", 2)]


def test_a_device_is_called_back_in_the_first_half_of_its_window(server: Plant, released: str) -> None:
    at(server, 0)
    (device,) = fleet(server, 1)
    server.context.desk._pace = server.context.settings.model_copy(update={"period_s": 86_400.0}).pace()
    device.check_in()
    server.pass_time(1)
    server.rollout(released, windows=["fri 15:00-19:00"], **ALL)   # in UTC: three to seven hours from now
    period_s = device.check_in()["period_s"]
    assert period_s == device.check_in()["period_s"]   # also when it is answered without the database
    assert 4.5 * 3_600 < 1.1 * period_s <= 5 * 3_600 - 1
    at(server, 3)
    assert device.check_in()["period_s"] == 86_400
    assert device.directed


def test_a_late_device_is_called_back_for_its_window_while_a_newer_release_is_not_its_turn(server: Plant, released: str) -> None:
    at(server, 0)
    early, late = fleet(server, 2)
    offered([early])
    server.pass_time(1)
    server.rollout(released, windows=["fri 12:00-13:00", "sat 12:00-13:00"], lease_s=1e6, **ALL)
    for _ in range(5):
        install_and_confirm(server, [early])
    newer = server.publish(*server.keys.release(3)).json()["manifest"]
    server.rollout(newer, stages=[1, 100], soak_s=1e6, lease_s=1e6, active_s=1e6)
    at(server, 1.5)
    offered([early])   # it takes the newer one's only place
    late.check_in()
    server.pass_time(1)
    told = explain(server, late)
    assert [each["counter"] for each in told["rollouts"]] == [3, 2]
    assert told["rollouts"][0]["code"] in ("stage_full", "not_in_stage")   # by its bucket
    assert told["rollouts"][1]["code"] == told["code"] == "window"


def test_a_time_zone_that_has_gone_holds_its_site_and_nothing_else(server: Plant, released: str, zone_that_goes) -> None:
    at(server, 0)
    name, go = zone_that_goes
    late, begun, elsewhere = devices = fleet(server, 3)
    offered(devices)
    server.pass_time(1)
    label(server, [late, begun], site="hall")
    assert server.client.request(
        "PUT", "/admin/sites/hall", json={"zone": name}, headers={"x-test-peer": "op.release"}).status_code == 200
    ident = server.rollout(released, windows=["mon-sun 00:00-24:00"], **ALL | {"lease_s": 1e6, "active_s": 1e6})["rollout"]
    assert offered([begun]) == [0]
    go()
    for _ in range(2):   # the second time from memory
        assert late.check_in()["reason"] == "the server does not know the time zone of the device's site"
    server.context.desk.recall(server.clock.now_s)   # as a server that starts again
    assert offered([late, begun, elsewhere]) == [1, 2]
    told = explain(server, late)
    (word,) = told["rollouts"]
    assert (told["decision"], told["code"], word["detail"].split(",")[0]) == ("hold", "zone", f"zone: got {name}")
    assert [each["code"] for each in server.get("/admin/devices").json()["devices"]].count("zone") == 1
    assert server.get("/admin/labels").json()["sites"] == [{"site": "hall", "zone": name, "known": False, "devices": 2}]
    for each in (begun, elsewhere):
        each.install()
        each.trial = False
    offered(devices)
    server.pass_time(1)
    shown = server.status(ident)   # the last stage waits for it
    assert (shown["state"], shown["stages"][0]["waiting"], shown["stages"][0]["confirmed"]) == ("running", 1, 2)
    server.client.request("PUT", "/admin/sites/hall", json={"zone": "Europe/Berlin"}, headers={"x-test-peer": "op.release"})
    assert offered([late]) == [0]


def test_a_sleeping_window_neither_fails_nor_finishes_a_rollout(server: Plant, released: str) -> None:
    at(server, 0)
    devices = fleet(server, 4)
    offered(devices)
    server.pass_time(1)
    label(server, devices[:2], site="east")
    server.client.request("PUT", "/admin/sites/east", json={"zone": "Asia/Tokyo"}, headers={"x-test-peer": "op.release"})
    ident = server.rollout(released, windows=["fri 12:00-14:00"], **ALL | {"lease_s": 10_000, "active_s": 1e6})["rollout"]
    for _ in range(6):
        install_and_confirm(server, devices)
    shown = server.status(ident)
    assert [each.counter for each in devices] == [1, 1, 2, 2]
    assert (shown["state"], shown["stages"][0]["waiting"], shown["stages"][0]["lost"]) == ("running", 2, 0)


def test_a_rollout_starts_at_its_time_and_ends_at_its_time(server: Plant, known, released: str) -> None:
    now_s = server.clock.now_s
    made = server.rollout(released, start_at=now_s + 100, not_after=now_s + 200, **ALL)
    assert made["state"] == "planned"
    server.pass_time(99)
    assert offered(known) == []
    assert explain(server, known[0])["code"] == "not_running"
    server.pass_time(1)
    assert offered(known[:3]) == [0, 1, 2]
    for each in known[:3]:
        each.install()
        each.trial = False
    server.clock.now_s += 100
    assert offered(known) == []
    assert explain(server, known[5])["code"] == "over"
    server.pass_time(0)
    shown = server.status(made["rollout"])
    assert (shown["state"], shown["history"][-1]["by"]) == ("aborted", "schedule")
    assert [(each["event"], each["by"]) for each in shown["history"][1:3]] == [("plan", "op.release"), ("start", "schedule")]


def test_an_operator_may_start_a_planned_rollout_now_or_drop_it(server: Plant, released: str) -> None:
    later = server.clock.now_s + 1_000
    first, second = (server.rollout(released, start_at=later, **ALL)["rollout"] for _ in range(2))
    assert server.post(f"/admin/rollouts/{first}/start").json()["state"] == "running"
    assert server.post(f"/admin/rollouts/{second}/abort").json()["state"] == "aborted"
    assert code(server.post(f"/admin/rollouts/{first}/start")) == (409, "rollout.state")


def test_a_pause_is_not_held_against_a_device(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    ident = server.rollout(released, **ALL | {"lease_s": 60})["rollout"]
    device.check_in()
    assert device.directed
    server.post(f"/admin/rollouts/{ident}/pause")
    for _ in range(10):   # longer than its patience of four leases
        server.pass_time(50)
        device.check_in()
    shown = server.status(ident)
    assert (shown["state"], shown["stages"][0]["failed"]) == ("paused", 0)
    server.post(f"/admin/rollouts/{ident}/resume")
    device.check_in()
    assert device.directed


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


def test_a_history_tells_all_that_happened_and_for_ever(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    label(server, [device], tag=["pilot"], site="nord")
    ident = server.rollout(released, **ALL | {"retry_s": 5})["rollout"]
    device.check_in()
    later(server, device)   # offered again, which is nothing new
    device.install()
    later(server, device)
    device.fall_back("ImportError: no module named app")
    later(server, device)
    server.post(f"/admin/rollouts/{ident}/resume")
    server.post(f"/admin/devices/{DEVICE}/forgive")
    later(server, device)
    device.install()
    later(server, device)
    device.trial = False
    later(server, device)
    assert history(server, device) == [
        ("seen", 1), ("labelled", 0), ("offered", 2), ("runs", 2), ("trial", 2), ("runs", 1), ("failed", 2), ("forgiven", 0),
        ("offered", 2), ("runs", 2), ("trial", 2), ("confirmed", 2)]
    shown = server.get(f"/admin/devices/{DEVICE}/history?limit=5").json()
    rest = server.get(f"/admin/devices/{DEVICE}/history?limit=500&before={shown['next']}").json()
    assert (len(shown["history"]), len(rest["history"]), rest["next"]) == (5, 7, None)
    details = {each["event"]: each["detail"] for each in rest["history"]}
    assert details["labelled"] == "op.release +pilot site=nord"
    assert details["failed"] == "ImportError: no module named app"
    assert details["offered"] == ident


def test_a_lost_device_is_in_its_history(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    server.rollout(released, **ALL)
    device.check_in()
    server.pass_time(100)
    assert history(server, device)[-1] == ("lost", 2)


def test_explain_tells_every_number_that_decides(server: Plant) -> None:
    server.publish(*server.keys.release(2, stone=True))
    target = server.publish(*server.keys.release(3, low=2)).json()["manifest"]
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    made = server.rollout(target, retry_s=500)
    device.check_in()
    device.install()
    device.check_in()
    device.fall_back()
    device.check_in()
    server.post(f"/admin/rollouts/{made['rollout']}/resume")
    (word,) = explain(server, device)["rollouts"]
    assert [each["counter"] for each in word["path"]] == [2, 3]
    assert (word["code"], word["failures"], word["quarantine_after"], word["attempt"]) == ("retry_later", 1, 2, "failed")
    assert word["from_s"] == server.clock.now_s + 500
    assert (word["pct"], word["offered"], word["capacity"], word["bucket"] < word["limit"]) == (1, 1, 1, True)


# Whatever filters, labels, windows and operators do.

TAGS = ("a", "b")
WINDOWS = ((), ("mon-sun 00:00-06:00",), ("sat,sun 00:00-24:00",))
plans = st.fixed_dictionaries({
    "counter": st.integers(2, 4), "sites": st.lists(st.sampled_from(["nord", "sued"]), unique=True, max_size=1),
    "any": st.lists(st.sampled_from(TAGS), unique=True, max_size=1), "none": st.lists(st.sampled_from(TAGS), max_size=1),
    "stages": st.sampled_from([[10, 50, 100], [50, 100], [100]]), "windows": st.sampled_from(WINDOWS)})
moves = st.tuples(st.sampled_from(["pause", "resume", "abort", "tag", "untag", "site", "none", "none"]), st.integers(0, 50))


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted=st.lists(plans, min_size=2, max_size=4), number=st.integers(3, 14), pressed=st.lists(moves, min_size=6, max_size=14))
def test_no_device_gets_two_releases_and_no_stage_is_exceeded(tmp_path_factory, wanted, number, pressed) -> None:
    with plant(tmp_path_factory.mktemp("targets")) as server:
        manifests = {counter: server.publish(*server.keys.release(counter)).json()["manifest"] for counter in (2, 3, 4)}
        devices = fleet(server, number)
        offered(devices)
        server.pass_time(1)
        label(server, devices[::2], site="nord", tag=["a"])
        label(server, devices[1::2], site="sued")
        idents = [
            server.post("/admin/rollouts", {
                "manifest": manifests[plan["counter"]], "stages": plan["stages"], "soak_s": 0, "min_reports": 1,
                "windows": plan["windows"], "lease_s": 1e6, "active_s": 1e6,
                "filter": {"sites": plan["sites"], "tags": {"any": plan["any"], "none": [
                    tag for tag in plan["none"] if tag not in plan["any"]]}}}).json()["rollout"]
            for plan in wanted]
        for what, which in pressed:
            press(server, what, idents[which % len(idents)], devices[which % number])
            for device in devices:
                check_one(server, device)
            server.pass_time(7_000)
            check_places(server)


def press(server: Plant, what: str, ident: str, device: PretendDevice) -> None:
    if what in ("pause", "resume", "abort"):
        server.post(f"/admin/rollouts/{ident}/{what}")
    elif what == "site":
        label(server, [device], site="nord")
    elif what != "none":
        label(server, [device], **{what: ["b"]})


def check_one(server: Plant, device: PretendDevice) -> None:
    """One period of a device's life, and what must hold for what it is told."""
    if device.directed:
        device.install()
    elif device.trial:
        device.trial = False
    before, row, known = rows(server, device)
    device.check_in()
    after, _, _ = rows(server, device)
    if device.directed is None:
        return
    (ident,) = [each for each in after if after[each].manifest == device.directed and after[each].state in OPEN
                and (each not in before or before[each].state in OPEN)][:1]
    rollout = known[ident]
    assert rollout.state in OFFERING
    begun = [each for each in before if before[each].state in OPEN and known[each].state in OFFERING]
    if begun:
        assert ident in begun   # what was begun is finished first
        return
    assert is_open(rollout.policy.windows, "UTC", server.clock.now_s)
    wanted, tags = rollout.policy.filter, set(row.labels.tags)
    assert not wanted.sites or row.labels.site in wanted.sites
    assert not wanted.tags.any or tags & set(wanted.tags.any)
    assert not tags & set(wanted.tags.none)
    for other in known.values():   # no rollout that goes first would have had it
        fits = (not other.policy.filter.sites or row.labels.site in other.policy.filter.sites) and (
            not other.policy.filter.tags.any or tags & set(other.policy.filter.tags.any)) and not (
            tags & set(other.policy.filter.tags.none))
        if rollout.state in ACTIVE and other.state in ACTIVE and rank(other) < rank(rollout) and fits:
            assert row.report.counter >= other.release.counter


def rows(server: Plant, device: PretendDevice):
    with reading(server.context.engine) as connection:
        mine: dict[str, Attempt] = attempts.of_devices(connection, [device.ident])[device.ident]
        row = devices.get(connection, device.ident)
        return mine, row, {each.ident: each for each in rollout_rows.all_rollouts(connection)}


def check_places(server: Plant) -> None:
    with reading(server.context.engine) as connection:
        for rollout in rollout_rows.all_rollouts(connection):
            tried = attempts.page(connection, rollout.ident, 1_000)
            share = rollout.policy.stages[rollout.stage]
            fleet_share = max(1, int(len(devices.page(connection, "", 1_000)) * share / 100 + 1e-9))
            assert len(tried) == rollout.offered <= fleet_share

