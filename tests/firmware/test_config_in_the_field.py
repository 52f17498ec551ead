"""A board takes a configuration from a real server: one that is good, and one that leaves it without readings."""

import json
import time

import pytest

from tests.firmware.boards import keep_powered, until
from tests.firmware.field import Ingest

TRIAL_S = 8


@pytest.fixture
def board(field, make_board):
    board = make_board(ca_der=field.pki.root_der.read_bytes(), root=field.root, mqtt_port=field.mqtt_port, est_port=field.est_port,
                       ota_port=field.ota_port, trial_s=TRIAL_S)
    board.power_on()
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))
    return board


def order(field, body):
    until(field.devices)   # it has checked in
    name = field.operate("/admin/configs", {"body": json.dumps(body)})["name"]
    field.operate(f"/admin/configs/{name}/order", {"devices": ["hall-0242ac110001"]})
    return name


def state(field, board):
    keep_powered(board)
    return field.devices()[0]


@pytest.mark.slow
def test_configuration_is_fetched_tried_kept_and_reported(field, board):
    ingest = Ingest(field)
    name = order(field, {"period_ms": 100})
    until(lambda: state(field, board)["config_trial"], 60)
    until(lambda: not state(field, board)["config_trial"], 60)
    assert state(field, board)["config"] == name
    files = board.files()
    assert files["/state/config.json"] == b'{"period_ms":100}'
    assert "/state/config.new" not in files
    assert set(ingest.records) >= set(range(max(ingest.records)))   # no gap across the restart
    ingest.stop()


@pytest.mark.slow
def test_configuration_without_readings_is_given_up_and_reported(field, board):
    ingest = Ingest(field)
    name = order(field, {"channels": [{"name": "nobody_measures_this"}]})
    until(lambda: state(field, board)["config_trial"], 60)
    until(lambda: state(field, board)["config_failed"], 60)
    told = state(field, board)
    assert (told["config"], told["config_failed"], told["config_reason"]) == ("", name, "no readings")
    seen = len(ingest.records)
    until(lambda: keep_powered(board) and len(ingest.records) > seen)
    ingest.stop()
