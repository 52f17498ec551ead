"""The station: only genuine devices get a birth record, once, within the order."""

import pytest

from host.ecdsa import point
from node.wire import identity, signed
from provisioning import ca
from provisioning.errors import ProvisioningError
from provisioning.line.station import Station, parse_line
from provisioning.rules.quota import Reason

from .conftest import DAY_S, LOT, NOW_S, Device


def refusal(station, line, now_s=NOW_S):
    with pytest.raises(ProvisioningError) as caught:
        station.hear(line, now_s)
    return caught.value.code


def test_a_genuine_device_is_born(station, station_key, ledger):
    device = Device()
    birth, reason = station.hear(device.line() + "\r\n", NOW_S)
    assert reason is Reason.NEW
    assert ledger.birth(device.device) == birth
    payload = signed.verify(birth.raw, signed.BIRTH, [point(station_key.public_key())], 1)
    record = identity.parse_birth(payload)
    assert (record["device"], record["key"], record["lot"], record["station"], record["at"]) == (
        device.device, device.public.hex(), LOT, "bench-1", NOW_S)


def test_an_interrupted_line_runs_again_without_a_second_record(station, ledger):
    device = Device()
    first, _ = station.hear(device.line(), NOW_S)
    again, reason = station.hear(device.line(), NOW_S + 60)
    assert (again, reason) == (first, Reason.KNOWN)
    assert ledger.verify() == 2


def test_a_known_id_with_another_key_is_refused(station):
    station.hear(Device(1).line(), NOW_S)
    assert refusal(station, Device(1).line()) == "provisioning.second_identity"


def test_a_key_that_the_device_does_not_hold_is_refused(station):
    assert refusal(station, Device(1).line(key=Device(1).public.hex())) == "birth.proof"


def test_a_proof_made_for_another_id_is_refused(station):
    assert refusal(station, Device(1).line(device=Device(2).device)) == "birth.proof"


def test_the_quota_ends_the_lot(station):
    for last in (1, 2):
        station.hear(Device(last).line(), NOW_S)
    assert refusal(station, Device(3).line()) == "birth.quota"


def test_the_lots_end_ends_it(station):
    assert refusal(station, Device().line(), NOW_S + DAY_S) == "birth.lot_expired"


def test_a_revoked_lot_is_over_at_once(station, ledger):
    ledger.revoke("lot", LOT, "stolen bench", NOW_S)
    assert refusal(station, Device().line()) == "birth.lot_revoked"


def test_another_bench_cannot_sign_for_the_lot(station, ledger):
    assert refusal(Station(ledger, LOT, "bench-2", ca.make_key()), Device().line()) == "birth.signature"
    assert refusal(Station(ledger, "lot-9", "bench-1", ca.make_key()), Device().line()) == "birth.lot_unknown"


def test_a_record_of_another_lot_is_refused(station, station_key, ledger):
    key = point(station_key.public_key()).hex()
    ledger.open_lot("lot-2", key, 10, NOW_S + DAY_S, NOW_S)
    birth, _ = station.hear(Device().line(), NOW_S)
    with pytest.raises(ProvisioningError, match=r"birth\.lot:"):
        ledger.append_birth("lot-2", birth.raw, NOW_S)


@pytest.mark.parametrize("line", ["", "boot: ok", "LOG {}", "BIRTH", "birth {}"])
def test_other_console_lines_are_passed_over(station, line):
    assert parse_line(line) is None
    assert station.hear(line, NOW_S) is None


@pytest.mark.parametrize("line", [
    "BIRTH ", "BIRTH {}", "BIRTH []", "BIRTH {", "BIRTH \udcff", "BIRTH " + "[" * 2000,
    Device().line(key="00"), Device().line(proof="zz" * 64), Device().line(device="svc.ota"), Device().line(model="x" * 17),
    Device().line(model="a b"),
])
def test_a_malformed_announcement_is_refused(station, line):
    assert refusal(station, line) == "birth.format"
