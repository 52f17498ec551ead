"""The keys by hand: first root, rotation, revocation, thresholds in different hands; named after what they stop."""

import json
import stat
from pathlib import Path

import pytest

from node.wire import manifest, root, signed
from ota.release import keys, sign, verify
from ota.release.bundle import manifest_for
from ota.release.keys import public65
from ota.release.verify import ReleaseError
from tests.cli.test_release_desk import tenfold


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Desk:
    """Runs `tenfold keys`; gives exit code, or the JSON that it told."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capture = patch, capture
        self.said = self.complained = ""

    def run(self, *arguments: str) -> int:
        code = tenfold(self._patch, "keys", *arguments)
        self.said, self.complained = self._capture.readouterr()
        return code

    def told(self, *arguments: str) -> dict:
        assert self.run(*arguments, "--json") == 0, self.complained
        return json.loads(self.said)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(monkeypatch, capsys)


def chain(*numbers: int) -> dict:
    return verify.follow(Path("keys/root.bin" if number == 1 else f"keys/root-{number}.bin").read_bytes() for number in numbers)


def listed(found: dict, role: str) -> list[bytes]:
    return root.role(found, role)[0]


def point(path: str) -> bytes:
    return public65(keys.load(Path(path), keys.passphrase()))


def release(counter: int, *signers: str) -> bytes:
    payload = manifest.build("1.0.0", counter, ["hall"], (0, counter - 1), False, 6, ("0" * 64, 1))
    return sign.envelope(signed.MANIFEST, payload, [keys.load(Path(path)) for path in signers])


def test_the_first_root_of_a_threshold_is_made_and_signed_in_one_go(desk: Desk, folder: Path) -> None:
    told = desk.told("init", "keys", "--root-keys", "3", "--root-threshold", "2", "--release-keys", "2", "--release-threshold", "2")
    assert told["complete"]
    found = chain(1)
    assert {role: (len(body["keys"]), body["threshold"]) for role, body in found["roles"].items()} == {
        "root": (3, 2), "release": (2, 2), "direction": (1, 1)}
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.glob("keys/*.pem")] == [0o600] * 6
    assert manifest.load(release(2, "keys/release-1.pem", "keys/release-2.pem"), found)["counter"] == 2


def test_new_keys_are_encrypted_where_a_passphrase_is_given_and_told_of_where_not(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert desk.run("init", "plain") == 0
    assert "the keys are not encrypted; TENFOLD_KEY_PASSPHRASE_FILE names" in desk.complained
    (folder / "pass").write_text("correct horse\n")
    monkeypatch.setenv("TENFOLD_KEY_PASSPHRASE_FILE", str(folder / "pass"))
    assert desk.run("init", "keys") == 0
    assert desk.complained == ""
    assert all(b"ENCRYPTED" in path.read_bytes() for path in folder.glob("keys/*.pem"))
    assert desk.told("rotate", "keys", "release")["complete"]
    assert b"ENCRYPTED" in (folder / "keys/release-of-root-2.pem").read_bytes()


def test_a_refused_first_root_leaves_no_keys(desk: Desk, folder: Path) -> None:
    assert desk.run("init", "keys", "--root-threshold", "2") == 2
    assert "root.invalid" in desk.complained or "threshold" in desk.complained
    assert not list(folder.glob("keys/*"))


def test_a_release_is_signed_by_holders_who_never_meet(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    desk.told("init", "keys", "--release-keys", "2", "--release-threshold", "2")
    payload, artifact = manifest_for({"main.mpy": b"M"}, "1.1.0", 2, ["hall"], (1, 1))
    (folder / "out").mkdir()
    (folder / "out/manifest.json").write_bytes(payload)
    (folder / "out/artifact.bin").write_bytes(artifact)
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release-1.pem") == 0
    assert tenfold(monkeypatch, "release", "verify", "out", "--root", "keys/root.bin") == 2
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release-2.pem", "--add") == 0
    assert tenfold(monkeypatch, "release", "verify", "out", "--root", "keys/root.bin") == 0
    (folder / "out/manifest.json").write_bytes(manifest_for({"main.mpy": b"M"}, "1.1.0", 3, ["hall"], (1, 2))[0])
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release-2.pem", "--add") == 2
    assert "out/manifest.bin: signs another manifest than out/manifest.json" in capsys.readouterr().err


def test_a_rotated_release_key_signs_no_more(desk: Desk) -> None:
    desk.told("init", "keys")
    told = desk.told("rotate", "keys", "release")
    assert (told["version"], told["complete"]) == (2, True)
    assert "sign with the new key the releases that devices still need" in told["next"]
    found = chain(1, 2)
    assert listed(found, "release") == [point("keys/release-of-root-2.pem")]
    with pytest.raises(Exception, match="0 valid signatures"):
        manifest.load(release(2, "keys/release.pem"), found)
    assert manifest.load(release(2, "keys/release-of-root-2.pem"), found)["counter"] == 2


def test_a_rotated_root_key_signs_with_the_one_before(desk: Desk) -> None:
    desk.told("init", "keys")
    assert desk.told("rotate", "keys", "root")["signatures"] == [
        {"version": 1, "have": 1, "need": 1, "missing": []}, {"version": 2, "have": 1, "need": 1, "missing": []}]
    assert listed(chain(1, 2), "root") == [point("keys/root-of-root-2.pem")]
    desk.told("rotate", "keys", "release")   # signed by the new root key, which lies in the folder
    assert chain(1, 2, 3)["version"] == 3


def test_a_direction_key_is_changed_in_two_steps_so_that_no_server_falls_silent(desk: Desk) -> None:
    desk.told("init", "keys")
    told = desk.told("rotate", "keys", "direction")
    old, new = point("keys/direction.pem"), point("keys/direction-of-root-2.pem")
    assert listed(chain(1, 2), "direction") == [old, new]
    assert desk.run(*told["next"].rpartition("tenfold keys ")[2].split()) == 0   # the step that was told
    assert listed(chain(1, 2, 3), "direction") == [new]
    assert desk.run("revoke", "keys", "direction-of-root-2.pem") == 2
    assert "keys rotate" in desk.complained


def test_release_key_compromise_is_answered_by_a_root_without_it_and_a_floor(desk: Desk) -> None:
    desk.told("init", "keys", "--release-keys", "2")
    told = desk.told("revoke", "keys", "release-1.pem", "--min-counter", "12")
    assert told["min_counter"] == 12
    found = chain(1, 2)
    assert listed(found, "release") == [point("keys/release-2.pem")]
    with pytest.raises(Exception, match="0 valid signatures"):
        manifest.load(release(13, "keys/release-1.pem"), found)   # the thief's
    with pytest.raises(Exception, match="floor is 12"):
        manifest.load(release(11, "keys/release-2.pem"), found)
    assert manifest.load(release(12, "keys/release-2.pem"), found)["counter"] == 12


def test_the_only_release_key_is_revoked_for_a_new_one(desk: Desk) -> None:
    desk.told("init", "keys")
    desk.told("revoke", "keys", "release.pem")
    assert listed(chain(1, 2), "release") == [point("keys/release-of-root-2.pem")]


def test_a_floor_never_sinks(desk: Desk) -> None:
    desk.told("init", "keys")
    desk.told("revoke", "keys", "release.pem", "--min-counter", "12")
    assert desk.told("revoke", "keys", "release-of-root-2.pem", "--min-counter", "3")["min_counter"] == 12


def test_thresholds_are_met_by_holders_who_never_meet(desk: Desk, folder: Path) -> None:
    for name in ("anna", "ben", "carl"):
        assert desk.run("make", f"{name}.pem") == 0
    told = desk.told("init", "keys", "--root-key", "anna.pem", "--root-key", "ben.pub", "--root-key", "carl.pub",
                     "--root-threshold", "2")
    assert not told["complete"]
    assert told["next"].startswith("tenfold keys sign keys/root.bin --key … by holders of ")
    with pytest.raises(ReleaseError, match="valid signatures"):
        chain(1)
    assert desk.run("rotate", "keys", "release") == 2   # nothing is built on a root that is not in force
    assert "not signed by all who must" in desk.complained
    (folder / "at-bens").mkdir()
    (folder / "at-bens/root.bin").write_bytes((folder / "keys/root.bin").read_bytes())
    assert desk.told("sign", "at-bens/root.bin", "--key", "ben.pem")["complete"]
    (folder / "keys/root.bin").write_bytes((folder / "at-bens/root.bin").read_bytes())
    assert chain(1)["version"] == 1
    shown = desk.told("show", "keys")
    assert [each["complete"] for each in shown] == [True]


def test_root_rotation_with_only_one_of_the_two_thresholds_is_not_in_force(desk: Desk) -> None:
    desk.told("init", "keys")
    assert desk.run("make", "ben.pem") == 0
    told = desk.told("rotate", "keys", "root", "--new", "ben.pub")   # signed by the old key alone
    assert [(each["version"], each["have"]) for each in told["signatures"]] == [(1, 1), (2, 0)]
    with pytest.raises(ReleaseError, match="0 valid signatures"):
        chain(1, 2)
    assert desk.run("publish", "keys/root-2.bin", "--server", "https://localhost:9", "--ca", "a", "--cert", "b", "--key", "c") == 2
    assert "0 valid signatures" in desk.complained   # refused here: no server is asked
    assert desk.told("sign", "keys/root-2.bin", "--key", "ben.pem")["complete"]
    assert chain(1, 2)["version"] == 2


def test_a_root_that_skips_a_version_is_refused(desk: Desk, folder: Path) -> None:
    desk.told("init", "keys")
    desk.told("rotate", "keys", "release")
    desk.told("rotate", "keys", "release")
    (folder / "keys/root-2.bin").unlink()
    with pytest.raises(ReleaseError, match="expected 2"):
        chain(1, 3)
    assert desk.run("sign", "keys/root-3.bin", "--key", "keys/root.pem") == 2
    assert "keys/root-2.bin: no such file; expected all roots before" in desk.complained


def test_a_strangers_signature_is_not_added(desk: Desk) -> None:
    desk.told("init", "keys")
    assert desk.run("sign", "keys/root.bin", "--key", "keys/release.pem") == 2
    assert "not a root key of this root" in desk.complained


def test_a_machine_without_a_root_key_makes_nothing(desk: Desk, folder: Path) -> None:
    desk.told("init", "keys")
    (folder / "keys/root.pem").rename(folder / "safe.pem")
    before = sorted(path.name for path in folder.glob("keys/*"))
    assert desk.run("rotate", "keys", "release") == 2
    assert "none of the keys here may sign root 2; expected one of " in desk.complained
    assert sorted(path.name for path in folder.glob("keys/*")) == before
    assert desk.told("rotate", "keys", "release", "--key", "safe.pem")["complete"]


def test_a_private_key_is_never_written_over(desk: Desk, folder: Path) -> None:
    assert desk.run("make", "anna.pub") == 2
    assert b"PRIVATE" in (folder / "anna.pub").read_bytes()


def test_one_key_has_one_role(desk: Desk) -> None:
    desk.told("init", "keys")
    assert desk.run("rotate", "keys", "release", "--new", "keys/direction.pem") == 2
    assert "lists this key already" in desk.complained


def test_a_key_is_named_by_its_file_or_by_what_show_prints(desk: Desk) -> None:
    desk.told("init", "keys", "--release-keys", "3")
    (shown,) = desk.told("show", "keys")
    names = shown["roles"]["release"]["keys"]
    desk.told("revoke", "keys", names[1][:6])
    assert desk.told("show", "keys")[1]["roles"]["release"]["keys"] == [names[0], names[2]]
    assert desk.run("revoke", "keys", "ffff") == 2
    assert "no key of root 2, which lists" in desk.complained
    assert desk.run("rotate", "keys", "release") == 2
    assert "--old" in desk.complained
