"""The HTTP contract: who may call what, what devices are told, what operators see. Each attack has its test."""

import base64
import json
import sqlite3

import pytest

from node.wire import checkin
from ota.client import OtaClient, OtaError
from ota.release import sign
from ota.release.keys import public65
from ota.server import app as application
from ota.server.desk import sighting_of
from tests.ota.support import Plant, PretendDevice, fleet, plant

DEVICE = "hall-000000000000"


@pytest.fixture
def released(server: Plant) -> str:
    answer = server.publish(*server.keys.release(2))
    assert answer.status_code == 201, answer.text
    return answer.json()["manifest"]


def install_and_confirm(server: Plant, devices: list[PretendDevice], seconds: float = 3) -> None:
    """One period of a healthy fleet."""
    for device in devices:
        device.live(int(seconds))
        device.check_in()
        if device.directed:
            device.install()
        elif device.trial:
            device.trial = False
    server.pass_time(seconds)


def request_of(device: str, **changes: object) -> bytes:
    body = {"device": device, "model": "hall", "release": "1.1.0", "counter": 1, "manifest": "", "boot": 1, "nonce": "0" * 32,
            "slot": "a", "trial": False, "failed": None, "root": 1, "seq": 0, "metrics": {}}
    return checkin.encode_request(body | changes)


def post_raw(server: Plant, raw: bytes, peer: str | None = DEVICE):
    return server.client.post("/v1/checkin", content=raw, headers={"x-test-peer": peer} if peer else {})


def code(answer) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"code", "message"}
    assert "Traceback" not in answer.text
    return answer.status_code, body["code"]


# Who may call what.

def test_nobody_without_a_certificate(server: Plant) -> None:
    assert code(post_raw(server, request_of(DEVICE), None)) == (401, "tls.certificate")
    assert code(server.client.get("/admin/devices")) == (401, "tls.certificate")
    assert server.client.get("/healthz").json() == {"status": "ok"}


def test_a_device_cannot_speak_for_another(server: Plant) -> None:
    assert code(post_raw(server, request_of(DEVICE), "hall-000000000001")) == (403, "checkin.device")
    server.pass_time(1)
    assert server.get("/admin/devices").json()["devices"] == []


def test_a_device_certificate_opens_no_operators_door(server: Plant, released: str) -> None:
    for path in ("/admin/devices", "/admin/rollouts", "/admin/versions", "/admin/releases"):
        assert code(server.get(path, DEVICE)) == (403, "tls.operator")
    assert code(server.post("/admin/rollouts", {"manifest": released}, DEVICE)) == (403, "tls.operator")
    assert code(server.get("/admin/devices", "svc.ingest")) == (403, "tls.operator")


def test_an_operator_is_no_device(server: Plant, released: str) -> None:
    assert code(server.get(f"/v1/manifests/{released}", "op.release")) == (403, "tls.device")


def test_the_console_may_look_but_not_touch(server: Plant, released: str) -> None:
    assert server.get("/admin/rollouts", "op.console").status_code == 200
    assert code(server.post("/admin/rollouts", {"manifest": released}, "op.console")) == (403, "operator.read_only")


def test_a_header_does_not_make_a_peer(server: Plant) -> None:
    for header in ("x-ssl-client-cn", "x-forwarded-client-cert", "x-client-verify"):
        assert code(server.client.get("/admin/devices", headers={header: "op.release"}))[0] == 401


# Bodies and errors.

@pytest.mark.parametrize(("raw", "expected"), [
    (b"", "checkin.json"), (b"[]", "checkin.object"), (b"{}", "checkin.v"), (b"\xff", "checkin.json"),
    (request_of(DEVICE, nonce="00"), "checkin.nonce"), (request_of(DEVICE, counter=-1), "checkin.counter"),
    (request_of(DEVICE, metrics={"uptime_s": "1"}), "checkin.uptime_s"),
])
def test_malformed_check_ins_name_the_key(server: Plant, raw: bytes, expected: str) -> None:
    assert code(post_raw(server, raw)) == (422, expected)


def test_endless_bodies_are_cut_off(server: Plant) -> None:
    assert code(post_raw(server, b" " * 5_000)) == (413, "checkin.size")
    assert code(server.post("/admin/rollouts", {"manifest": "x" * 100_000})) == (413, "request.size")


def test_unknown_paths_methods_and_keys(server: Plant) -> None:
    assert code(server.get("/nothing")) == (404, "http.404")
    assert code(server.client.get("/v1/checkin", headers={"x-test-peer": DEVICE})) == (405, "http.405")
    assert code(server.post("/admin/releases", {"manifest": "AA==", "artifact": "AA==", "x": 1})) == (422, "request.x")
    assert code(server.get("/admin/devices?limit=0")) == (422, "request.query.limit")
    assert code(server.get("/admin/rollouts/r1")) == (404, "http.404")
    assert code(server.get(f"/admin/devices/{DEVICE}/explain")) == (404, "http.404")


def test_a_fault_of_the_server_tells_no_secrets(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(server.context.desk, "settle", broken)
    answer = post_raw(server, request_of(DEVICE))
    assert code(answer) == (500, "server.fault")
    assert "secret" not in answer.text


def test_a_locked_database_is_told_as_busy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.db.BUSY_TIMEOUT_MS", 50)
    with plant(tmp_path) as server:
        other = sqlite3.connect(tmp_path / "ota.db")
        other.execute("BEGIN IMMEDIATE")
        answer = server.publish(*server.keys.release(2))
        assert code(answer) == (503, "server.busy")
        assert answer.headers["retry-after"] == "5"
        other.close()
        assert server.publish(*server.keys.release(2)).status_code == 201


# Publishing.

def test_what_the_release_key_did_not_sign_is_not_published(server: Plant) -> None:
    assert code(server.publish(*server.keys.release(2, key=server.keys.direction_key))) == (422, "signature.threshold")
    raw, artifact = server.keys.release(2)
    assert code(server.publish(raw, artifact + b"x")) == (422, "release.artifact")
    assert code(server.publish(b"not an envelope" * 10, artifact)) == (422, "signed.magic")
    assert server.get("/admin/releases").json() == {"releases": []}


def test_publishing_twice_is_publishing_once(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    assert [server.publish(raw, artifact).status_code for _ in range(2)] == [201, 201]
    assert len(server.get("/admin/releases").json()["releases"]) == 1


def test_a_counter_names_one_release(server: Plant, released: str) -> None:
    assert code(server.publish(*server.keys.release(2, low=1))) == (409, "release.counter")
    assert server.publish(*server.keys.release(2, models=("roof",))).status_code == 201


def test_a_release_that_would_strand_a_version_in_use_is_refused(server: Plant) -> None:
    PretendDevice(server, DEVICE, counter=1).check_in()
    server.pass_time(1)
    stranding = server.keys.release(4, low=3)
    answer = server.publish(*stranding)
    assert code(answer) == (409, "release.stranded")
    assert "hall at counter 1" in answer.json()["message"]
    assert server.publish(*server.keys.release(3, stone=True)).status_code == 201
    assert server.publish(*stranding).status_code == 201


def test_stranding_on_purpose_must_be_said(server: Plant) -> None:
    PretendDevice(server, DEVICE, counter=1).check_in()
    server.pass_time(1)
    assert server.publish(*server.keys.release(4, low=3), allow_stranded=True).status_code == 201


# Downloads.

def test_devices_get_the_bytes_that_were_signed(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    body = server.publish(raw, artifact).json()
    assert server.get(f"/v1/manifests/{body['manifest']}", DEVICE).content == raw
    whole = server.get(f"/v1/artifacts/{body['artifact']}", DEVICE)
    assert (whole.content, whole.headers["accept-ranges"]) == (artifact, "bytes")
    assert server.get("/v1/roots/1", DEVICE).content == server.keys.root_raw
    for missing in ("/v1/roots/2", "/v1/roots/0", "/v1/roots/x", "/v1/roots/²", f"/v1/artifacts/{'0' * 64}", "/v1/manifests/x",
                    f"/v1/artifacts/{body['manifest']}"):
        assert code(server.get(missing, DEVICE)) == (404, "http.404")


def test_a_download_is_resumed_piece_by_piece(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    path = f"/v1/artifacts/{server.publish(raw, artifact).json()['artifact']}"
    got = b""
    while len(got) < len(artifact):
        answer = server.get(path, DEVICE, range=f"bytes={len(got)}-{len(got) + 1023}")
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {len(got)}-{len(got) + len(answer.content) - 1}/{len(artifact)}"
        got += answer.content
    assert got == artifact


def test_ranges_that_no_longer_fit(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    path = f"/v1/artifacts/{server.publish(raw, artifact).json()['artifact']}"
    beyond = server.get(path, DEVICE, range=f"bytes={len(artifact)}-")
    assert code(beyond) == (416, "range")
    assert beyond.headers["content-range"] == f"bytes */{len(artifact)}"
    etag = server.get(path, DEVICE).headers["etag"]
    assert server.get(path, DEVICE, **{"range": "bytes=1-2", "if-range": '"other"'}).content == artifact
    assert server.get(path, DEVICE, **{"range": "bytes=1-2", "if-range": etag}).content == artifact[1:3]
    assert server.get(path, DEVICE, **{"if-none-match": etag}).status_code == 304


# Check-ins and directions. PretendDevice verifies every direction as the firmware does.

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
        devices = fleet(server, 10)
        for device in devices:
            device.check_in()
        server.pass_time(1)
        assert devices[0].check_in()["period_s"] == 20


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
        assert all("busy" in each["reason"] and each["period_s"] <= 3 for each in told[1:])
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
    server.context.desk._last_word[DEVICE] = (sighting_of(json.loads(request_of(DEVICE)), 0).report, 1)   # this process slept
    server.post(f"/admin/rollouts/{ident}/pause")
    device.release, device.counter, device.manifest, device.trial = *old, False
    device.reboot()
    device.check_in()
    assert server.status(ident)["state"] == "halted"


# Rollouts from end to end.

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


def test_two_rollouts_for_a_model_do_not_run_at_once(server: Plant, released: str) -> None:
    first = server.rollout(released)["rollout"]
    second = server.publish(*server.keys.release(3)).json()["manifest"]
    assert code(server.post("/admin/rollouts", {"manifest": second})) == (409, "rollout.overlap")
    assert len(server.get("/admin/rollouts").json()["rollouts"]) == 1
    server.post(f"/admin/rollouts/{first}/abort")
    assert server.rollout(second)["state"] == "running"


def test_policies_are_checked_before_anything_starts(server: Plant, released: str) -> None:
    for body in ({"stages": [5, 1]}, {"stagse": [100]}, {"soak_s": [1]}, {"lease_s": "soon"}, {"start": "yes"}):
        assert code(server.post("/admin/rollouts", {"manifest": released} | body)) == (422, "rollout.policy"), body
    assert code(server.post("/admin/rollouts", {"manifest": "0" * 64})) == (404, "http.404")
    assert code(server.post("/admin/rollouts", {})) == (422, "rollout.policy")
    made = server.rollout(released, stages=[50, 100], soak_s=1, start=False)
    assert (made["policy"]["stages"], made["policy"]["soak_s"]) == ([50, 100], [1, 1])


def test_a_policy_that_cannot_be_read_any_more_halts(server: Plant, released: str, tmp_path) -> None:
    ident = server.rollout(released)["rollout"]
    with sqlite3.connect(tmp_path / "ota.db") as database:
        (text,) = database.execute("SELECT policy FROM rollout").fetchone()
        policy = json.loads(text) | {"max_failure_pct": 900.0}
        database.execute("UPDATE rollout SET policy = ?", [json.dumps(policy)])
    database.close()
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


# Roots.

def rotated(server: Plant, **changes: object):
    roles = {name: ([bytes.fromhex(key) for key in body["keys"]], 1) for name, body in server.keys.root["roles"].items()}
    min_counter = changes.pop("min_counter", 0)
    return sign.next_root(2, roles | changes, [server.keys.root_key], min_counter)


def post_root(server: Plant, raw: bytes):
    return server.post("/admin/roots", {"root": base64.b64encode(raw).decode()})


def test_a_new_root_withdraws_releases_and_is_handed_on(server: Plant, released: str) -> None:
    ident = server.rollout(released)["rollout"]
    raw = rotated(server, min_counter=3)
    assert post_root(server, raw).status_code == 201
    assert server.get("/v1/roots/2", DEVICE).content == raw
    assert server.status(ident)["state"] == "aborted"
    assert code(server.publish(*server.keys.release(2))) == (422, "manifest.counter")
    assert code(server.post("/admin/rollouts", {"manifest": released})) == (404, "http.404")
    assert code(post_root(server, raw)) == (422, "root.version")


def test_a_root_that_would_silence_this_server_is_refused(server: Plant) -> None:
    answer = post_root(server, rotated(server, direction=([public65(server.keys.release_key)], 1)))
    assert code(answer) == (409, "root.direction")


def test_the_client_passes_codes_on(server: Plant) -> None:
    class Http:
        base_url = "http://ota"

        def request(self, method: str, path: str, json=None, params=None):
            return server.client.request(method, path, json=json, params=params, headers={"x-test-peer": "op.release"})

    client = OtaClient(Http())
    raw, artifact = server.keys.release(2)
    manifest = client.publish(raw, artifact)["manifest"]
    assert client.healthy()
    assert [each["manifest"] for each in client.releases()] == [manifest]
    ident = client.start_rollout(manifest, stages=[50, 100], soak_s=1)["rollout"]
    assert client.rollouts()[0]["rollout"] == ident
    assert client.command(ident, "pause", "lunch")["state"] == "paused"
    assert client.rollout(ident)["history"][-1]["reason"] == "lunch"
    for device in fleet(server, 5):
        device.check_in()
    server.pass_time(1)
    assert [each["device"] for each in client.devices(page=2)] == [f"hall-{index:012x}" for index in range(5)]
    assert client.explain("hall-000000000003")["model"] == "hall"
    assert client.forgive("hall-000000000003")["forgiven"] == 0
    assert client.versions()[0]["devices"] == 5
    with pytest.raises(OtaError, match=r"rollout\.state") as caught:
        client.command(ident, "start")
    assert (caught.value.status, caught.value.code) == (409, "rollout.state")
