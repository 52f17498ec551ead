"""Configurations: checked before they are kept, sent until taken, not again to a device that gave one up; idle stays idle."""

import pytest

from node.agent.reconfigure import name_of
from ota.rules.configs import ConfigState, events, is_due
from tests.ota.support import DEVICE, Plant, PretendDevice, code, fleet

BODY = '{"period_ms": 500, "channels": [{"name": "temperature", "unit": "°C", "resolution": "0.01"}]}'
OTHER = '{"period_ms": 250}'


def keep(server: Plant, body: str = BODY) -> str:
    answer = server.post("/admin/configs", {"body": body, "note": "faster"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["name"])


def order(server: Plant, name: str, *devices: str) -> int:
    answer = server.post(f"/admin/configs/{name}/order", {"devices": list(devices), "reason": "test"})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["devices"])


def known(server: Plant) -> PretendDevice:
    device = PretendDevice(server, DEVICE)
    for _ in range(2):
        device.check_in()
        server.pass_time(1)
    return device


def run(device: PretendDevice, name: str, *, trial: bool = False) -> None:
    device.config = {"config": name, "config_trial": trial, "config_failed": None}
    device.reboot()


def test_what_is_sent_is_what_is_named_and_is_sent_until_it_is_taken(server: Plant) -> None:
    device, name = known(server), keep(server)
    assert device.check_in()["config"] is None
    assert order(server, name, DEVICE) == 1
    for _ in range(2):   # an answer may be lost
        sent = device.check_in()["config"]
        assert sent is not None
        assert sent[0] == name == name_of(sent[1])
    run(device, name, trial=True)
    assert device.check_in()["config"] is None
    server.pass_time(1)
    run(device, name)
    assert device.check_in()["config"] is None
    server.pass_time(1)
    shown = server.get(f"/admin/devices/{DEVICE}/config").json()
    assert [(one["event"], one["name"]) for one in shown["history"]] == [("runs", name), ("trial", name)]
    assert (shown["config"], shown["config_trial"], shown["config_wanted"]) == (name, False, name)
    assert server.get("/admin/configs").json()["configs"][0]["running"] == 1


def test_device_that_gave_it_up_is_not_sent_it_again_until_told_anew(server: Plant) -> None:
    device, name = known(server), keep(server)
    order(server, name, DEVICE)
    device.config["config_failed"] = {"name": name, "reason": "no readings"}
    assert device.check_in()["config"] is None
    assert device.check_in()["config"] is None   # it has nothing more to tell
    shown = server.get(f"/admin/devices/{DEVICE}/config").json()
    assert (shown["config_failed"], shown["config_reason"]) == (name, "no readings")
    order(server, name, DEVICE)
    assert device.check_in()["config"] is not None


def test_failure_is_on_disk_before_the_device_may_forget_it(server: Plant) -> None:
    """A crash of the server loses gathered last-seen times, never what a device says but once."""
    device, name = known(server), keep(server)
    order(server, name, DEVICE)
    device.config["config_failed"] = {"name": name, "reason": "boots"}
    device.check_in()
    server.context.desk._gathered.clear()   # the process dies
    assert server.get(f"/admin/devices/{DEVICE}/config").json()["config_failed"] == name


def test_idle_checkins_read_no_row_before_and_after_an_order_for_others(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    device, other = known(server), fleet(server, 2)[1]
    other.check_in()
    other.check_in()
    server.pass_time(1)
    looked = []
    settle = server.context.desk.settle
    monkeypatch.setattr(server.context.desk, "settle", lambda *given: looked.append(given[0].report.device) or settle(*given))
    device.check_in()
    assert looked == []
    order(server, keep(server), other.ident)
    for _ in range(3):
        device.check_in()
    assert looked == [DEVICE]   # once, since an order may have concerned it


@pytest.mark.parametrize(("body", "wrong"), [
    ("{}", "config.key"), ('{"host": "evil.example"}', "config.key"), ('{"channels": []}', "config.value"), ("[1]", "config.json"),
    ("", "config.json"), ('{"period_ms": 5}', "config.value"), ("{", "config.json"), ('{"trial_s": 86400}', "config.key"),
])
def test_what_no_device_would_take_is_refused(server: Plant, body: str, wrong: str) -> None:
    assert code(server.post("/admin/configs", {"body": body})) == (422, wrong)


def test_order_for_an_unknown_device_or_configuration_changes_nothing(server: Plant) -> None:
    device, name = known(server), keep(server)
    assert code(server.post(f"/admin/configs/{name}/order", {"devices": [DEVICE, "hall-ffffffffffff"]})) == (404, "http.404")
    assert code(server.post(f"/admin/configs/{name}/order", {})) == (404, "http.404")
    assert code(server.post("/admin/configs/0000000000000000/order", {"devices": [DEVICE]})) == (404, "http.404")
    assert device.check_in()["config"] is None
    assert server.get("/admin/configs").json()["orders"] == []


def test_order_for_a_model_reaches_its_devices(server: Plant) -> None:
    devices = fleet(server, 3)
    for each in devices:
        each.check_in()
    server.pass_time(1)
    name = keep(server)
    assert server.post(f"/admin/configs/{name}/order", {"model": "hall"}).json()["devices"] == 3
    assert all(each.check_in()["config"] is not None for each in devices)
    assert keep(server, OTHER) != name


def test_release_comes_before_a_configuration(server: Plant, released: str) -> None:
    device = known(server)
    server.rollout(released, stages=[100])
    order(server, keep(server), DEVICE)
    told = device.check_in()
    assert told["direction"] is not None
    assert told["config"] is None


def test_release_and_configuration_are_tried_at_once(server: Plant, released: str) -> None:
    device = known(server)
    server.rollout(released, stages=[100])
    device.check_in()
    device.install()   # on trial
    order(server, keep(server), DEVICE)
    assert device.check_in()["config"] is None
    device.trial = False
    assert device.check_in()["config"] is not None


def test_release_comes_while_a_configuration_is_tried(server: Plant, released: str) -> None:
    device, name = known(server), keep(server)
    order(server, name, DEVICE)
    run(device, name, trial=True)
    device.check_in()
    server.rollout(released, stages=[100])
    server.pass_time(1)
    assert device.check_in()["direction"] is None
    assert "trying a configuration" in server.get(f"/admin/devices/{DEVICE}/explain").text
    run(device, name)
    server.pass_time(1)
    assert device.check_in()["direction"] is not None


def test_reader_may_not_order(server: Plant) -> None:
    answer = server.client.post("/admin/configs", json={"body": BODY}, headers={"x-test-peer": "op.console"})
    assert code(answer) == (403, "operator.read_only")


def test_nothing_is_due_on_trial_and_what_happened_is_told_in_order() -> None:
    on_trial = ConfigState("aa", trial=True)
    assert not is_due("bb", "", on_trial)
    assert is_due("bb", "", ConfigState("aa"))
    assert not is_due("bb", "", ConfigState("aa", failed="bb"))
    assert not is_due("", "", ConfigState("aa"))
    assert events(on_trial, ConfigState("", failed="aa", reason="no ack")) == [("failed", "aa", "no ack"), ("runs", "", "")]
    assert events(on_trial, on_trial) == []
