"""The ledger: append-only, chained, and the same for everyone who writes at once."""

import dataclasses
import json
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import column, table, text
from sqlalchemy.exc import IntegrityError

import provisioning
from provisioning.chain import LedgerError
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.rules.validity import ISSUE_WINDOW_S
from provisioning.tables import metadata

from .conftest import DAY_S, LOT, NOW_S, Device

WORD = {"who": "svc.enrol", "why": "birth key"}


@pytest.fixture
def born(station):
    device = Device()
    station.hear(device.line(), NOW_S)
    return device


def test_scripts_and_tables_describe_the_same_database(engine, ledger):
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "schema_version_provisioning"})
        assert compare_metadata(context, metadata) == []


def test_entries_of_the_first_schema_keep_their_place_in_the_chain(engine):
    config = Config()
    config.set_main_option("script_location", str(Path(next(iter(provisioning.__path__))) / "migrations"))
    config.set_main_option("version_table", "schema_version_provisioning")
    lot = {"lot": "a", "station_key": "04", "quota": 1, "expires_s": 9, "at_s": 1, "n": 1}
    birth = {"device": "d", "lot": "a", "key": "05", "raw": b"\x01", "at_s": 2, "n": 2}
    given = {"serial": "1f", "device": "d", "not_after_s": NOW_S, "at_s": 3, "n": 3}
    gone = {"n": 4, "kind": "certificate", "subject": "1f", "reason": "lost", "at_s": 4}
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        before = "0" * 64
        for n, (kind, row) in enumerate([("lots", lot), ("births", birth), ("certificates", given), ("revocations", gone)], 1):
            plain = {key: value.hex() if isinstance(value, bytes) else value for key, value in row.items()}
            before = sha256(json.dumps([before, n, kind, plain], sort_keys=True, separators=(",", ":")).encode()).hexdigest()
            connection.execute(text("INSERT INTO chain VALUES (:n, :kind, :hash)"), {"n": n, "kind": kind, "hash": before})
            connection.execute(table(kind, *map(column, row)).insert(), row)
    ledger = Ledger(engine)
    assert (ledger.verify(), ledger.head()) == (4, (4, before))
    (one,) = ledger.certificates("d")
    assert (one.who, one.why, one.revoked) == (None, None, True)


def test_the_chain_holds_over_every_kind_of_entry(ledger, born):
    ledger.record_certificate("1f", born.device, NOW_S + DAY_S, NOW_S, **WORD)
    ledger.revoke("certificate", "1f", "lost", NOW_S)
    assert ledger.verify() == 4
    assert ledger.head()[0] == 4


@pytest.mark.parametrize("statement", [
    "UPDATE lots SET quota = 1000", "DELETE FROM births", "UPDATE chain SET hash = 'x'", "DELETE FROM revocations",
])
def test_rows_cannot_be_changed_or_deleted(engine, ledger, born, statement):
    ledger.revoke("device", born.device, "stolen", NOW_S)
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(("statement", "entry"), [
    ("UPDATE lots SET quota = 1000", 1), ("DELETE FROM births", 2), ("UPDATE certificates SET not_after_s = 0", 3),
    ("DELETE FROM chain WHERE n = 2", 2), ("DELETE FROM chain WHERE n = 3", 3),
])
def test_a_change_past_the_triggers_is_found(engine, ledger, born, statement, entry):
    ledger.record_certificate("1f", born.device, NOW_S + DAY_S, NOW_S, **WORD)
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))   # as its superuser may
        else:
            connection.execute(text("PRAGMA foreign_keys=OFF"))
            for name in connection.execute(text("SELECT name FROM sqlite_master WHERE type='trigger'")).scalars().all():
                connection.execute(text(f"DROP TRIGGER {name}"))
        connection.execute(text(statement))
    with pytest.raises(LedgerError, match=f"entry {entry} "):
        ledger.verify()


def test_an_order_is_opened_once(ledger):
    ledger.open_lot("a", "04" * 65, 10, NOW_S + 1, NOW_S)
    ledger.open_lot("a", "04" * 65, 10, NOW_S + 1, NOW_S + 5)
    with pytest.raises(ProvisioningError, match=r"lot\.exists"):
        ledger.open_lot("a", "04" * 65, 11, NOW_S + 1, NOW_S)
    assert ledger.verify() == 1


def test_writers_at_once_keep_one_chain(ledger):
    def write(first: int) -> None:
        for i in range(first, first + 10):
            ledger.open_lot(f"lot-{i}", "04" * 65, 1, NOW_S, NOW_S)

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 10, 20)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert ledger.verify() == 30


def test_history_counts_only_the_window(ledger, born):
    ledger.record_certificate("1", born.device, NOW_S + DAY_S, NOW_S - ISSUE_WINDOW_S, **WORD)
    ledger.record_certificate("2", born.device, NOW_S + DAY_S, NOW_S, **WORD)
    assert ledger.standing(born.device, NOW_S).history.issued_in_window == 1
    assert dataclasses.astuple(ledger.standing(born.device, NOW_S + 10 * DAY_S).history) == (0, True, False, False)
    assert [issued.serial for issued in ledger.certificates(born.device)] == ["1", "2"]


def test_a_certificate_is_valid_for_its_own_device_until_revoked(ledger, born):
    ledger.record_certificate("1", born.device, NOW_S + DAY_S, NOW_S, **WORD)
    assert ledger.is_valid_certificate("1", born.device)
    assert not ledger.is_valid_certificate("1", "hall-0242ac1100ff")
    assert not ledger.is_valid_certificate("2", born.device)
    ledger.revoke("certificate", "1", "stolen", NOW_S)
    assert not ledger.is_valid_certificate("1", born.device)


def test_the_broker_is_told_only_of_devices_that_may_connect(ledger, station, born):
    other = Device(2)
    station.hear(other.line(), NOW_S)
    assert ledger.devices() == [born.device, other.device]
    ledger.revoke("device", born.device, "stolen", NOW_S)
    assert ledger.devices() == [other.device]
    ledger.revoke("lot", LOT, "sold elsewhere", NOW_S)
    assert ledger.devices() == []


def test_what_the_ledger_does_not_hold_is_not_revoked(ledger):
    with pytest.raises(ProvisioningError, match=r"revoke\.unknown"):
        ledger.revoke("device", "hall-0242ac110001", "", NOW_S)
    with pytest.raises(ProvisioningError, match=r"revoke\.kind"):
        ledger.revoke("bench", "x", "", NOW_S)
