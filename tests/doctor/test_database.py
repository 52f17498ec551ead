"""Databases that take back what they have committed, and look like any other."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from host.cli.root import app
from host.db import DatabaseError
from host.doctor.codes import CODES, Severity
from host.doctor.database import LEAST_FREE_BYTES, PG_WANTED, database, place, room, settings
from tests.databases import migrated


@pytest.fixture
def sqlite(tmp_path):
    return migrated(tmp_path / "telemetry.db")


def severities(found):
    return {one.code: one.severity for one in found}


def test_a_database_of_ours_is_said_to_be_bad(sqlite, monkeypatch):
    monkeypatch.setattr("host.doctor.database.LEAST_FREE_BYTES", 1)   # whatever the test machine has
    found = severities(database(sqlite))
    assert found["database.sync"] is Severity.FINE
    assert set(found) == {"database.sync", "database.place", "database.room"}


def test_a_missing_file_is_made_and_found_well(tmp_path):
    with pytest.raises(DatabaseError, match="no such file"):
        list(database(f"sqlite:///{tmp_path}/none.db"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "severity"), [("tmpfs", Severity.LOSES), ("nfs4", Severity.LOSES), ("ext4", Severity.FINE)])
def test_a_file_system_that_forgets_is_taken_for_a_disk(kind, severity, tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nnone /srv/data {kind} rw 0 0\nnone /srv/data2 tmpfs rw 0 0\n")
    found = place(tmp_path.__class__("/srv/data/telemetry.db"), mounts)
    assert found.severity is severity
    assert kind in found.happened


def test_a_full_disk_is_roomy(tmp_path):
    assert room(LEAST_FREE_BYTES - 1, tmp_path).severity is Severity.LOSES
    assert room(shutil.disk_usage(tmp_path).total + LEAST_FREE_BYTES, tmp_path).severity is Severity.FINE


@pytest.mark.parametrize("name", PG_WANTED)
def test_postgresql_that_does_not_wait_for_its_disk_is_well(name):
    told = {each: wanted[0] for each, wanted in PG_WANTED.items()}
    assert settings(told).severity is Severity.FINE
    found = settings({**told, name: "off"})
    assert found.severity is Severity.LOSES
    assert f"{name} off" in found.happened


def test_a_real_postgresql_without_fsync_is_well(cluster):   # its fsync is off: no power cut is tested there
    found = severities(database(cluster.create()))
    result = CliRunner().invoke(app, ["doctor", "--database", cluster.create(), "--json"])
    assert found == {"database.sync": Severity.LOSES, "database.writes": Severity.FINE, "database.room": Severity.UNTRIED}
    assert result.exit_code == 1
    assert json.loads(result.stdout)["bad"] is True


def test_a_password_is_told():
    with pytest.raises(DatabaseError) as caught:
        list(database("postgresql+psycopg://tenfold:secret@127.0.0.1:1/x"))
    assert "secret" not in str(caught.value)


def test_a_finding_has_no_word_on_what_to_do():
    assert all(code.mend and code.means for code in CODES.values())
    assert {code.severity for code in CODES.values()} <= {Severity.LOSES, Severity.LETS_IN, Severity.WARNING}
