"""The release desk by hand: keys, build, sign, verify; and what a wrong step says."""

import os
import stat
from pathlib import Path

import pytest

from host.cli.root import main
from provisioning.line.fetch import fetch_umqtt

REPOSITORY = Path(__file__).parents[2]


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
