"""A station without its ledger: a few boards go on, and neither a thief nor a mistake gets more out of it than was granted."""

import dataclasses
import json

import pytest

from host.ecdsa import point
from provisioning import ca
from provisioning.allowance import MAX_BOARDS, SETTLE_S, Allowance, admits, grant, name, read
from provisioning.errors import ProvisioningError
from provisioning.line.books import AwayError, LedgerBooks
from provisioning.line.journal import Journal
from provisioning.line.settling import settle
from provisioning.line.station import Pen, parse_line

from .conftest import DAY_S, LOT, NOW_S, Device

GRANTED = Allowance(LOT, name(LOT, 1), "bench-1", 2, NOW_S + DAY_S)


@pytest.fixture
def operator():
    return ca.make_key()


@pytest.fixture
def granted(ledger, station, station_key):
    """In the ledger, as tenfold line allow enters it."""
    ledger.open_lot(GRANTED.name, point(station_key.public_key()).hex(), GRANTED.boards, GRANTED.until_s + SETTLE_S, NOW_S)
    return GRANTED


def public(key):
    return point(key.public_key()).hex()


def allowed(station_key, devices, lot=GRANTED.name):
    """The journal's entries of births without the ledger."""
    signer = Pen(lot, "bench-1", station_key)
    records = [(device.device[-12:], signer.record(parse_line(device.line()), NOW_S).hex()) for device in devices]
    return [{"what": "allowed", "mac": mac, "lot": lot, "record": record} for mac, record in records]


def codes(ledger, tmp_path, entries, now_s=NOW_S):
    journal = Journal(tmp_path / "journal.jsonl")
    try:
        for entry in entries:
            journal.append(entry)
        return [entry["code"] for entry in settle(LedgerBooks(ledger), journal, now_s)]
    finally:
        journal.close()


def test_what_an_operator_granted_is_read_by_the_station(operator):
    assert read(grant(operator, GRANTED), public(operator)) == GRANTED


@pytest.mark.parametrize("change", [
    {"boards": 50}, {"until_s": NOW_S + 99 * DAY_S}, {"station": "bench-2"}, {"name": "lot-2.off1"}, {"name": LOT}, {"more": 1}])
def test_a_changed_allowance_does_not_hold(operator, change):
    said = json.loads(grant(operator, GRANTED))
    said["payload"] = json.dumps(json.loads(said["payload"]) | change)
    for text in (json.dumps(said), "", "[]", "{}", json.dumps(said)[:-1]):
        with pytest.raises(ProvisioningError, match=r"line\.allowance"):
            read(text, public(operator))


def test_the_stations_own_key_grants_it_nothing(operator, station_key):
    with pytest.raises(ProvisioningError, match="another key"):
        read(grant(station_key, GRANTED), public(operator))


def test_an_allowance_is_small(operator):
    with pytest.raises(ProvisioningError, match=f"1 to {MAX_BOARDS}"):
        grant(operator, dataclasses.replace(GRANTED, boards=MAX_BOARDS + 1))


@pytest.mark.parametrize(("lot", "station", "used", "now_s", "is_admitted"), [
    (LOT, "bench-1", 0, NOW_S, True), (LOT, "bench-1", 1, NOW_S, True), (LOT, "bench-1", 2, NOW_S, False),
    (LOT, "bench-1", 0, NOW_S + DAY_S, False), ("lot-2", "bench-1", 0, NOW_S, False), (LOT, "bench-2", 0, NOW_S, False)])
def test_it_admits_so_many_until_then_for_that_station(lot, station, used, now_s, is_admitted):
    assert admits(GRANTED, lot, station, used, now_s) is is_admitted


def test_births_are_settled_once_and_no_more_than_were_granted(ledger, granted, station_key, tmp_path):
    entries = allowed(station_key, [Device(1), Device(2), Device(3)])
    assert codes(ledger, tmp_path, entries) == ["", "", "birth.quota"]
    assert codes(ledger, tmp_path, []) == []
    assert ledger.count(GRANTED.name) == 2


def test_settling_is_tried_again_when_the_ledger_goes_away(ledger, granted, station_key, tmp_path):
    class Away(LedgerBooks):
        def append(self, lot, raw, now_s):
            raise AwayError("the network")

    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(allowed(station_key, [Device(1)])[0])
    with pytest.raises(AwayError):
        settle(Away(ledger), journal, NOW_S)
    journal.close()
    assert codes(ledger, tmp_path, []) == [""]


def test_a_birth_that_had_reached_the_ledger_before_it_went_away_is_no_second_one(ledger, granted, station_key, station, tmp_path):
    device = Device(1)
    station.hear(device.line(), NOW_S)
    assert codes(ledger, tmp_path, allowed(station_key, [device])) == [""]
    assert (ledger.count(LOT), ledger.count(GRANTED.name)) == (1, 0)


def test_settling_too_late_or_after_the_station_was_revoked_is_refused(ledger, granted, station_key, tmp_path):
    entries = allowed(station_key, [Device(1), Device(2)])
    assert codes(ledger, tmp_path / "late", entries, GRANTED.until_s + SETTLE_S) == ["birth.lot_expired"] * 2
    ledger.revoke("station", GRANTED.name, "stolen", NOW_S)
    assert codes(ledger, tmp_path / "stolen", entries) == ["birth.station_revoked"] * 2


def test_a_stolen_station_is_bounded_by_lot_quota_and_end_and_one_word_ends_it(ledger, station, station_key):
    """The thief has the key and signs as many records as he likes; the ledger decides."""
    books, signer = LedgerBooks(ledger), Pen(LOT, "bench-1", station_key)

    def enter(device, now_s=NOW_S, signer=signer, lot=LOT):
        try:
            return books.append(lot, signer.record(parse_line(device.line()), now_s), now_s).value
        except ProvisioningError as error:
            return error.code

    good = Device(1)
    assert enter(good) == "birth.new"
    assert enter(Device(2), NOW_S + DAY_S) == "birth.lot_expired"
    assert enter(Device(2), signer=signer.of("lot-2"), lot="lot-2") == "birth.lot_unknown"
    assert enter(Device(2)) == "birth.new"
    assert enter(Device(3)) == "birth.quota"
    assert enter(Device(1)) == "provisioning.second_identity"   # nobody's device is taken over
    ledger.open_lot("lot-3", public(station_key), 10, NOW_S + DAY_S, NOW_S)
    ledger.revoke("station", "lot-3", "stolen", NOW_S)
    assert enter(Device(4), signer=signer.of("lot-3"), lot="lot-3") == "birth.station_revoked"
    ledger.revoke("station", LOT, "stolen", NOW_S)
    assert good.device in ledger.devices()   # what it made before stays
    assert books.terms(LOT).lot.closed
    assert ledger.verify() == 6


def test_a_ledger_that_cannot_be_reached_is_told_from_one_that_refuses(tmp_path, ledger, engine):
    engine.dispose()
    for part in tmp_path.glob("ledger.db*"):
        part.unlink()
    (tmp_path / "ledger.db").mkdir()
    with pytest.raises(AwayError):
        LedgerBooks(ledger).born("hall-0242ac110001", 0)
