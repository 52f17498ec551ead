"""Back means forward: from a bad release to older content by a newer one, by hand at the desk, against the real server."""

import json
from pathlib import Path

import pytest

from host.cli.root import main
from node.wire import direction, manifest, signed
from ota.release.sign import envelope
from ota.release.verify import manifest_name
from tests.ota.support import (
    DEVICE,
    IMAGE,
    PEER,
    Keys,
    Plant,
    PretendDevice,
    as_device,
    check_in,
    code,
    install_and_confirm,
    operator,
    until,
)


def tenfold(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process; give its exit code."""
    monkeypatch.setattr("sys.argv", ["tenfold", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def folder_of(path: Path, raw: bytes, artifact: bytes, image: bytes | None = None) -> Path:
    """A release's folder as `tenfold release build` leaves it."""
    path.mkdir()
    (path / "manifest.json").write_bytes(signed.split(raw, signed.MANIFEST)[1])
    (path / "artifact.bin").write_bytes(artifact)
    if image is not None:
        (path / "image.bin").write_bytes(image)
    return path


@pytest.fixture
def at_desk(port, certificates, monkeypatch: pytest.MonkeyPatch):
    """The command with an operator's certificate."""
    for name, value in (("SERVER", f"https://localhost:{port}"), ("CA", certificates.ca_file),
                        ("CERT", certificates.cert("op.release")), ("KEY", certificates.key("op.release"))):
        monkeypatch.setenv(f"TENFOLD_{name}", str(value))
    return lambda *arguments: tenfold(monkeypatch, *arguments)


class Field:
    """The one device in the field, over mutual TLS."""

    def __init__(self, http, keys: Keys) -> None:
        self.http, self.keys, self.nonces, self.seq = http, keys, 0, 0
        self.runs: dict[str, object] = {"release": "1.1.0", "counter": 1, "manifest": "", "boot": 1}

    def directed(self, **changes: object) -> str | None:
        self.nonces += 1
        nonce = f"{self.nonces:032x}"
        told = check_in(self.http, nonce, **(self.runs | {"seq": self.seq, "metrics": {"uptime_s": self.nonces}} | changes))
        if told["direction"] is None:
            return None
        found = direction.load(told["direction"], self.keys.root, PEER, nonce, self.seq, told["now_s"])
        self.seq = found["seq"]
        return found["manifest"]

    def install(self, name: str) -> dict[str, object]:
        """Fetch and verify what it is directed to, refuse what is older, boot into it, confirm it."""
        body = manifest.load(self.http.get(f"/v1/manifests/{name}").content, self.keys.root)
        assert body["counter"] > self.runs["counter"]
        self.runs = {"release": body["release"], "counter": body["counter"], "manifest": name, "boot": self.nonces}
        self.directed(trial=True)
        self.directed()
        return body


def test_a_bad_release_is_rolled_back_by_hand(
    at_desk, port, certificates, signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    good, artifact = signing.release(2)
    bad, broken = signing.release(3)
    old = folder_of(tmp_path / "1.2.0", good, artifact)
    with operator(port, certificates) as desk, as_device(port, certificates) as http:
        field = Field(http, signing)
        desk.publish(good, artifact)
        bad_name = desk.publish(bad, broken)["manifest"]
        field.directed()
        until(lambda: len(list(desk.devices())), 1)
        ident = desk.start_rollout(bad_name)["rollout"]
        assert field.directed() == bad_name
        field.install(bad_name)
        until(lambda: desk.rollout(ident)["state"] == "done" or field.directed(), True)
        assert at_desk("release", "again", str(old), str(tmp_path / "1.3.1"), "--release", "1.3.1", "--counter", "4") == 0
        assert at_desk("release", "sign", str(tmp_path / "1.3.1"), "--key", str(signing.folder / "release.key")) == 0
        assert at_desk("release", "publish", str(tmp_path / "1.3.1")) == 0
        again = manifest_name((tmp_path / "1.3.1" / "manifest.bin").read_bytes())
        capsys.readouterr()
        assert at_desk("rollout", "rollback", ident, again, "--stage", "100", "--soak-s", "0", "--reason", "resets at night") == 0
        made = json.loads(capsys.readouterr().out)
        assert (made["policy"]["filter"]["versions"], made["policy"]["stages"], made["state"]) == ([3, 3], [100], "running")
        shown = desk.rollout(ident)
        assert (shown["state"], shown["reason"]) == ("aborted", "resets at night")
        assert field.directed() == again
        body = field.install(again)
        assert body["artifact"]["sha256"] == signed_artifact(good)
        until(lambda: desk.rollout(made["rollout"])["state"] == "done" or field.directed(), True)
        assert [each["event"] for each in desk.history(PEER)][:3] == ["confirmed", "trial", "runs"]


def signed_artifact(raw: bytes) -> str:
    return manifest.parse(signed.split(raw, signed.MANIFEST)[1])["artifact"]["sha256"]


def again(server: Plant, content: tuple[bytes, bytes], counter: int, **more) -> str:
    """Publish a release with the parts of another one, of (envelope, artifact)."""
    body = manifest.parse(signed.split(content[0], signed.MANIFEST)[1])
    payload = manifest.build(f"1.{counter}.0", counter, body["models"], more.pop("over", (0, counter - 1)), False, body["mpy"],
                             (body["artifact"]["sha256"], body["artifact"]["size"]))
    answer = server.publish(envelope(signed.MANIFEST, payload, [server.keys.release_key]), content[1], **more)
    assert answer.status_code == 201, answer.text
    return answer.json()["manifest"]


def test_what_is_no_way_back_is_refused_and_changes_nothing(server: Plant) -> None:
    good, bad = server.keys.release(2), server.keys.release(3)
    older = server.publish(*good).json()["manifest"]
    ident = server.rollout(server.publish(*bad).json()["manifest"])["rollout"]
    fresh = server.publish(*server.keys.release(4)).json()["manifest"]
    not_over = again(server, good, 5, over=(0, 2), allow_stranded=True)
    path = f"/admin/rollouts/{ident}/rollback"
    for body in ({"manifest": older}, {"manifest": fresh}, {"manifest": not_over}):
        assert code(server.post(path, body)) == (409, "rollout.rollback"), body
    assert code(server.post(path, {"manifest": "0" * 64})) == (404, "http.404")
    assert code(server.post(path, {})) == (422, "rollout.policy")
    assert code(server.post(path, {"manifest": fresh, "reason": "x" * 201})) == (422, "rollout.policy")
    assert code(server.post("/admin/rollouts/r0/rollback", {"manifest": older})) == (404, "http.404")
    answer = server.client.post(path, json={"manifest": older}, headers={"x-test-peer": "op.console"})
    assert code(answer) == (403, "operator.read_only")
    assert server.status(ident)["state"] == "running"
    assert len(server.get("/admin/rollouts").json()["rollouts"]) == 1


def test_an_image_is_not_left_behind_by_a_rollback(server: Plant) -> None:
    good = server.keys.release(2)
    server.publish(*good)
    bad = server.publish(*server.keys.release(3, image=IMAGE), IMAGE).json()["manifest"]
    ident = server.rollout(bad)["rollout"]
    answer = server.post(f"/admin/rollouts/{ident}/rollback", {"manifest": again(server, good, 4)})
    assert code(answer) == (409, "rollout.rollback")
    assert "without an image" in answer.json()["message"]


def test_a_rollback_ends_every_rollout_of_the_bad_release_and_moves_only_what_runs_it(server: Plant) -> None:
    good = server.keys.release(2)
    server.publish(*good)
    bad = server.publish(*server.keys.release(3)).json()["manifest"]
    hit, spared = PretendDevice(server, DEVICE), PretendDevice(server, "hall-00000000ffff")
    for each in (hit, spared):
        each.check_in()
    server.pass_time(1)
    server.post("/admin/labels", {"devices": [DEVICE], "site": "nord"})
    first = server.rollout(bad, filter={"sites": ["nord"]}, stages=[100], soak_s=0)["rollout"]
    second = server.rollout(bad, filter={"sites": ["sued"]}, start=False)["rollout"]
    for _ in range(4):
        install_and_confirm(server, [hit, spared])
    assert hit.counter == 3
    made = server.post(f"/admin/rollouts/{first}/rollback", {"manifest": again(server, good, 4)}).json()
    assert (made["stages"][0]["pct"], made["policy"]["soak_s"], made["population"]) == (10, [6, 6], 1)
    assert [server.status(each)["state"] for each in (first, second)] == ["aborted", "aborted"]
    for _ in range(10):
        install_and_confirm(server, [hit, spared])
    assert (hit.counter, spared.counter) == (4, 1)
    assert server.status(made["rollout"])["state"] == "done"


def test_content_comes_again_only_under_a_higher_counter(signing: Keys, tmp_path: Path, monkeypatch, capsys) -> None:
    old = folder_of(tmp_path / "old", *signing.release(2, image=IMAGE), IMAGE)
    again = ("release", "again", str(old), str(tmp_path / "new"), "--release", "1.9.0", "--counter")
    assert tenfold(monkeypatch, *again, "2") == 2
    assert not (tmp_path / "new").exists()
    assert tenfold(monkeypatch, *again, "9") == 0
    made = manifest.parse((tmp_path / "new" / "manifest.json").read_bytes())
    before = manifest.parse((old / "manifest.json").read_bytes())
    assert (made["counter"], made["from"], made["artifact"], made["image"]) == (9, [1, 8], before["artifact"], before["image"])
    assert (tmp_path / "new" / "image.bin").read_bytes() == IMAGE
    (old / "artifact.bin").write_bytes(b"another")
    assert tenfold(monkeypatch, *again[:3], str(tmp_path / "third"), *again[4:], "10") == 2
    assert not (tmp_path / "third").exists()


def test_devices_are_labelled_targeted_and_explained_by_hand(
    at_desk, port, certificates, signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    with operator(port, certificates) as desk, as_device(port, certificates) as http:
        field = Field(http, signing)
        name = desk.publish(*signing.release(2))["manifest"]
        field.directed()
        until(lambda: len(list(desk.devices())), 1)
        (tmp_path / "pilots.txt").write_text(f"{PEER}\n")
        assert at_desk("devices", "tag", "pilot", "--file", str(tmp_path / "pilots.txt")) == 0
        assert at_desk("devices", "site", "nord", PEER, "--zone", "Europe/Oslo") == 0
        assert at_desk("devices", "labels") == 0
        assert "Europe/Oslo" in capsys.readouterr().out
        assert at_desk("rollout", "start", name, "--tag", "pilot", "--site", "nord", "--to-version", "1", "--soak-s", "0",
                       "--stage", "100", "--not-after", "2200-01-01T00:00Z", "--window", "mon-sun 00:00-24:00") == 0
        policy = json.loads(capsys.readouterr().out)["policy"]
        assert policy["filter"] == {"models": [], "sites": ["nord"], "tags": {"any": ["pilot"], "none": []}, "versions": [0, 1]}
        assert (policy["soak_s"], policy["stages"], policy["windows"]) == ([0], [100], ["mon-sun 00:00-24:00"])
        assert at_desk("devices", "explain", PEER) == 0
        told = capsys.readouterr().out
        for words in ("site nord (Europe/Oslo), tags pilot", "is told: offer, offered", "in stage 1 (100 %)",
                      "path: 1.2.0 (counter 2, 3,099 bytes)"):
            assert words in told, told
        assert at_desk("devices", "explain", PEER, "--json") == 0
        assert json.loads(capsys.readouterr().out)["rollouts"][0]["code"] == "offered"
        assert at_desk("devices", "untag", "pilot", "--model", "hall") == 0
        assert field.directed() is None
        assert at_desk("devices", "explain", PEER) == 0
        assert "tags: has none, expected pilot" in capsys.readouterr().out
        assert at_desk("devices", "history", PEER, "--json") == 0
        assert [each["event"] for each in json.loads(capsys.readouterr().out)] == ["labelled", "labelled", "labelled", "seen"]
        assert at_desk("devices", "history", PEER, "--limit", "1") == 0
        assert "-pilot" in capsys.readouterr().out
        assert at_desk("devices", "list") == 0
        assert at_desk("rollout", "start", name, "--start-at", "2027-06-05T22:00") == 2
        assert "--start-at" in capsys.readouterr().err
