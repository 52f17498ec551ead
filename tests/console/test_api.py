"""The console's answers: what is stored is what is shown, what is out of reach is said, and nothing is ever a blank page."""

import sqlite3

import pytest

from host.console.ota import NoOta
from host.sim.signals import MISSING
from tests.console.conftest import MINUTES, NOW_MS
from tests.console.fleet import BAD, BATCH_MS, NEW, Fleet, OtaWords

STORED_BATCHES = 6 * MINUTES * 60_000 // BATCH_MS


def sent(fleet, device):
    """What a device has sent: (times, columns of values in units)."""
    rows = MINUTES * 60_000 // 250
    first = fleet.devices.index(device) * 97
    table = fleet.tables[device]
    values = table.values()
    index = [(first + row) % len(values) for row in range(rows)]
    return [fleet.start_ms + row * 250 for row in range(rows)], values[index], table.steps[index]


def test_totals_are_what_the_database_holds(console, fleet):
    totals = console.get("/api/overview").json()["totals"]
    missing = sum(int((sent(fleet, device)[2] == MISSING).sum()) for device in fleet.devices)
    assert (totals["devices"], totals["online"], totals["batches"]) == (6, 6, STORED_BATCHES)
    assert totals["readings_stored"] == 6 * MINUTES * 60 * 4 * 4 - missing
    assert totals["bytes_per_reading"] == pytest.approx(totals["bytes"] / totals["readings_stored"])


def test_devices_are_listed_with_link_release_and_standing(console, fleet, words):
    words.attempts[fleet.devices[2]] = ("trial", "", "the device is trying a release")
    rows = console.get("/api/devices").json()["devices"]
    assert [row["device"] for row in rows] == fleet.devices
    assert all(row["online"] and row["release"] == "1.0.0" and row["last_ms"] and row["drops"] == 0 for row in rows)
    assert rows[2]["update"]["trial"]
    assert not rows[3]["update"]["trial"]


def test_drops_are_counted_without_those_of_updates(tmp_path, console_of):
    fleet = Fleet(tmp_path, 2, NOW_MS - 60_000, minutes=2)
    first, second = fleet.devices
    for _ in range(3):
        fleet.drop(first)
        fleet.back(first)
    fleet.drop(second)
    fleet.back(second, NEW)
    fleet.drop(second)
    rows = {row["device"]: row for row in console_of(fleet.url).get("/api/devices").json()["devices"]}
    fleet.engine.dispose()
    assert (rows[first]["drops"], rows[first]["online"]) == (3, True)
    assert (rows[second]["drops"], rows[second]["online"], rows[second]["release"]) == (1, False, "1.1.0")


def test_a_device_is_told_with_its_newest_values(console, fleet):
    device = fleet.devices[0]
    answer = console.get(f"/api/devices/{device}").json()
    assert [(one["channel"], one["unit"]) for one in answer["latest"]] == [
        ("winding_temp", "degC"), ("current", "A"), ("vibration", "mm/s"), ("pressure", "kPa")]
    times, values, _ = sent(fleet, device)
    assert answer["latest"][1]["value"] == pytest.approx(values[-1][1])
    assert answer["latest"][1]["t_ms"] == times[-1]
    assert answer["update"]["metrics"]["heap_free"] == 61_440


def test_statistics_of_a_second_group_are_channels_like_others(tmp_path, console_of):
    fleet = Fleet(tmp_path, 1, NOW_MS - 60_000, minutes=2)
    device, = fleet.devices
    fleet.add_windows(device, [[100, 110], [205, 215], [310, 320], [4, 5]])
    fleet.advance(NOW_MS)
    console = console_of(fleet.url)
    names = ["winding_temp", "current", "vibration", "pressure", "current.min", "current.mean", "current.max", "current.std"]
    latest = console.get(f"/api/devices/{device}").json()["latest"]
    assert [one["channel"] for one in latest] == names
    assert (latest[5]["value"], latest[5]["unit"], latest[5]["t_ms"]) == (2.15, "A", fleet.start_ms + 20_000)
    path = f"/api/devices/{device}/series?from_ms={fleet.start_ms}&to_ms={NOW_MS}"
    assert [one["name"] for one in console.get(path).json()["channels"]] == names
    only, = console.get(path + "&channels=current.max").json()["channels"]
    assert only == {"name": "current.max", "unit": "A", "resolution": "0.01",
                    "t": [fleet.start_ms + 10_000, fleet.start_ms + 20_000],
                    "v": [3.1, 3.2]}
    spark = console.get(f"/api/sparks?devices={device}&channel=current.std").json()["sparks"][device]
    assert (spark["channel"], spark["v"]) == ("current.std", [0.04, 0.05])
    fleet.engine.dispose()


def test_series_show_every_stored_value_and_no_missing_one(console, fleet):
    device = fleet.devices[1]
    times, values, steps = sent(fleet, device)
    path = f"/api/devices/{device}/series?from_ms={fleet.start_ms}&to_ms={NOW_MS}&points=4000"
    channels = console.get(path).json()["channels"]
    assert [one["name"] for one in channels] == ["winding_temp", "current", "vibration", "pressure"]
    for column, channel in enumerate(channels):
        present = [row for row in range(len(times)) if steps[row][column] != MISSING]
        assert channel["t"] == [times[row] for row in present]
        assert channel["v"] == pytest.approx([values[row][column] for row in present])


def test_a_window_shows_that_window_and_those_channels_only(console, fleet):
    begin = NOW_MS - 60_000
    path = f"/api/devices/{fleet.devices[1]}/series?from_ms={begin}&to_ms={NOW_MS - 30_000}&channels=current,pressure&points=50"
    channels = console.get(path).json()["channels"]
    assert [one["name"] for one in channels] == ["current", "pressure"]
    for channel in channels:
        assert 0 < len(channel["t"]) <= 50
        assert begin <= channel["t"][0] <= channel["t"][-1] <= NOW_MS - 30_000


def test_sparks_answer_for_many_rows_at_once(console, fleet):
    sparks = console.get(f"/api/sparks?devices={','.join(fleet.devices)}&channel=current").json()["sparks"]
    assert set(sparks) == set(fleet.devices)
    for one in sparks.values():
        assert (one["channel"], one["unit"], one["resolution"]) == ("current", "A", "0.01")
        assert 2 <= len(one["t"]) <= 60
    first = fleet.devices[0]
    other = console.get(f"/api/sparks?devices={first}&channel=nonsense").json()["sparks"]
    assert other[first]["channel"] == "winding_temp"


def test_rollouts_are_shown_with_stages_gate_and_those_who_fell(console, fleet, words):
    words.rollout("r1", NEW, "done", 3, counts=[(1, 1, 0, 1, 1, 0, 0)] * 4)
    words.rollout(
        "r2", BAD, "running", 1, counts=[(1, 1, 0, 1, 1, 0, 0), (2, 2, 1, 1, 0, 0, 0)], soak_left_s=5.0,
        gate=("unknown", "failures: 0 of 1 devices have soaked"), attempts=[(fleet.devices[4], "lost", "silent since 70 s")])
    running, done = console.get("/api/rollouts").json()["rollouts"]
    assert (running["id"], running["release"], running["state"], running["stage"]) == ("r2", "1.2.0", "running", 1)
    assert [stage["state"] for stage in running["stages"]] == ["done", "current", "waiting", "waiting"]
    assert [stage["pct"] for stage in running["stages"]] == [1, 5, 10, 100]
    current = running["stages"][1]
    assert (current["confirmed"], current["eligible"], current["soak_ends_ms"]) == (1, 2, NOW_MS + 5000)
    assert current["gate"]["verdict"] == "unknown"
    assert running["fallen"] == [{"device": fleet.devices[4], "state": "lost", "reason": "silent since 70 s"}]
    assert done["state"] == "done"


def test_versions_join_links_with_what_devices_report(console, words, fleet):
    words.rollout("r1", NEW, "done", 3)
    words.rollout("r2", BAD, "halted", 0, attempts=[(fleet.devices[0], "failed", "crash")])
    newest, oldest = console.get("/api/versions").json()["versions"]
    assert (newest["release"], newest["reported"]["crashes"], newest["fallen"]) == ("1.2.0", 3, 1)
    assert (oldest["release"], oldest["devices"], oldest["online"], oldest["fallen"]) == ("1.0.0", 6, 6, 0)
    assert oldest["online_share"] == 1.0


def test_what_was_set_aside_is_shown(tmp_path, console_of):
    fleet = Fleet(tmp_path, 1, NOW_MS - 60_000, minutes=2)
    fleet.send([fleet.record(fleet.devices[0], b"\x01 not a batch")])
    rows = console_of(fleet.url).get("/api/quarantine").json()["quarantine"]
    fleet.engine.dispose()
    assert [(row["device"], row["times"]) for row in rows] == [(fleet.devices[0], 1)]


# --- cheap ---------------------------------------------------------------------------------------------------------------

def test_an_unchanged_answer_costs_no_body(console):
    first = console.get("/api/devices")
    again = console.get("/api/devices", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["x-now-ms"] == str(NOW_MS)


def test_many_browsers_ask_a_source_once(console, words):
    console.together(["/api/rollouts"] * 20)
    assert words.asked.count("/admin/rollouts") == 1
    console.later(500)
    console.get("/api/rollouts")
    assert words.asked.count("/admin/rollouts") == 1
    console.later(600)
    console.get("/api/rollouts")
    assert words.asked.count("/admin/rollouts") == 2


def test_the_console_only_ever_reads(console, fleet, words):
    for path in ("/api/overview", "/api/devices", "/api/rollouts", "/"):
        assert console.post(path).status_code == 405
    before = fleet.path.read_bytes()
    console.together(["/api/overview", "/api/devices", "/api/versions", "/api/quarantine", f"/api/devices/{fleet.devices[0]}"])
    assert fleet.path.read_bytes() == before
    assert all(path.startswith("/admin/") for path in words.asked)


# --- out of reach --------------------------------------------------------------------------------------------------------

def test_an_unreachable_ota_server_is_told_and_its_last_words_kept(console, words):
    words.rollout("r1", NEW, "running", 0)
    console.get("/api/rollouts")
    words.down = True
    console.later(5_000)
    answer = console.get("/api/rollouts").json()
    assert [each["id"] for each in answer["rollouts"]] == ["r1"]
    told = answer["sources"]["ota"]
    assert (told["ok"], told["code"], told["since_ms"]) == (False, "ota.unreachable", NOW_MS + 5_000)
    assert "connection refused" in told["message"]
    console.later(5_000)
    assert console.get("/api/overview").json()["sources"]["ota"]["since_ms"] == NOW_MS + 5_000   # since it began
    words.down = False
    console.later(5_000)
    assert console.get("/api/rollouts").json()["sources"]["ota"] == {"ok": True, "code": "", "message": "", "since_ms": 0}


def test_devices_are_shown_while_the_ota_server_is_away(console, words, fleet):
    words.down = True
    answer = console.get("/api/devices").json()
    assert [row["update"] for row in answer["devices"]] == [None] * 6
    assert not answer["sources"]["ota"]["ok"]
    assert console.get(f"/api/devices/{fleet.devices[0]}").json()["update"] is None


def test_without_an_ota_server_the_page_says_so(fleet, console_of):
    console = console_of(fleet.url, NoOta())
    answer = console.get("/api/rollouts").json()
    assert answer["rollouts"] is None
    assert answer["sources"]["ota"]["code"] == "ota.none"
    assert console.get("/api/versions").json()["versions"][0]["reported"] is None


def test_an_absent_database_is_told_and_not_made(tmp_path, console_of):
    console = console_of(f"sqlite:///{tmp_path / 'telemetry.db'}")
    answer = console.get("/api/overview").json()
    assert answer["totals"] is None
    assert answer["sources"]["telemetry"]["code"] == "telemetry.absent"
    assert console.get("/api/devices").json()["devices"] is None
    refusal = console.get(f"/api/devices/hall-0242ac110001/series?from_ms={NOW_MS - 1000}&to_ms={NOW_MS}")
    assert (refusal.status_code, refusal.json()["code"]) == (503, "telemetry.absent")
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_tables_is_told(tmp_path, console_of):
    sqlite3.connect(tmp_path / "telemetry.db").close()
    (tmp_path / "telemetry.db").touch()
    told = console_of(f"sqlite:///{tmp_path / 'telemetry.db'}").get("/api/overview").json()["sources"]["telemetry"]
    assert told["code"] == "telemetry.empty"


def test_a_file_that_is_no_database_is_told(tmp_path, console_of):
    (tmp_path / "telemetry.db").write_bytes(b"not a database at all" * 100)
    told = console_of(f"sqlite:///{tmp_path / 'telemetry.db'}").get("/api/overview").json()["sources"]["telemetry"]
    assert told["code"] == "telemetry.unreachable"
    assert "not a database" in told["message"]


def test_the_database_may_come_later(tmp_path, console_of):
    console = console_of(f"sqlite:///{tmp_path / 'telemetry.db'}")
    assert console.get("/api/devices").json()["devices"] is None
    fleet = Fleet(tmp_path, 1, NOW_MS - 60_000, minutes=2)
    fleet.engine.dispose()
    console.later(5_000)
    assert [row["device"] for row in console.get("/api/devices").json()["devices"]] == fleet.devices


# --- wrong questions -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("device", ["x", "hall-0242ac11000G", "HALL-0242ac110001", "hall-0242ac110001%00", "..%2f..%2fetc"])
def test_what_is_no_device_id_is_not_looked_up(console, device):
    answer = console.get(f"/api/devices/{device}")
    assert answer.status_code == 404
    assert "code" in answer.json()


def test_a_device_never_heard_is_not_found(console):
    answer = console.get("/api/devices/hall-ffffffffffff")
    assert (answer.status_code, answer.json()["message"]) == (404, "hall-ffffffffffff was never heard")


@pytest.mark.parametrize(("query", "message"), [
    ("", "from_ms"), ("from_ms=1", "to_ms"), ("from_ms=x&to_ms=5", "from_ms"), ("from_ms=5&to_ms=5", "expected 1 to"),
    ("from_ms=9&to_ms=5", "got -4 ms"), ("from_ms=-1&to_ms=5", "from_ms"), (f"from_ms=0&to_ms={10**15}", "to_ms"),
    (f"from_ms=0&to_ms={NOW_MS}", "expected 1 to"), ("from_ms=1&to_ms=9&points=5", "points"),
    ("from_ms=1&to_ms=9&points=99999", "points"),
])
def test_a_window_that_cannot_be_shown_is_refused_by_name(console, fleet, query, message):
    answer = console.get(f"/api/devices/{fleet.devices[0]}/series?{query}")
    assert answer.status_code == 422
    assert message in answer.json()["message"]


def test_an_unknown_channel_has_no_series(console, fleet):
    path = f"/api/devices/{fleet.devices[0]}/series?from_ms={NOW_MS - 1000}&to_ms={NOW_MS}&channels=nonsense"
    assert console.get(path).json()["channels"] == []


def test_an_odd_standing_does_not_hide_the_fleet(fleet, console_of):
    words = OtaWords(fleet, lambda: NOW_MS)
    words.device = lambda device: {"device": device}
    rows = console_of(fleet.url, words.source()).get("/api/devices").json()["devices"]
    assert [row["update"]["why"] for row in rows] == [""] * 6
