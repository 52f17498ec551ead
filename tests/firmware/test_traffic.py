"""What a real device's connections cost on the wire, counted, beside what the budget says of them."""

import json
import time

import pytest

from host.budget import wire
from node.config import parse
from node.settings import Config
from node.wire import topics
from tests.firmware.boards import SITE, until
from tests.firmware.counting import Meter
from tests.firmware.field import Field, Ingest

DEVICE = "hall-0242ac110001"
RECORDS = 24
# The budget is an upper bound that takes each acknowledgement of TCP for a segment of its own; a loopback saves some of them.
LOW, HIGH = 1.0, 1.3
MIN_CHECKINS = 2


@pytest.fixture
def field(tmp_path):
    field = Field(tmp_path, DEVICE)
    field.start_ota(tmp_path, 1)
    field.start_broker()
    yield field
    field.stop()


@pytest.fixture
def meters(field):
    meters = {"mqtt": Meter(field.mqtt_port), "ota": Meter(field.ota_port)}
    yield meters
    for meter in meters.values():
        meter.close()


def on_the_wire(connection):
    return sum(connection.bytes) + wire.TCP_IP_BYTES * connection.segments


def test_budget_promises_fewer_bytes_than_a_device_sends(field, meters, make_board):
    board = make_board(ca_der=field.pki.root_der.read_bytes(), root=field.root, est_port=field.est_port, keepalive_s=8,
                       mqtt_port=meters["mqtt"].port, ota_port=meters["ota"].port)
    (board.bench / f"{board.mac}.rssi").write_text("-67")   # a check-in tells it
    config = parse(json.dumps({**SITE, "address": "127.0.0.1"}).encode(), Config())   # no DNS on a loopback
    ingest = Ingest(field)
    board.power_on()
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))
    session = until(lambda: meters["mqtt"].connections)[0]
    until(lambda: len(ingest.records) >= RECORDS and len(meters["ota"].connections) > MIN_CHECKINS, 60)
    board.power_off()
    until(lambda: not session.open)
    ingest.stop()

    rounds = [one for one in meters["ota"].connections if one.ended]
    assert len(rounds) >= MIN_CHECKINS
    connection = wire.connection(config, DEVICE)
    for one in rounds:
        assert LOW <= total(connection + wire.check_in()) / on_the_wire(one) <= HIGH

    said = connection + wire.greeting(DEVICE)
    sizes = [len(record) for record in list(ingest.records.values())]
    for size in sizes:
        said += wire.sent(wire.publish_bytes(topics.up(DEVICE), size)) + wire.got(wire.PUBACK_BYTES)
        said += wire.got(wire.ack_bytes(DEVICE))
    assert not pings(session)   # beside records they would cost bytes for nothing
    assert LOW <= total(said) / on_the_wire(session) <= HIGH


def total(both):
    return both.up + both.down


def pings(connection):
    """Application data of two bytes, with nonce and tag: PINGREQ, since a device sends nothing else that short but once."""
    return connection.records[0].count((23, wire.PING_BYTES + wire.TLS_RECORD_BYTES - 5))
