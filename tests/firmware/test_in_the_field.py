"""A board meets real servers: EST over TLS, nats-server over mutual TLS. Every reading arrives, whatever is cut."""

import json
import time

import pytest

from node.wire import batch, der
from tests.firmware.boards import until
from tests.firmware.field import Field, Ingest


@pytest.fixture
def field(tmp_path):
    field = Field(tmp_path, "hall-0242ac110001")
    yield field
    field.stop()


@pytest.fixture
def board(field, make_board):
    return make_board(ca_der=field.pki.root_der.read_bytes(), mqtt_port=field.mqtt_port, est_port=field.est_port)


def test_board_enrols_only_after_its_birth_is_in_the_ledger(field, board):
    board.power_on()
    line = board.console("BIRTH")
    until(lambda: board.ring().tally >= 30)
    assert "/state/cert.der" not in board.files()
    field.station.hear("BIRTH " + json.dumps(line), int(time.time()))
    until(lambda: "/state/cert.der" in board.files())
    cert = board.files()["/state/cert.der"]
    assert der.cert_public_key(cert).hex() == line["key"]


def enrol(field, board):
    board.power_on()
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))


def test_readings_reach_the_server_and_acks_trim_the_ring(field, board):
    field.start_broker()
    ingest = Ingest(field)
    enrol(field, board)
    until(lambda: len(ingest.records) > 8)
    until(lambda: board.ring().first_unacked() > 4)
    assert ingest.states[-1]["on"] == 1
    dated = until(lambda: [one for one in map(decode, list(ingest.records.values())) if one and one["quality"] == 2])
    sampled_ms = dated[0]["epoch_ms"] + dated[0]["times"][0]
    assert abs(sampled_ms - time.time() * 1000) < 30_000
    ingest.stop()


def decode(record):
    return batch.decode(record) if batch.record_name(record)[0] == batch.BATCH else None


@pytest.mark.slow
def test_broker_outage_and_power_cuts_lose_nothing(field, board):
    field.start_broker()
    ingest = Ingest(field)
    enrol(field, board)
    until(lambda: len(ingest.records) > 4)
    field.stop_broker()
    until(lambda: ingest.states[-1] is not None and board.ring().next_seq > len(ingest.records) + 5)
    board.power_off()
    board.power_on()
    field.start_broker()
    end = until(lambda: board.ring().last()[0] == 2 and board.ring().next_seq)
    until(lambda: all(seq in ingest.records for seq in range(end)))
    boots = {batch.record_name(record)[1] for record in list(ingest.records.values())}
    assert boots == {1, 2}
    ingest.stop()


@pytest.mark.slow
def test_without_acks_nothing_leaves_the_ring_and_all_of_it_is_sent_again(field, board):
    field.start_broker()
    ingest = Ingest(field, acking=False)
    enrol(field, board)
    until(lambda: ingest.received > 10)
    assert board.ring().first_unacked() == 0
    until(lambda: ingest.received > 2 * len(ingest.records) - 2)   # the ack timeout passed: from the first again
    ingest.acking = True
    until(lambda: board.ring().first_unacked() > 5)
    ingest.stop()
