"""Retiring a release: it stops everywhere at once, its objects stay, and nobody is stranded without being counted."""

import base64

from node.wire import signed
from ota.release import keys, sign
from ota.release.keys import public65
from tests.ota.support import DEVICE, Plant, PretendDevice, code, fleet


def retire(server: Plant, manifest: str, reason: str = "wears out the flash", **more):
    return server.post(f"/admin/releases/{manifest}/retire", {"reason": reason} | more)


def published(server: Plant, *arguments, **more) -> str:
    answer = server.publish(*server.keys.release(*arguments, **more))
    assert answer.status_code == 201, answer.text
    return answer.json()["manifest"]


def seen(server: Plant, *counters: int) -> list[PretendDevice]:
    devices = fleet(server, len(counters))
    for device, counter in zip(devices, counters, strict=True):
        device.counter = counter
        device.check_in()
    server.pass_time(1)
    return devices


def test_a_retired_release_is_offered_to_nobody_and_its_objects_stay(server: Plant) -> None:
    published(server, 2)
    manifest = published(server, 3)
    (device,) = seen(server, 1)
    rollout = server.rollout(manifest, stages=[100], soak_s=[0])["rollout"]
    device.check_in()
    assert device.directed == manifest
    shown = retire(server, manifest).json()
    assert shown["retired_s"] == server.clock()
    assert shown["aborted"] == [rollout]
    assert server.status(rollout)["state"] == "aborted"
    assert "retired by op.release: wears out the flash" in server.status(rollout)["reason"]
    assert device.check_in()["direction"] is None
    assert code(server.post("/admin/rollouts", {"manifest": manifest})) == (404, "http.404")
    assert server.get(f"/v1/manifests/{manifest}", DEVICE).status_code == 200   # one that is on its way may still fetch it
    assert server.get(f"/v1/artifacts/{shown['artifact']}", DEVICE).status_code == 200


def test_a_finished_rollout_of_a_retired_release_stops_offering_it_too(server: Plant) -> None:
    published(server, 2)
    manifest = published(server, 3)
    ident = server.rollout(manifest, stages=[100], soak_s=[0], min_reports=1)["rollout"]
    (device,) = seen(server, 1)
    for _ in range(4):
        device.live(1)
        device.check_in()
        if device.directed:
            device.install()
        else:
            device.trial = False
        server.pass_time(1)
    assert server.status(ident)["state"] == "done"
    assert retire(server, manifest).json()["aborted"] == [ident]
    late = PretendDevice(server, "hall-00000000ffff")
    assert late.check_in()["direction"] is None


def test_a_retire_that_breaks_a_path_is_refused_with_the_devices_counted(server: Plant) -> None:
    seen(server, 1, 1, 3)
    stone = published(server, 3, stone=True)
    published(server, 4, low=3)
    answer = retire(server, stone)
    assert code(answer) == (409, "release.stranded")
    assert answer.json()["message"] == (
        "release 1.3.0 is on the only path of versions seen in the last two years, 2 devices: hall at counter 1 (2 devices); "
        "publish another stepping stone first")
    assert server.get(f"/admin/releases/{stone}").json()["retired_s"] is None
    published(server, 2, stone=True, high=1)
    assert code(retire(server, stone)) == (409, "release.stranded")   # 2 is no version that 4 may be installed from
    published(server, 5, low=2)
    assert retire(server, stone).status_code == 200


def test_a_version_that_nobody_runs_any_more_still_counts_for_two_years(server: Plant) -> None:
    (device,) = seen(server, 1)
    stone = published(server, 3, stone=True)
    published(server, 4, low=3)
    device.counter = 4
    device.check_in()
    server.pass_time(1)
    assert "hall at counter 1 (0 devices)" in retire(server, stone).json()["message"]
    server.clock.now_s += 2 * 365 * 86_400 + 2
    assert retire(server, stone).status_code == 200


def test_stranding_on_purpose_is_kept_with_who_and_why(server: Plant) -> None:
    seen(server, 1)
    stone = published(server, 3, stone=True)
    published(server, 4, low=3)
    shown = retire(server, stone, "bricks old boards", allow_stranded=True).json()
    left = [{"model": "hall", "counter": 1, "devices": 1}]
    assert shown["stranded"] == left
    assert shown["history"][-1] == {
        "at_s": server.clock(), "event": "retire", "by": "op.release", "reason": "bricks old boards", "stranded": left}
    found = server.get("/admin/archive/audit").json()["versions"]
    assert [(each["counter"], each["path"]) for each in found] == [(1, None)]


def test_a_retired_stone_is_walked_over_no_more(server: Plant) -> None:
    device, = seen(server, 1)
    stone, other = published(server, 3, stone=True), published(server, 2, stone=True)
    manifest = published(server, 4, low=2)
    server.rollout(manifest, stages=[100], soak_s=[0])
    device.check_in()
    assert device.directed == stone
    assert retire(server, stone).json()["aborted"] == []
    server.pass_time(1)
    device.check_in()
    assert device.directed == other


def test_retiring_needs_a_reason_a_writer_and_a_release(server: Plant, released: str) -> None:
    assert code(server.post(f"/admin/releases/{released}/retire", {})) == (422, "request.reason")
    assert code(server.post(f"/admin/releases/{released}/retire", {"reason": "x"}, "op.console")) == (403, "operator.read_only")
    assert code(retire(server, "0" * 64)) == (404, "http.404")
    assert retire(server, released).status_code == 200
    again = retire(server, released, "once more").json()
    assert [each["event"] for each in again["history"]] == ["publish", "retire"]


def test_what_is_retired_comes_back_only_by_being_signed_anew(server: Plant, released: str) -> None:
    raw, artifact = server.keys.release(3)
    first = server.publish(raw, artifact).json()["manifest"]
    assert retire(server, first).status_code == 200
    assert code(server.publish(raw, artifact)) == (409, "release.retired")
    assert code(server.publish(*server.keys.release(3, low=1))) == (409, "release.counter")   # other content
    again = sign.envelope(signed.MANIFEST, signed.split(raw, signed.MANIFEST)[1], [server.keys.release_key])
    assert server.publish(again, artifact).json()["manifest"] != first


# Roots that withdraw.

def rotated(server: Plant, key: keys.PrivateKey, min_counter: int = 0):
    roles = {name: ([bytes.fromhex(each) for each in body["keys"]], 1) for name, body in server.keys.root["roles"].items()}
    raw = sign.next_root(2, roles | {"release": ([public65(key)], 1)}, [server.keys.root_key], min_counter)
    return server.post("/admin/roots", {"root": base64.b64encode(raw).decode()})


def test_releases_of_a_revoked_key_are_withdrawn_and_counted(server: Plant, tmp_path) -> None:
    seen(server, 1)
    stone, manifest = published(server, 3, stone=True), published(server, 4, low=3)
    ident = server.rollout(manifest)["rollout"]
    key = keys.generate(tmp_path / "new.pem")
    answer = rotated(server, key, min_counter=2).json()
    assert (answer["version"], answer["withdrawn"]) == (2, ["1.3.0", "1.4.0"])
    assert answer["stranded"] == [{"model": "hall", "counter": 1, "devices": 1}]
    assert server.status(ident)["state"] == "aborted"
    shown = server.get(f"/admin/releases/{stone}").json()
    assert (shown["history"][-1]["event"], shown["history"][-1]["by"]) == ("withdraw", "op.release")
    assert shown["history"][-1]["reason"].startswith("root 2: 0 valid signatures")
    assert [each["path"] for each in server.get("/admin/archive/audit").json()["versions"]] == [None]
    for counter, low in ((3, 0), (4, 3)):   # signed anew, the way is open again
        raw, artifact = server.keys.release(counter, low=low, stone=counter == 3)
        payload = signed.split(raw, signed.MANIFEST)[1]
        assert server.publish(sign.envelope(signed.MANIFEST, payload, [key]), artifact).status_code == 201
    (version,) = server.get("/admin/archive/audit").json()["versions"]
    assert [step["counter"] for step in version["path"]] == [3, 4]


def test_a_damaged_manifest_does_not_keep_a_root_from_coming_into_force(server: Plant, released: str, tmp_path) -> None:
    (tmp_path / "archive" / released[:2] / released[2:]).unlink()
    answer = rotated(server, keys.generate(tmp_path / "new.pem"))
    assert answer.status_code == 201
    assert answer.json()["withdrawn"] == ["1.2.0"]


def test_a_root_with_the_same_release_keys_withdraws_nothing(server: Plant, released: str) -> None:
    answer = rotated(server, server.keys.release_key).json()
    assert (answer["withdrawn"], answer["stranded"]) == ([], [])
    assert [each["version"] for each in server.get("/admin/roots").json()["roots"]] == [1, 2]


# The audit.

def test_the_audit_shows_the_path_of_every_version(server: Plant) -> None:
    seen(server, 1, 3, 4)
    published(server, 3, stone=True)
    published(server, 4, low=3)
    found = server.get("/admin/archive/audit").json()
    assert found["faults"] == []
    shown = {each["counter"]: each for each in found["versions"]}
    assert {counter: (each["hops"], each["devices"], each["target"]) for counter, each in shown.items()} == {
        1: (2, 1, "1.4.0"), 3: (1, 1, "1.4.0"), 4: (0, 1, "1.4.0")}
    assert shown[1]["bytes"] == sum(each["size_bytes"] for each in server.get("/admin/releases").json()["releases"])


def test_a_release_whose_parts_are_lost_is_no_path(server: Plant, tmp_path) -> None:
    seen(server, 1)
    published(server, 2)
    (release,) = server.get("/admin/releases").json()["releases"]
    (tmp_path / "archive" / release["artifact"][:2] / release["artifact"][2:]).unlink()
    found = server.get("/admin/archive/audit").json()
    assert found["faults"][0]["fault"].startswith(f"artifact {release['artifact']}: got none, expected ")
    assert found["versions"][0]["target"] is None
