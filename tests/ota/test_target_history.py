"""What a device's history and `explain` say of the rollouts that reached it."""

from tests.ota.support import DEVICE, Plant, PretendDevice
from tests.ota.targets import ALL, explain, history, label, later


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
