"""Whole fleets, judged by their flash files and the database. Minutes long: slow tier."""

import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
FIGURES = {
    "devices", "readings_committed", "readings_stored", "lost", "duplicates_stored", "on_1_1_0", "by_delta",
    "fetched_bytes", "bundle_bytes", "got_bad_release", "bad_release_halted", "power_cut_recovered", "broker_outage_s",
    "config_kept", "config_given_up", "seconds",
}


KEPT = {   # what nobody starts by hand: database and table that it leaves rows in
    "alerts are evaluated": ("telemetry.db", "alert_turn"), "days are summed": ("telemetry.db", "rollup"),
    "detectors learn": ("telemetry.db", "anomaly_state"), "gates are told of links": ("ota.db", "watch"),
}


def counted(database: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()   # noqa: S608  a name of ours
    return int(count)


def processes_naming(folder: Path) -> list[str]:
    """List the command lines of running processes that name a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue   # it ended meanwhile
        if str(folder) in line:
            found.append(line)
    return found


def test_processes_killed_at_any_moment_lose_nothing_and_stop_nothing(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        str(Path(sys.prefix) / "bin" / "tenfold"), "demo", "--check", "--chaos", "--devices", "12", "--build", str(tmp_path),
        "--port", str(port),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed hall-" in done.stdout
    figures = json.loads((tmp_path / "demo.json").read_text())
    assert set(figures) == FIGURES
    assert figures["readings_stored"] == figures["readings_committed"] > 0
    assert (figures["lost"], figures["duplicates_stored"], figures["got_bad_release"]) == (0, 0, 1)
    assert figures["on_1_1_0"] == figures["devices"] == 12
    assert figures["by_delta"] > 0
    assert 0 < figures["fetched_bytes"] < figures["bundle_bytes"] * 6   # of twelve devices, and of all that broke off
    assert processes_naming(tmp_path) == []
    kept = {name: counted(tmp_path / "demo" / database, table) for name, (database, table) in KEPT.items()}
    assert all(kept.values()), kept   # though these processes may be killed like the others
