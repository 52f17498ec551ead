"""Whom a list does not name is kept aside, and a list that is late locks nobody out."""

import os

import pytest

from host.ingest import known
from host.ingest.known import KnownDevices, admitted
from host.ingest.sort import Reject, sort
from host.settings import SettingsError
from tests.ingest.records import DEVICE, OTHER, batch_of, state, up


def test_devices_are_named_or_come_with_their_product(tmp_path):
    path = tmp_path / "known.txt"
    path.write_text(f"# the hall\n{DEVICE}\n\npump-*   # rented\n")
    found = KnownDevices(path)
    assert [found.has(name) for name in (DEVICE, OTHER, "pump-0242ac110009", "pumps-0242ac110009")] == [True, False, True, False]


@pytest.mark.parametrize("text", ["hall", "*", "-*", "HALL-*", "hall-0242ac11*", "hall-0242AC110001"])
def test_list_with_a_wrong_line_is_refused_at_the_start(tmp_path, text):
    path = tmp_path / "known.txt"
    path.write_text(f"{DEVICE}\n{text}\n")
    with pytest.raises(SettingsError, match="line 2"):
        KnownDevices(path)


def test_list_is_read_anew_and_a_broken_one_goes_on_counting(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(known, "LOOK_S", 0.0)
    path = tmp_path / "known.txt"
    path.write_text(DEVICE)
    found = KnownDevices(path)
    path.write_text(f"{DEVICE}\n{OTHER}")
    assert found.has(OTHER)
    path.write_text("nonsense")
    os.utime(path, ns=(1, 1))
    assert found.has(OTHER)
    path.unlink()
    assert found.has(OTHER)
    assert caplog.text.count("those before go on counting") == 2


def test_records_and_states_of_unknown_devices_are_rejects(tmp_path):
    path = tmp_path / "known.txt"
    path.write_text(OTHER)
    found = KnownDevices(path)
    for topic, payload in (up(batch_of(1, 1)), state(1, (1, 0))):
        assert admitted(sort(topic, payload), topic, payload, found) == Reject(topic, DEVICE, "device.unknown", payload)
        assert admitted(sort(topic, payload), topic, payload, None) == sort(topic, payload)
    topic, payload = up(b"garbage")
    assert admitted(sort(topic, payload), topic, payload, found).reason == "batch.crc"
