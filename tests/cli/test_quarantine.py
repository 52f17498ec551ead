"""`tenfold quarantine`: an operator sees why, looks at the bytes, mends and tries again."""

import json

import pytest
from typer.testing import CliRunner

from host.cli.quarantine import app
from host.db import DatabaseError
from host.ingest.commit import Committer
from host.ingest.sort import Reject, sort
from host.settings import SettingsError
from host.store.queries import Queries
from host.store.telemetry import Telemetry
from tests.ingest.records import DEVICE, OTHER, batch_of, schema_of, up

NOW = 1_790_000_000_000
PUMP = "pump-0242ac110009"


@pytest.fixture
def run(engine):
    def run(command, *arguments):
        return CliRunner().invoke(app, [command, "--database", str(engine.url), *map(str, arguments)])
    return run


@pytest.fixture
def rows(engine):
    """Ids: a batch that an old decoder refused, garbage, a pack with text."""
    with Telemetry(engine).begin() as transaction:
        transaction.quarantine([Reject(up(b"")[0], DEVICE, "batch.kind", batch_of(1, 1))], NOW)
    packed = json.dumps([{"n": "mode", "vs": "auto"}, {"n": "flow", "u": "l/min", "v": 12.5}]).encode()
    Committer(Telemetry(engine)).commit([sort(*up(b"\x03garbage", OTHER)), sort(f"s/{PUMP}/senml", packed)], NOW + 1)
    return {"batch": 1, "pack": 2, "garbage": 3}   # what comes together is kept in the order of topics


def listed(run, *arguments):
    return {one["id"]: one["reason"] for one in json.loads(run("list", "--json", *arguments).stdout)}


def test_rows_are_listed_by_reason_and_device(run, rows):
    assert listed(run) == {1: "batch.kind", 3: "batch.crc", 2: "senml.no_number"}
    assert listed(run, "--reason", "batch.") == {1: "batch.kind", 3: "batch.crc"}
    assert listed(run, "--device", PUMP) == {2: "senml.no_number"}
    assert len(listed(run, "--limit", 1)) == 1
    shown = run("list").stdout
    assert all(word in shown for word in (DEVICE, "batch.kind", "senml.no_number"))


def test_a_row_is_shown_with_its_bytes_and_what_the_decoder_says_now(run, rows):
    shown = run("show", rows["batch"]).stdout
    assert "record (1, 1), a batch of 7 readings" in shown
    assert "2 channels, 4 samples" in shown
    assert batch_of(1, 1)[:16].hex(" ") in shown
    assert "decoder: batch.crc" in run("show", rows["garbage"]).stdout
    assert "garbage" in run("show", rows["garbage"]).stdout
    assert "flow = 12.5 l/min at 0 s from its arrival" in run("show", rows["pack"]).stdout
    told = json.loads(run("show", rows["garbage"], "--json").stdout)
    assert (bytes.fromhex(told["payload"]), told["decoder"]) == (b"\x03garbage", ["decoder: batch.crc: of 8 bytes"])


def test_replay_stores_what_can_be_read_and_tells_what_stays(run, rows, engine):
    done = run("replay", "--all")
    assert (done.exit_code, done.stdout) == (1, "1 stored, 2 stay\n1 for batch.crc\n1 for senml.no_number\n")
    assert listed(run) == {3: "batch.crc", 2: "senml.no_number"}
    again = run("replay", "--all", "--json")
    assert [one["outcome"] for one in json.loads(again.stdout)] == ["stays", "stays"]
    Committer(Telemetry(engine)).commit([sort(*up(schema_of(1, 0)))], NOW)
    assert Queries(engine).latest(DEVICE)[0].value == 21.04
    assert run("replay", "--device", DEVICE).stdout == "0 stored, 0 stay\n"


def test_drop_removes_only_what_was_meant(run, rows):
    assert run("drop", "--reason", "senml.no_number").stdout == "1 removed\n"
    assert json.loads(run("drop", 1, 77, "--json").stdout) == {"removed": 1}
    assert listed(run) == {3: "batch.crc"}


@pytest.mark.parametrize("command", ["replay", "drop"])
def test_nothing_is_touched_without_a_choice(run, rows, command):
    for arguments in ((), ("--all", 1), ("--all", "--reason", "batch.")):
        done = run(command, *arguments)
        assert isinstance(done.exception, SettingsError), arguments
    assert len(listed(run)) == 3


def test_a_mistyped_database_is_not_made(tmp_path):
    missing = tmp_path / "none.db"
    for database, words in ((f"sqlite:///{missing}", "no such file"), ("telemetry.db", "expected a URL")):
        done = CliRunner().invoke(app, ["list", "--database", database])
        assert isinstance(done.exception, DatabaseError)
        assert words in str(done.exception)
    assert not missing.exists()


def test_a_row_that_is_not_there_is_named(run, rows):
    assert "got 99" in str(run("show", 99).exception)
