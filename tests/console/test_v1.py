"""The REST interface: the same readings by pages, sums and files; limits on every input; no question makes it fail."""

import csv
import io
from contextlib import suppress

import httpx
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from host.console import v1
from host.sim.signals import MISSING
from tests.console.conftest import NOW_MS
from tests.console.test_api import sent

EXAMPLES = 25   # of each operation and mode


def window(fleet):
    return f"from_ms={fleet.start_ms}&to_ms={NOW_MS}"


def present(fleet, device, column):
    times, _values, steps = sent(fleet, device)
    return [times[row] for row in range(len(times)) if steps[row][column] != MISSING]


def test_devices_come_in_pages(console, fleet):
    found, after = [], ""
    while after is not None:
        answer = console.get(f"/api/v1/devices?limit=4&after={after}").json()
        assert len(answer["devices"]) <= 4
        found += [row["device"] for row in answer["devices"]]
        after = answer["next"]
    assert found == fleet.devices


def test_latest_are_those_of_the_page(console, fleet):
    device = fleet.devices[0]
    shown = console.get(f"/api/devices/{device}").json()["latest"]
    assert console.get(f"/api/v1/devices/{device}/alarms", params={"from_ms": 0, "to_ms": 1}).json()["alarms"] == []
    assert console.get(f"/api/v1/devices/{device}/latest").json() == {"device": device, "latest": shown}


def test_latest_of_all_devices_come_in_pages(console, fleet):
    found, after = [], ""
    while after is not None:
        answer = console.get(f"/api/v1/latest?limit=4&after={after}").json()
        assert len(answer["devices"]) <= 4
        found += answer["devices"]
        after = answer["next"]
    assert [one["device"] for one in found] == fleet.devices
    for one in found[:3]:
        assert console.get(f"/api/v1/devices/{one['device']}/latest").json() == one


@pytest.mark.parametrize("limit", [100, 999, 100_000])
def test_pages_put_together_are_all_readings(console, fleet, limit):
    device, rows, cursor = fleet.devices[1], [], ""
    while cursor is not None:
        path = f"/api/v1/devices/{device}/series?{window(fleet)}&limit={limit}&cursor={cursor}"
        answer = console.get(path).json()
        assert len(answer["readings"]) <= limit
        rows += [[t_ms, answer["channels"][at]["name"], value, quality] for t_ms, at, value, quality in answer["readings"]]
        cursor = answer["next"]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert [row[0] for row in rows if row[1] == "vibration"] == present(fleet, device, 2)
    assert len(rows) == sum(len(present(fleet, device, column)) for column in range(4))
    assert {row[3] for row in rows} == {"server"}


def test_points_are_those_of_the_page(console, fleet):
    path = f"/devices/{fleet.devices[1]}/series?{window(fleet)}&points=50&channels=current"
    assert console.get("/api/v1" + path).json()["channels"] == console.get("/api" + path).json()["channels"]


def test_sums_by_device_site_and_version(console, fleet, words):
    count = sum(len(present(fleet, device, 2)) for device in fleet.devices)
    rows = console.get(f"/api/v1/aggregate?{window(fleet)}&channels=vibration").json()["rows"]
    assert [row["label"] for row in rows] == fleet.devices
    for by, labels in (("version", ["1.0.0"]), ("all", ["all"])):
        (row,) = console.get(f"/api/v1/aggregate?{window(fleet)}&channels=vibration&by={by}").json()["rows"]
        assert ([row["label"]], row["count"], row["t_ms"]) == (labels, count, fleet.start_ms)
    original = words.device
    words.device = lambda device: original(device) | {"site": "nord" if device == fleet.devices[0] else ""}
    console.later()
    rows = console.get(f"/api/v1/aggregate?{window(fleet)}&channels=vibration&by=site&bucket_ms=60000").json()["rows"]
    assert {row["label"] for row in rows} == {"nord", "unknown"}
    assert sum(row["count"] for row in rows) == count


def test_sums_by_site_need_the_ota_server(console, fleet, words):
    words.down = True
    answer = console.get(f"/api/v1/aggregate?{window(fleet)}&by=site")
    assert (answer.status_code, answer.json()["code"]) == (503, "ota.unreachable")


def test_exports_hold_all_readings(console, fleet):
    path = f"/api/v1/export?{window(fleet)}"
    answer = console.get(path)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    total = sum(len(present(fleet, device, column)) for device in fleet.devices for column in range(4))
    assert len(rows) == total
    assert pq.read_table(io.BytesIO(console.get(path + "&format=parquet").content)).num_rows == total
    wide = console.get(path + f"&wide=true&devices={fleet.devices[2]}&channels=current").text
    assert len(wide.splitlines()) == 1 + len(present(fleet, fleet.devices[2], 1))


def test_an_export_gives_its_place_back(console, fleet, monkeypatch):
    monkeypatch.setattr(v1, "HEAVY", 1)
    for _ in range(3):
        assert console.get(f"/api/v1/export?{window(fleet)}").status_code == 200
    console.app.state.open.take()
    answer = console.get(f"/api/v1/export?{window(fleet)}")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "console.busy", "5")


def test_quarantine_is_shown(console):
    assert console.get("/api/v1/quarantine?limit=5").json() == {"quarantine": []}


@pytest.mark.parametrize(("path", "status", "code"), [
    ("devices?limit=0", 422, "console.parameter"), ("devices?limit=1001", 422, "console.parameter"),
    ("devices/x/latest", 404, "console.device"), ("devices/hall-ffffffffffff/latest", 404, "console.device"),
    ("devices/{}/series?from_ms=5&to_ms=5", 422, "console.window"), ("devices/{}/series?to_ms=5", 422, "console.parameter"),
    ("devices/{}/series?from_ms=1&to_ms=5&limit=100001", 422, "console.parameter"),
    ("devices/{}/series?from_ms=1&to_ms=5&cursor=x", 422, "console.cursor"),
    ("devices/{}/series?from_ms=0&to_ms=5000000000&points=100", 422, "console.window"),
    ("aggregate?from_ms=0&to_ms=5000000000", 422, "console.window"),
    ("aggregate?from_ms=0&to_ms=9&by=moon", 422, "console.parameter"),
    ("aggregate?from_ms=0&to_ms=2000000000&bucket_ms=1000", 422, "console.too_much"),
    ("aggregate?from_ms=0&to_ms=9&bucket_ms=999", 422, "console.parameter"),
    ("aggregate?from_ms=0&to_ms=9&devices=hall-ffffffffffff", 404, "console.device"),
    ("export?from_ms=0&to_ms=9&format=xls", 422, "console.parameter"),
    ("export?from_ms=0&to_ms=9&devices=x", 404, "console.device"), ("quarantine?limit=1001", 422, "console.parameter"),
    ("live", 422, "console.parameter"), ("live?devices=x", 404, "console.device"),
    ("live?devices=" + ",".join(["{}"] * 51), 422, "console.parameter"),
])
def test_what_is_too_much_or_wrong_is_refused_with_a_code(console, fleet, path, status, code):
    answer = console.get("/api/v1/" + path.replace("{}", fleet.devices[0]))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]


def test_a_database_that_is_away_is_told(tmp_path, console_of):
    console = console_of(f"sqlite:///{tmp_path / 'telemetry.db'}")
    for path in ("devices", "devices/hall-0242ac110001/latest", "export?from_ms=0&to_ms=9", "quarantine"):
        answer = console.get("/api/v1/" + path)
        assert (answer.status_code, answer.json()["code"]) == (503, "telemetry.absent")


def test_other_hosts_are_not_answered(console):
    assert console.get("/api/v1/devices", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_nothing_that_is_asked_makes_the_server_fail(console, fleet, mode):
    """All operations but /live, whose answer has no end; what that refuses is asked above."""
    import schemathesis  # noqa: PLC0415  it changes how pytest reports; only where it is used
    from schemathesis import GenerationMode  # noqa: PLC0415

    described = console.get("/api/openapi.json").json()
    operations = [found.ok() for found in schemathesis.openapi.from_dict(described).get_all_operations()]
    operations = [each for each in operations if each.path.startswith("/api/v1/") and not each.path.endswith("/live")]
    assert len(operations) == 8
    answers = []

    def asked(operation):
        @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck), deadline=None)
        @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
        def ask(case):
            for device in (None, fleet.devices[0]):
                if device is not None:
                    case.path_parameters = dict.fromkeys(case.path_parameters or {}, device)
                given_ = {name: value for name, value in (case.query or {}).items() if value is not None}
                with suppress(httpx.InvalidURL):   # longer than any client sends
                    answers.append((case.formatted_path, console.get(case.formatted_path, params=given_)))

        with suppress(Unsatisfiable):
            ask()

    for operation in operations:
        asked(operation)
    assert [f"{path}: {answer.text:.200}" for path, answer in answers if answer.status_code >= 500] == []
    assert [path for path, answer in answers if answer.status_code >= 400 and set(answer.json()) != {"code", "message"}] == []
    assert {200, 404, 422} <= {answer.status_code for _, answer in answers}
