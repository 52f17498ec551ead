"""When a rollout reaches a device: windows of its site, a start, an end, a pause."""

from tests.ota.support import DEVICE, Plant, PretendDevice, code, fleet, install_and_confirm
from tests.ota.targets import ALL, BERLIN, at, explain, history, label, offered


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
