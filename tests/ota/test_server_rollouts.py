"""Rollouts from end to end: what a fleet and its operators see."""

from dataclasses import replace

from sqlalchemy import select

from ota.rules.values import Policy
from ota.store import tables
from ota.store.session import writing
from tests.ota.support import DEVICE, Plant, PretendDevice, code, fleet, install_and_confirm


def test_a_rollout_of_24_from_canary_to_done(server: Plant, released: str) -> None:
    devices = fleet(server, 24)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    ident = server.rollout(released)["rollout"]
    most = {}
    for _ in range(40):
        install_and_confirm(server, devices)
        shown = server.status(ident)
        most[shown["stage"]] = shown["offered"]
        if shown["state"] == "done":
            break
    assert shown["state"] == "done"
    assert most == {0: 1, 1: 1, 2: 2, 3: 24}
    assert [each["event"] for each in shown["history"]] == ["create", "start", "advance", "advance", "advance", "finish"]
    assert [each["state"] for each in shown["stages"]] == ["done"] * 4
    assert shown["stages"][3]["gate"]["verdict"] == "pass"
    assert shown["stages"][3]["confirmed"] == 24
    versions = {each["counter"]: each for each in server.get("/admin/versions").json()["versions"]}
    assert (versions[1]["devices"], versions[2]["devices"]) == (0, 24)
    assert versions[2]["totals"]["uptime_s"] > 0


def test_a_crashing_release_stops_at_the_canary(server: Plant, released: str) -> None:
    devices = fleet(server, 24)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    ident = server.rollout(released)["rollout"]
    for device in devices:
        device.check_in()
    (canary,) = [device for device in devices if device.directed]
    canary.install()
    shown = server.status(ident)
    assert shown["stages"][0]["gate"]["verdict"] == "unknown"
    canary.fall_back("ImportError: no module named app")
    canary.check_in()
    shown = server.status(ident)
    assert shown["state"] == "halted"
    assert "1 of 1 devices came back" in shown["reason"]
    assert shown["attempts"][0]["reason"] == "ImportError: no module named app"
    assert shown["stages"][0]["gate"]["verdict"] == "fail"
    for _ in range(30):
        install_and_confirm(server, devices)
    assert all(device.counter == 1 for device in devices)
    why = server.get(f"/admin/devices/{canary.ident}/explain").json()
    assert (why["code"], why["attempt"], why["failures"][0]["count"]) == ("not_running", "failed", 1)


def test_a_device_that_loses_power_in_mid_update_just_goes_on(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    ident = server.rollout(released)["rollout"]
    device.check_in()
    assert device.directed
    device.reboot()
    server.pass_time(30)
    assert "under way" in device.check_in()["reason"]
    device.install()
    install_and_confirm(server, [device])
    install_and_confirm(server, [device])
    assert server.status(ident)["stages"][0]["confirmed"] == 1


def test_an_operator_pauses_resumes_and_aborts(server: Plant, released: str) -> None:
    devices = fleet(server, 24)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    ident = server.rollout(released, start=False)["rollout"]
    assert [server.post(f"/admin/rollouts/{ident}/{command}", body).json()["state"] for command, body in (
        ("start", None), ("pause", {"reason": "night shift"}), ("resume", None), ("pause", None))] == [
        "running", "paused", "running", "paused"]
    for device in devices:
        assert "not running" in device.check_in()["reason"]
    assert code(server.post(f"/admin/rollouts/{ident}/pause")) == (409, "rollout.state")
    assert code(server.post(f"/admin/rollouts/{ident}/explode")) == (404, "http.404")
    done = server.post(f"/admin/rollouts/{ident}/abort", {"reason": "wrong release"}).json()
    assert (done["state"], done["reason"], done["history"][-1]["by"]) == ("aborted", "wrong release", "op.release")
    assert done["history"][2]["reason"] == "night shift"
    assert code(server.post(f"/admin/rollouts/{ident}/resume")) == (409, "rollout.state")


def test_policies_are_checked_before_anything_starts(server: Plant, released: str) -> None:
    for body in ({"stages": [5, 1]}, {"stagse": [100]}, {"soak_s": [1]}, {"lease_s": "soon"}, {"start": "yes"}):
        assert code(server.post("/admin/rollouts", {"manifest": released} | body)) == (422, "rollout.policy"), body
    assert code(server.post("/admin/rollouts", {"manifest": "0" * 64})) == (404, "http.404")
    assert code(server.post("/admin/rollouts", {})) == (422, "rollout.policy")
    made = server.rollout(released, stages=[50, 100], soak_s=1, start=False)
    assert (made["policy"]["stages"], made["policy"]["soak_s"]) == ([50, 100], [1, 1])


def test_a_rollout_keeps_the_numbers_that_it_was_made_with_and_shows_them(server: Plant, released: str) -> None:
    made = server.rollout(released, max_failure_pct=0.5)
    others = replace(server.context.settings.policy, max_failure_pct=5.0, quarantine_after=9, spread=7.0)
    server.context.settings = server.context.settings.model_copy(update={"policy": others})
    with writing(server.context.engine) as connection:   # as a version kept it that did not know `spread`
        policy = connection.execute(select(tables.rollout.c.policy)).scalar_one()
        connection.execute(tables.rollout.update().values(policy={key: policy[key] for key in policy if key != "spread"}))
    assert server.status(made["rollout"])["policy"] == made["policy"]
    assert (made["policy"]["max_failure_pct"], made["policy"]["spread"]) == (0.5, Policy().spread)


def test_a_policy_that_cannot_be_read_any_more_halts(server: Plant, released: str) -> None:
    ident = server.rollout(released)["rollout"]
    with writing(server.context.engine) as connection:
        policy = connection.execute(select(tables.rollout.c.policy)).scalar_one()
        connection.execute(tables.rollout.update().values(policy=policy | {"max_failure_pct": 900.0}))
    server.pass_time(1)
    shown = server.status(ident)
    assert shown["state"] == "halted"
    assert "max_failure_pct: got 900" in shown["reason"]


def test_a_device_from_the_past_walks_over_the_stone(server: Plant) -> None:
    server.publish(*server.keys.release(2, stone=True))
    target = server.publish(*server.keys.release(3, low=2)).json()["manifest"]
    device = PretendDevice(server, DEVICE, counter=1)
    device.check_in()
    server.pass_time(1)
    ident = server.rollout(target)["rollout"]
    for _ in range(12):
        install_and_confirm(server, [device])
    assert device.counter == 3
    assert server.status(ident)["state"] in ("running", "done")


def test_explain_tells_why_a_device_waits(server: Plant, released: str) -> None:
    devices = fleet(server, 24)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    ident = server.rollout(released)["rollout"]
    shown = server.get("/admin/devices").json()["devices"]
    assert len(shown) == 24
    assert sorted(each["code"] for each in shown) == ["not_in_stage"] * 23 + ["offered"]
    why = server.get(f"/admin/devices/{shown[0]['device']}/explain").json()
    assert why["rollout"] == ident
    assert 0 <= why["bucket"] < 10_000
    pages = server.get("/admin/devices?limit=10").json()
    assert (len(pages["devices"]), pages["next"]) == (10, pages["devices"][-1]["device"])


def test_a_forgiven_device_is_offered_the_release_again(server: Plant, released: str) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    server.pass_time(1)
    ident = server.rollout(released, quarantine_after=1)["rollout"]
    device.check_in()
    device.install()
    device.fall_back()
    device.check_in()
    server.post(f"/admin/rollouts/{ident}/resume")
    server.pass_time(100)
    assert "an operator must look" in device.check_in()["reason"]
    assert server.post(f"/admin/devices/{DEVICE}/forgive").json()["forgiven"] == 1
    device.check_in()
    assert device.directed == released
