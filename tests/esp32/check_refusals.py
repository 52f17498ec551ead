"""A device talks to nobody whose certificate does not hold: wrong name, expired, another authority, or a clock that cannot tell.

The servers are the real ones; what they say is refused because of what the device was told on the line. The device's TLS alert,
seen on the wire, says why.
"""

import json
import time

import pytest

from provisioning.pki import make_fleet_pki
from tests.esp32.rig import Relay, until

UNTRUSTED = 48, 42               # alert descriptions, RFC 5246 section 7.2: unknown_ca, bad_certificate
WRONG_NAME = 42, 46              # bad_certificate, certificate_unknown
OUT_OF_DATE = 45, 42, 46         # certificate_expired; mbedTLS has no word of its own for "not yet valid"
IN_2040_S = 2_208_988_800
TRIES = 2                        # connections: it keeps refusing


@pytest.fixture
def relay(field):
    relay = Relay(field.est_port)
    yield relay
    relay.close()


def refused(board, relay, field, alerts):
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))
    until(lambda: len(relay.alerts()) >= TRIES)
    assert set(relay.alerts()) <= set(alerts), relay.alerts()
    assert "/state/cert.der" not in board.files()


def test_server_of_another_name(make_board, field, relay, trust, ports):
    board = make_board()
    board.power_on()
    board.provision(trust, **{**ports, "est_port": relay.port, "host": "fleet.example"})
    refused(board, relay, field, WRONG_NAME)


def test_server_with_an_expired_certificate(make_board, field, relay, trust, ports):
    board = make_board()
    board.power_on()
    board.provision(trust, **{**ports, "est_port": relay.port, "time_floor_s": IN_2040_S})
    refused(board, relay, field, OUT_OF_DATE)


def test_server_of_another_authority(make_board, field, relay, trust, ports, tmp_path):
    stranger = make_fleet_pki(tmp_path / "stranger")
    board = make_board()
    board.power_on()
    board.provision((stranger.root_der.read_bytes(), trust[1]), **{**ports, "est_port": relay.port})
    refused(board, relay, field, UNTRUSTED)


def test_clock_at_2000_takes_a_certificate_for_valid(make_board, field, relay, trust, ports):
    board = make_board()
    board.power_on()
    board.provision(trust, **{**ports, "est_port": relay.port, "time_floor_s": 0})
    refused(board, relay, field, OUT_OF_DATE)


def test_floor_from_the_line_lets_a_cold_board_in(make_board, field, relay, trust, ports):
    board = make_board()
    board.power_on()
    board.provision(trust, **{**ports, "est_port": relay.port, "time_floor_s": int(time.time())})
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))
    until(lambda: "/state/cert.der" in board.files())
    assert not relay.alerts()
