"""A device is moved from one gateway to another by a DNS record alone: real BIND, two real brokers, a real device at work."""

import json
import time

import pytest

from provisioning.routing.key import read_key
from provisioning.routing.server import Server
from provisioning.rules.routes import Route, Routes, targets, with_route
from tests.firmware.boards import until
from tests.firmware.field import Field, Ingest
from tests.firmware.gateways import Gateway
from tests.provisioning.named import ZONE, Named

WAIT_S = 240   # bounds nothing but a failure
DEVICE = "hall-0242ac110001"


@pytest.fixture
def named(tmp_path):
    with Named(tmp_path / "named") as named:
        yield named


@pytest.fixture
def field(tmp_path, named):
    field = Field(tmp_path, DEVICE, [f"*.{ZONE}"])
    field.start_ota(tmp_path)
    field.start_broker()
    yield field
    field.stop()


@pytest.fixture
def gateways(field, tmp_path):
    """Two addresses with the same ports: the second has a broker of its own."""
    ports = field.mqtt_port, field.ota_port, field.est_port
    second = field.another_broker(tmp_path / "second")
    made = [Gateway("127.0.0.2", dict(zip(ports, ports, strict=True))),
            Gateway("127.0.0.3", dict(zip(ports, (second, *ports[1:]), strict=True)))]
    yield made
    for gateway in made:
        gateway.close()


class Desk:
    """Who sets routes and pushes them."""

    def __init__(self, named):
        self._named = named
        self.routes = Routes(ZONE, (), {})

    def set(self, name, to):
        self.routes = with_route(self.routes, Route(name, targets(ZONE, [to]), 5))
        return self

    def push(self):
        return Server(self._named.say).push(self.routes, read_key(self._named.key))


def test_running_device_is_moved_by_the_record_alone_and_no_reading_is_lost(field, gateways, named, make_board, tmp_path):
    old, new = gateways
    desk = Desk(named).set("main", old.address).set("nord", new.address).set("*", "main")
    desk.push()
    board = make_board(ca_der=field.pki.root_der.read_bytes(), root=field.root, host="unused", zone=ZONE, mqtt_port=field.mqtt_port,
                       ota_port=field.ota_port, est_port=field.est_port)
    first, second = Ingest(field), Ingest(field, port=new.targets[field.mqtt_port])
    second.records = first.records   # one database behind both
    board.power_on(dns=named.say)
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH", WAIT_S)), int(time.time()))
    until(lambda: len(first.records) > 8 and old.count(field.ota_port), WAIT_S)
    assert new.count(field.mqtt_port) == 0

    desk.set(DEVICE, "nord").push()   # this, and nothing else
    until(lambda: new.count(field.mqtt_port) and second.received > 4, WAIT_S)
    until(lambda: old.open(field.mqtt_port) == 0, WAIT_S)
    at_old = old.count(field.mqtt_port)

    until(lambda: board.files().get("/state/route") == new.address.encode(), WAIT_S)
    named.stop()                      # DNS and power fail together, and only the power comes back
    board.power_off()
    seen = second.received
    board.power_on(dns=named.say)
    until(lambda: second.received > seen + 4, WAIT_S)
    end = board.ring().next_seq
    until(lambda: all(seq in first.records for seq in range(end)) and board.ring().first_unacked() >= end, WAIT_S)
    assert old.count(field.mqtt_port) == at_old
    assert board.process.poll() is None
    for ingest in (first, second):
        ingest.stop()


def test_address_whose_certificate_names_another_zone_gets_no_reading(field, gateways, named, make_board, tmp_path):
    """A wrong record, or a DNS that lies: the device refuses, keeps its readings, and is back when the record is."""
    old, _ = gateways
    stranger = field.another_broker(tmp_path / "stranger", names=["*.gw.example.net"])
    wrong = Gateway("127.0.0.4", {field.mqtt_port: stranger})
    desk = Desk(named).set("main", wrong.address).set("nord", old.address).set("*", "nord").set(DEVICE, "nord")
    desk.push()
    board = make_board(ca_der=field.pki.root_der.read_bytes(), root=field.root, host="unused", zone=ZONE, mqtt_port=field.mqtt_port,
                       ota_port=field.ota_port, est_port=field.est_port)
    ingest, ears = Ingest(field), Ingest(field, port=stranger, acking=False)
    board.power_on(dns=named.say)
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH", WAIT_S)), int(time.time()))
    until(lambda: len(ingest.records) > 8, WAIT_S)
    desk.set(DEVICE, "main").push()
    old.cut()
    until(lambda: wrong.count(field.mqtt_port) >= 2, WAIT_S)
    assert (ears.received, ears.states) == (0, [])
    desk.set(DEVICE, "nord").push()
    have = len(ingest.records)
    until(lambda: len(ingest.records) > have + 4, WAIT_S)
    end = board.ring().next_seq
    until(lambda: all(seq in ingest.records for seq in range(end)), WAIT_S)
    assert ears.received == 0
    wrong.close()
    for one in (ingest, ears):
        one.stop()
