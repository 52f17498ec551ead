"""Who is offline, and what version drops connections: asked of a real telemetry database, and of an OTA server in this process."""

import json

import pytest

from host.cli import known
from host.cli.root import main
from host.clock import DAY_MS, HOUR_MS
from ota.client import OtaClient
from tests.console.fleet import NEW, Fleet

NOW_MS = 1_800_000_000_000


class Desk(OtaClient):
    """An OTA server's words in its own shapes; the real one answers in tests/ota/test_metrics_api.py."""

    def __init__(self, devices):
        self.devices_told = devices

    def close(self):
        pass

    def metrics(self, page=500):
        yield from self.devices_told

    def metric_totals(self):
        return [{"model": "hall", "counter": 1, "release": "1.0.0", "site": "nord",
                 "totals": {"uptime_s": 360_000, "app_crashes": 1}}]


def tenfold(capsys, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["tenfold", "fleet", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    return ended.value.code or 0, told.out, told.err


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """Six devices for a day: the second one has been offline for an hour, the third runs 1.1.0 and dropped five times."""
    monkeypatch.setattr("time.time_ns", lambda: NOW_MS * 1_000_000)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("TENFOLD_SERVER", "TENFOLD_LEDGER", "TENFOLD_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    fleet = Fleet(tmp_path, 6, NOW_MS - DAY_MS, minutes=1)
    fleet.at_ms = NOW_MS - DAY_MS + HOUR_MS
    fleet.back(fleet.devices[2], NEW, rebooted=True)
    for hour in range(5):
        fleet.at_ms = NOW_MS - (10 - hour) * HOUR_MS
        fleet.drop(fleet.devices[2])
        fleet.at_ms += 60_000
        fleet.back(fleet.devices[2])
    fleet.at_ms = NOW_MS - HOUR_MS
    fleet.drop(fleet.devices[1])
    yield fleet
    fleet.engine.dispose()


@pytest.fixture
def desk(plant, monkeypatch):
    """The OTA server knows them: the first two stand at nord, the others at sued."""
    rows = [{"device": device, "model": "hall", "release": "1.0.0", "counter": 1, "cohort": 1,
             "site": "nord" if place < 2 else "sued", "last_seen_s": NOW_MS / 1000 - 30,
             "metrics": {"heap_free": 60_000, "ring_used": 2560} | (
                 {"rssi": -58 - 5 * place, "sync_failure": place} if place else {})}
            for place, device in enumerate(plant.devices)]
    monkeypatch.setattr(known.Sources, "client", lambda _self: Desk(rows))


def test_who_is_offline_is_told_with_since_when_and_where(plant, desk, capsys, monkeypatch):
    code, out, _ = tenfold(capsys, monkeypatch, "offline", "--database", plant.url)
    row = next(line for line in out.splitlines() if plant.devices[1] in line)
    assert code == 0
    assert "60 min" in row
    assert "nord" in row
    assert "30 s" in row   # it still checks in
    assert not [device for device in plant.devices if device in out and device != plant.devices[1]]


def test_what_version_drops_connections_stands_first_in_red_and_with_its_interval(plant, desk, capsys, monkeypatch):
    code, out, _ = tenfold(capsys, monkeypatch, "versions", "--database", plant.url, "--json")
    worst, other = json.loads(out)["versions"]
    assert (code, worst["name"], worst["drops"], worst["worse"]) == (0, "1.1.0", 5, True)
    assert (other["name"], other["drops"], other["worse"]) == ("1.0.0", 1, False)
    assert worst["drops_low"] < worst["drops_a_day"] < worst["drops_high"]
    assert (worst["back_p50_s"], worst["crash_free"], other["crash_free"]) == (60.0, None, 0.99)


@pytest.mark.parametrize("command", ["status", "offline", "versions", "models", "devices"])
def test_no_name_is_cut_at_80_columns(plant, desk, capsys, monkeypatch, command):
    _, out, _ = tenfold(capsys, monkeypatch, command, "--database", plant.url)
    assert max(len(line) for line in out.splitlines()) <= 80
    names = {"status": ["nord", "sued"], "offline": [plant.devices[1]], "versions": ["1.0.0", "1.1.0"], "models": ["hall"],
             "devices": plant.devices}[command]
    assert all(name in out for name in names)
    assert "…" not in out


def test_a_device_of_before_tells_no_signal_and_no_zero(plant, desk, capsys, monkeypatch):
    _, out, _ = tenfold(capsys, monkeypatch, "devices", "--database", plant.url)
    rows = {cells[1].strip(): [cell.strip() for cell in cells] for cells in (line.split("│") for line in out.splitlines())
            if len(cells) > 5}
    assert rows[plant.devices[0]][4:6] == ["", ""]
    assert rows[plant.devices[5]][4:6] == ["-83", "5"]
    _, out, _ = tenfold(capsys, monkeypatch, "devices", "--database", plant.url, "--json")
    told = {row["device"]: row for row in json.loads(out)["devices"]}
    assert [told[plant.devices[place]]["rssi_dbm"] for place in (0, 5)] == [None, -83]
    _, out, _ = tenfold(capsys, monkeypatch, "status", "--database", plant.url)
    assert "15 failed syncs  weakest signal -83 dBm" in " ".join(out.split()).replace("syncs weakest", "syncs  weakest")


def test_without_an_ota_server_it_says_what_is_unknown(plant, capsys, monkeypatch):
    code, out, _ = tenfold(capsys, monkeypatch, "status", "--database", plant.url)
    assert code == 0
    assert "no OTA server is named" in out
    assert "unknown" in out


def test_a_whole_site_is_told_as_one(plant, desk, capsys, monkeypatch):
    plant.drop(plant.devices[0])
    _, out, _ = tenfold(capsys, monkeypatch, "offline", "--database", plant.url)
    assert "all 2 devices of nord are offline" in " ".join(out.split())


def test_a_database_that_is_not_there_is_told_with_what_to_do(tmp_path, capsys, monkeypatch):
    code, _, err = tenfold(capsys, monkeypatch, "offline", "--database", f"sqlite:///{tmp_path}/none.db")
    assert code == 2
    assert "no such file; name it with --database" in err
    assert not (tmp_path / "none.db").exists()


def test_feeding_the_gates_needs_a_server(plant, capsys, monkeypatch):
    code, _, err = tenfold(capsys, monkeypatch, "feed", "--database", plant.url)
    assert code == 2
    assert "--server" in err
