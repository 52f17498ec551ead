"""The release desk by hand: keys, build, sign, verify; and what a wrong step says."""

import json
import os
import shutil
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from host.cli.root import main
from node.wire.manifest import MAX_ARTIFACT_BYTES
from provisioning.line.fetch import fetch_umqtt
from tests.provisioning.esp_images import ESP32, ESP32C3, application, merged

REPOSITORY = Path(__file__).parents[2]
CODE = bytes(range(256)) * 4200   # more than the 1 MiB that an image has at least
APPLICATION = application(ESP32, code=CODE)
BUILD = ("release", "build", "out", "--release", "1.1.0", "--counter", "2", "--model", "hall")


def tenfold(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process; give its exit code."""
    monkeypatch.setattr("sys.argv", ["tenfold", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fetch_umqtt(REPOSITORY / "build")
    (tmp_path / "build").symlink_to(REPOSITORY / "build")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_release_signed_offline_verifies_and_an_altered_one_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    assert tenfold(monkeypatch, "keys", "init", "keys") == 0
    assert tenfold(monkeypatch, "release", "build", "out", "--release", "1.1.0", "--counter", "2", "--model", "hall") == 0
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release.pem") == 0
    assert tenfold(monkeypatch, "release", "verify", "out", "--root", "keys/root.bin") == 0
    assert "good: 1.1.0, counter 2" in capsys.readouterr().out
    artifact = folder / "out" / "artifact.bin"
    artifact.write_bytes(b"\x00" + artifact.read_bytes()[1:])
    assert tenfold(monkeypatch, "release", "verify", "out", "--root", "keys/root.bin") == 2


def test_the_same_tree_gives_the_same_release_wherever_whenever_and_in_whatever_order(folder: Path) -> None:
    (folder / "new.bin").write_bytes(APPLICATION)
    shutil.copytree(REPOSITORY / "firmware", folder / "first", ignore=shutil.ignore_patterns("__pycache__"))
    for number, path in enumerate(sorted((folder / "first").rglob("*"), reverse=True)):   # written in another order, at other times
        copy = folder / "far" / "second" / path.relative_to(folder / "first")
        (copy if path.is_dir() else copy.parent).mkdir(parents=True, exist_ok=True)
        if path.is_file():
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o600)
            os.utime(copy, (10**9 + number, 10**9 - number))
    program = "import sys; from host.cli import main; sys.argv[0] = 'tenfold'; main()"
    for out, firmware, seed in (("a", "first", "1"), ("b", "far/second", "2")):
        options = ["--release", "1.1.0", "--counter", "2", "--model", "hall", "--image", "new.bin", "--firmware", firmware]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed, "TZ": f"UTC+{seed}"}
        subprocess.run([sys.executable, "-c", program, "release", "build", out, *options], check=True, timeout=120, env=env)
    built = [{path.name: path.read_bytes() for path in (folder / out).iterdir()} for out in ("a", "b")]
    assert sorted(built[0]) == ["artifact.bin", "image.bin", "manifest.json"]
    assert built[0] == built[1]


def test_release_with_deltas_is_built_signed_and_verified_against_the_older_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "esp.bin").write_bytes(APPLICATION)
    tenfold(monkeypatch, "keys", "init", "keys")
    tenfold(monkeypatch, "release", "build", "old", "--release", "1.0.0", "--counter", "1", "--model", "hall", "--image", "esp.bin")
    assert tenfold(monkeypatch, *BUILD, "--image", "esp.bin", "--delta-from", "old") == 0
    shown = capsys.readouterr().out
    assert ("artifact" in shown, "image" in shown, shown.count("%")) == (True, True, 2)
    assert len(list((folder / "out" / "deltas").glob("*.bin"))) == 2
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release.pem") == 0
    check = ("release", "verify", "out", "--root", "keys/root.bin")
    assert tenfold(monkeypatch, *check, "--delta-from", "old") == 0
    assert "2 deltas applied" in capsys.readouterr().out
    assert tenfold(monkeypatch, *check) == 2
    assert "not at hand" in capsys.readouterr().err
    next((folder / "out" / "deltas").glob("*.bin")).unlink()
    assert tenfold(monkeypatch, *check, "--delta-from", "old") == 2
    assert "is missing" in capsys.readouterr().err
    assert tenfold(monkeypatch, *BUILD) == 0
    assert not list((folder / "out" / "deltas").glob("*.bin"))


def test_release_signed_by_the_wrong_key_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    tenfold(monkeypatch, "keys", "init", "keys")
    tenfold(monkeypatch, "release", "build", "out", "--release", "1.1.0", "--counter", "2", "--model", "hall")
    tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/direction.pem")
    assert tenfold(monkeypatch, "release", "verify", "out", "--root", "keys/root.bin") == 2
    assert "signature" in capsys.readouterr().err


def test_keys_are_private_and_never_overwritten(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    tenfold(monkeypatch, "keys", "init", "keys")
    assert all(stat.S_IMODE(os.stat(path).st_mode) == 0o600 for path in (folder / "keys").glob("*.pem"))
    assert tenfold(monkeypatch, "keys", "init", "keys") == 2
    assert "keys/root.pem" in capsys.readouterr().err


@pytest.mark.parametrize(("raw", "kept"), [
    (APPLICATION, APPLICATION), (merged(app=APPLICATION), APPLICATION), (merged(app=APPLICATION) + b"\xff" * 5000, APPLICATION),
    (APPLICATION + b"signature block", APPLICATION + b"signature block"),
], ids=["alone", "in a stock image", "in a padded stock image", "alone, signed for secure boot"])
def test_image_of_a_release_is_the_application_and_named_in_the_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raw: bytes, kept: bytes,
) -> None:
    (folder / "new.bin").write_bytes(raw)
    assert tenfold(monkeypatch, "keys", "init", "keys") == 0
    assert tenfold(monkeypatch, *BUILD, "--image", "new.bin") == 0
    assert "out/image.bin: esp32, micropython, v1.26.0, ESP-IDF v5.4.2; for 4 MiB of flash or more; " in capsys.readouterr().out
    assert (folder / "out" / "image.bin").read_bytes() == kept
    named = json.loads((folder / "out" / "manifest.json").read_bytes())["image"]
    assert named == {"sha256": sha256(kept).hexdigest(), "size": len(kept)}
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release.pem") == 0
    assert tenfold(monkeypatch, "release", "verify", "out", "--root", "keys/root.bin") == 0
    assert "good: 1.1.0, counter 2, models hall, bundle and image" in capsys.readouterr().out


def test_image_too_large_for_small_chips_says_for_which_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "new.bin").write_bytes(application(ESP32C3, code=bytes(0x1C0000)))
    assert tenfold(monkeypatch, *BUILD, "--image", "new.bin") == 0
    assert "out/image.bin: esp32c3, micropython, v1.26.0, ESP-IDF v5.4.2; for 8 MiB of flash or more; " in capsys.readouterr().out


@pytest.mark.parametrize(("raw", "words"), [
    (None, "new.bin: no such file"),
    (b"", "new.bin: empty"),
    (b"UF2\n" + bytes(2000), "new.bin: got a UF2 file"),
    (APPLICATION[:-40_000], "new.bin: cut off or damaged"),
    (APPLICATION[:90_000] + b"x" + APPLICATION[90_001:], "new.bin: damaged: got checksum"),
    (merged(app=APPLICATION[:-40_000]), "new.bin: application at 0x10000: cut off or damaged"),
    (application(ESP32), "new.bin: got an application of 16720 bytes, expected 1048576 to 4194304"),
    (application(ESP32, code=bytes(MAX_ARTIFACT_BYTES)), "expected 1048576 to 4194304"),
    (application(ESP32, code=bytes(0x300000)), "expected at most 3145728: the OTA partitions of "),
    (application((12, 0, 0x3C000020), code=CODE), "new.bin: got an image for esp32c2, expected one for esp32, "),
], ids=["missing", "empty", "uf2", "cut off", "flipped", "cut off in stock", "small", "large", "no room", "other chip"])
def test_what_is_no_image_for_a_board_of_ours_is_told_before_anything_is_built(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raw: bytes | None, words: str,
) -> None:
    if raw is not None:
        (folder / "new.bin").write_bytes(raw)
    assert tenfold(monkeypatch, *BUILD, "--image", "new.bin") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (folder / "out").exists()


def test_parts_of_another_build_are_not_signed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "new.bin").write_bytes(APPLICATION)
    tenfold(monkeypatch, "keys", "init", "keys")
    tenfold(monkeypatch, *BUILD, "--image", "new.bin")
    image = folder / "out" / "image.bin"
    for change, words in (
        (lambda: image.write_bytes(APPLICATION + b"x"), f"image: got {len(APPLICATION) + 1} bytes, expected {len(APPLICATION)}"),
        (image.unlink, f"image: got none, expected the one that the manifest names: {len(APPLICATION)} bytes, SHA-256 "),
    ):
        change()
        assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release.pem") == 2
        assert words in capsys.readouterr().err
        assert not (folder / "out" / "manifest.bin").exists()


def test_build_without_an_image_leaves_none_of_the_build_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "new.bin").write_bytes(APPLICATION)
    tenfold(monkeypatch, "keys", "init", "keys")
    tenfold(monkeypatch, *BUILD, "--image", "new.bin")
    tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release.pem")
    assert tenfold(monkeypatch, *BUILD) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["artifact.bin", "manifest.json"]
    assert tenfold(monkeypatch, "release", "sign", "out", "--key", "keys/release.pem") == 0
    assert "bundle alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["release", "sign", "nowhere", "--key", "k.pem"], "nowhere/manifest.json"),
        (["rollout", "list", "--server", "https://localhost:9", "--ca", "a", "--cert", "b", "--key", "c"], "a"),
    ],
)
def test_missing_file_is_told_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str,
) -> None:
    assert tenfold(monkeypatch, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
