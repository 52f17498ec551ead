"""The OTA server's words, as the real server says them, and what becomes of nonsense."""

import asyncio

import httpx
import pytest

from host.console.ota import HttpOta
from host.console.watched import SourceError
from ota.rules.access import Role
from tests.ota.support import Plant, WithPeer, fleet, plant


class InProcess(httpx.ASGITransport):
    """The real server in this process, asked as op.console."""

    async def handle_async_request(self, request):
        request.headers["x-test-peer"] = "op.console"
        return await super().handle_async_request(request)


def ask(transport, question):
    async def run():
        source = HttpOta("https://localhost:8443", None, 1.0, transport)
        try:
            return await question(source)
        finally:
            await source.close()

    return asyncio.run(run())


@pytest.fixture
def server(tmp_path):
    with plant(tmp_path) as made:
        yield made


def of(server: Plant):
    return InProcess(WithPeer(application(server)))


def application(server):
    return server.client._http._transport.app.app   # the application behind the test's own client


def test_the_real_servers_rollouts_are_understood(server):
    devices = fleet(server, 12)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    manifest = server.publish(*server.keys.release(2)).json()["manifest"]
    server.rollout(manifest)
    for device in devices:
        if device.check_in()["direction"] is not None:
            device.install()
            device.check_in()
    server.pass_time(1)
    (found,) = ask(of(server), HttpOta.rollouts)
    assert (found["release"], found["counter"], found["models"]) == ("1.2.0", 2, ["hall"])
    assert (found["state"], found["stage"]) == ("running", 0)
    assert [(stage["pct"], stage["state"]) for stage in found["stages"]] == [
        (1, "current"), (5, "waiting"), (10, "waiting"), (100, "waiting")]
    current = found["stages"][0]
    assert (current["eligible"], current["offered"], current["under_way"], current["confirmed"]) == (1, 1, 1, 0)
    assert current["gate"]["verdict"] == "unknown"
    assert {check["name"] for check in current["gate"]["checks"]} == {
        "failures", "lost", "confirms", "online", "crashes", "drops", "resets", "traffic"}
    assert found["history"][-1]["by"] == "op.release"


def test_a_soaking_stage_tells_when_its_soak_ends(server):
    (device,) = fleet(server, 1)
    device.check_in()
    server.pass_time(1)
    manifest = server.publish(*server.keys.release(2)).json()["manifest"]
    server.rollout(manifest)
    device.check_in()
    device.install()
    device.check_in()
    device.trial = False
    device.check_in()
    (found,) = ask(of(server), HttpOta.rollouts)
    assert found["stages"][0]["confirmed"] == 1
    assert found["stages"][0]["soak_ends_ms"] == round(server.clock.now_s + 6) * 1000


def test_a_rollout_that_waits_tells_for_whom_and_until_when(tmp_path):
    roles = {"op.ann": Role.OPERATOR, "op.release": Role.APPROVER, "op.console": Role.VIEWER}
    with plant(tmp_path, roles=roles, approvals=1) as server:
        manifest = server.publish(*server.keys.release(2)).json()["manifest"]
        starts_s = server.clock.now_s + 3600
        body = {"manifest": manifest, "start_at": starts_s}
        assert server.post("/admin/rollouts", body, "op.ann").status_code == 201
        (found,) = ask(of(server), HttpOta.rollouts)
        assert (found["state"], found["approval"]["event"], found["approval"]["by"]) == ("draft", "start", "op.ann")
        assert found["approval"]["at_ms"] == round(server.clock.now_s) * 1000
        assert server.post(f"/admin/rollouts/{found['id']}/approve").status_code == 200
        (found,) = ask(of(server), HttpOta.rollouts)
        assert (found["state"], found["approval"], found["starts_ms"]) == ("planned", None, round(starts_s) * 1000)


def test_a_device_that_fell_back_is_told_with_its_reason(server):
    devices = fleet(server, 3)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    server.rollout(server.publish(*server.keys.release(2)).json()["manifest"])
    victim = next(device for device in devices if device.check_in()["direction"] is not None)
    victim.install()
    victim.check_in()
    victim.fall_back("app crashed")
    victim.check_in()
    (found,) = ask(of(server), HttpOta.rollouts)
    assert found["fallen"][0]["device"] == victim.ident
    assert "app crashed" in found["fallen"][0]["reason"]
    standing = ask(of(server), HttpOta.devices)[victim.ident]
    assert (standing["attempt"], standing["trial"], standing["release"]) == ("failed", False, "1.1.0")


def test_the_real_servers_devices_versions_and_reasons_are_understood(server):
    devices = fleet(server, 3)
    for device in devices:
        device.check_in()
    server.pass_time(100)
    for device in devices:
        device.metrics["app_crashes"] = 2
        device.live(100)
        device.check_in()
    server.pass_time(1)
    standings = ask(of(server), HttpOta.devices)
    assert sorted(standings) == [f"hall-{number:012x}" for number in range(3)]
    assert standings["hall-000000000001"]["why"] == "no rollout for this model is under way"
    (version,) = ask(of(server), HttpOta.versions)
    assert (version["release"], version["devices"], version["crashes"], version["uptime_s"]) == ("1.1.0", 3, 6, 300)
    told = ask(of(server), lambda source: source.explain("hall-000000000002"))
    assert told["metrics"]["uptime_s"] == 100
    assert ask(of(server), lambda source: source.explain("hall-00000000ffff")) is None


def test_configuration_that_a_device_gave_up_is_not_shown(server):
    (device,) = fleet(server, 1)
    name = server.post("/admin/configs", {"body": '{"period_ms": 500}'}).json()["name"]
    device.check_in()
    server.pass_time(1)
    assert server.post(f"/admin/configs/{name}/order", {"devices": [device.ident]}).status_code == 201
    device.config["config_failed"] = {"name": name, "reason": "no batch acknowledged"}
    server.pass_time(1)
    device.check_in()
    told = ask(of(server), lambda source: source.explain(device.ident))["config"]
    assert told == {"runs": "", "trial": False, "wanted": name, "failed": name, "reason": "no batch acknowledged"}


@pytest.mark.parametrize(("answer", "code"), [
    (httpx.Response(403, json={"code": "who"}), "ota.refused"), (httpx.Response(500, text="oops"), "ota.refused"),
    (httpx.Response(200, text="<html>"), "ota.answer"), (httpx.Response(200, json=[]), "ota.answer"),
    (httpx.Response(200, json={}), "ota.answer"), (httpx.Response(200, json={"versions": [5]}), "ota.answer"),
    (httpx.Response(302, headers={"location": "https://elsewhere.example/"}), "ota.refused"),
])
def test_nonsense_is_a_source_out_of_reach_not_a_crash(answer, code):
    with pytest.raises(SourceError) as caught:
        ask(httpx.MockTransport(lambda _request: answer), HttpOta.versions)
    assert caught.value.code == code


@pytest.mark.parametrize(("error", "words"), [
    (httpx.ConnectError("connection refused"), "connection refused"), (httpx.ReadTimeout("x"), "timeout"),
    (httpx.RemoteProtocolError("garbage"), "garbage"),
])
def test_a_server_that_does_not_answer_is_told_with_the_reason(error, words):
    def fail(_request):
        raise error

    with pytest.raises(SourceError, match=words) as caught:
        ask(httpx.MockTransport(fail), HttpOta.rollouts)
    assert caught.value.code == "ota.unreachable"


def test_many_devices_come_in_pages():
    pages = {"": (["a", "b"], "b"), "b": (["c"], None)}

    def answer(request):
        names, after = pages[request.url.params["after"]]
        return httpx.Response(200, json={"devices": [{"device": name} for name in names], "next": after})

    assert list(ask(httpx.MockTransport(answer), HttpOta.devices)) == ["a", "b", "c"]
