"""A demo that cannot run says so in one line, with what, where and what to do; it leaves nothing running and shows no traceback."""

import fcntl
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def refused(*arguments: str, folder: Path) -> str:
    """Run `tenfold demo`, expect exit code 2 and one line on standard error, and return that line."""
    command = [str(Path(sys.prefix) / "bin" / "tenfold"), "demo", "--check", "--build", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(lines) == 1
    assert lines[0].startswith("tenfold: ")
    return lines[0]


def test_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused("--port", str(port), folder=tmp_path)
    assert f"port {port}" in line
    assert "PORT=" in line


@pytest.mark.parametrize(
    ("content", "words"), [(None, "gone.csv"), (b"\x00\x01\x02" * 100, "a.csv"), (b"", "a.csv"), (b"time;temp\n", "a.csv")],
)
def test_csv_that_cannot_be_replayed(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / ("a.csv" if content is not None else "gone.csv")
    if content is not None:
        path.write_bytes(content)
    assert words in refused("--data", str(path), folder=tmp_path / "build")
    assert not (tmp_path / "build" / "demo").exists()


def test_second_demo_in_the_same_folder(tmp_path: Path) -> None:
    with (tmp_path / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another demo" in refused(folder=tmp_path)


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "build"
    path.touch()
    assert str(path) in refused(folder=path)


def test_too_many_devices_is_told_by_option(tmp_path: Path) -> None:
    command = [str(Path(sys.prefix) / "bin" / "tenfold"), "demo", "--devices", "2", "--build", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--devices" in done.stderr
