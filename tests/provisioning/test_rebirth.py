"""A device that lost its key: born once more by an operator's word, and by nothing else."""

import time

import pytest

from host.ecdsa import point
from provisioning import ca
from provisioning.errors import ProvisioningError
from provisioning.line.station import Station
from provisioning.rules.quota import Reason
from tests.cli.test_release_desk import tenfold

from .conftest import DAY_S, NOW_S, Device
from .test_enrol import issued, post

WORD = {"who": "anna", "why": "flash erased in repair"}


@pytest.fixture
def erased(station):
    """The same board with two keys: before its flash was erased, and after."""
    before, after = Device(1), Device(1)
    station.hear(before.line(), NOW_S)
    return before, after


def permit(ledger, device, until_s=NOW_S + DAY_S, now_s=NOW_S):
    ledger.permit(device.device, "rebirth", until_s, now_s, **WORD)


def refused(station, device, code, now_s=NOW_S):
    with pytest.raises(ProvisioningError) as caught:
        station.hear(device.line(), now_s)
    assert caught.value.code == code


def test_without_a_word_and_after_its_time_another_key_is_refused(ledger, station, erased):
    _, after = erased
    refused(station, after, "provisioning.second_identity")
    permit(ledger, after, until_s=NOW_S + 10)
    refused(station, after, "provisioning.second_identity", now_s=NOW_S + 10)


def test_a_word_is_for_one_birth_of_one_device_and_stays_in_the_ledger(ledger, station, erased):
    before, after = erased
    other, copy = Device(2), Device(2)
    station.hear(other.line(), NOW_S)
    permit(ledger, after)
    refused(station, copy, "provisioning.second_identity")
    assert station.hear(before.line(), NOW_S)[1] is Reason.KNOWN   # it has its key after all: the word is still open
    birth, reason = station.hear(after.line(), NOW_S)
    assert (reason, birth.key) == (Reason.REBORN, after.public.hex())
    assert station.hear(after.line(), NOW_S)[1] is Reason.KNOWN    # the line was interrupted and runs again
    refused(station, before, "provisioning.second_identity")
    refused(station, Device(1), "provisioning.second_identity")
    assert ledger.verify() == 5   # lot, two births, the word, the rebirth


def test_certificates_of_the_lost_key_are_revoked_with_the_rebirth(ledger, station, erased):
    _, after = erased
    for serial, end_s in (("1a", NOW_S + DAY_S), ("1b", NOW_S - 1)):
        ledger.record_certificate(serial, after.device, end_s, NOW_S - 2, who="svc.enrol", why="birth key")
    permit(ledger, after)
    station.hear(after.line(), NOW_S)
    assert [one.serial for one in ledger.revoked(NOW_S)] == ["1a"]
    assert not ledger.is_valid_certificate("1a", after.device)
    assert ledger.devices() == [after.device]
    ledger.verify()


def test_a_certificate_that_was_under_way_for_the_lost_key_is_not_given_out(ledger, station, erased):
    before, after = erased
    permit(ledger, after)
    station.hear(after.line(), NOW_S)
    more = {"who": "svc.enrol", "why": "birth key"}
    with pytest.raises(ProvisioningError, match=r"enrol\.other_key"):
        ledger.record_certificate("1a", after.device, NOW_S + DAY_S, NOW_S, **more, key=before.public.hex())
    ledger.record_certificate("1b", after.device, NOW_S + DAY_S, NOW_S, **more, key=after.public.hex())


def test_no_word_brings_a_revoked_device_or_lot_back(ledger, station, erased, station_key):
    _, after = erased
    permit(ledger, after)
    ledger.revoke("lot", "lot-1", "sold elsewhere", NOW_S)
    second = ca.make_key()
    ledger.open_lot("lot-2", point(second.public_key()).hex(), 1, NOW_S + DAY_S, NOW_S)
    bench = Station(ledger, "lot-2", "bench-2", second)
    refused(bench, after, "birth.revoked")
    ledger.revoke("device", after.device, "stolen", NOW_S)
    refused(bench, after, "birth.revoked")
    with pytest.raises(ProvisioningError, match=r"birth\.revoked"):
        permit(ledger, after)


def test_a_reborn_device_goes_with_the_lot_that_it_was_reborn_in(ledger, station, erased):
    _, after = erased
    second = ca.make_key()
    ledger.open_lot("lot-2", point(second.public_key()).hex(), 1, NOW_S + DAY_S, NOW_S)
    permit(ledger, after)
    Station(ledger, "lot-2", "bench-2", second).hear(after.line(), NOW_S)
    ledger.record_certificate("2a", after.device, NOW_S + DAY_S, NOW_S, who="svc.enrol", why="birth key")
    ledger.revoke("lot", "lot-1", "sold elsewhere", NOW_S)
    assert (ledger.devices(), ledger.revoked(NOW_S)) == ([after.device], [])
    ledger.revoke("lot", "lot-2", "sold elsewhere", NOW_S)
    assert (ledger.devices(), [one.serial for one in ledger.revoked(NOW_S)]) == ([], ["2a"])


def test_erased_device_enrols_again_and_its_old_certificate_does_not_renew(connect, bench, born, ledger, ledger_url, monkeypatch):
    old, again = issued(post(connect(), born.csr())), Device(born.last)
    assert post(connect(), again.csr()).json()["code"] == "enrol.other_key"
    assert tenfold(monkeypatch, "ca", "rebirth", born.device, "--why", "flash erased", "--by", "anna", "--ledger", ledger_url) == 0
    assert bench.hear(again.line(), int(time.time()))[1] is Reason.REBORN
    issued(post(connect(), again.csr()))
    assert post(connect(), born.csr()).json()["code"] == "enrol.other_key"
    assert post(connect(old, born), born.csr(), "simplereenroll").json()["code"] == "enrol.revoked"
    assert [one.revoked for one in ledger.certificates(born.device)] == [True, False]
    ledger.verify()
