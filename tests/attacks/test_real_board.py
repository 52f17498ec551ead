"""The same thief, and a board under real MicroPython with the whole firmware: it refuses, works on, and takes what is signed."""

import json
import time
from types import SimpleNamespace

import pytest

from node.wire import signed
from ota.release import keys, sign
from ota.release.bundle import manifest_for
from tests.attacks.middle import Answer, Middle, Thief
from tests.firmware.boards import keep_powered, until
from tests.firmware.conftest import RELEASE, bundle, field, make_board
from tests.firmware.field import Ingest

__all__ = ["bundle", "field", "make_board"]


@pytest.mark.slow
def test_stolen_server_gets_nothing_into_a_real_board(field, make_board, bundle, tmp_path) -> None:
    own = keys.generate(tmp_path / "thief.pem")
    payload, artifact = manifest_for({"main.mpy": b"M\x06" * 300}, "1.1.0", 2, ["hall"], (0, 1))
    ingest = Ingest(field)
    with Middle(field.pki) as middle:
        middle.rule = thief = Thief(SimpleNamespace(direction_key=field.keys["direction"]), period_s=1, now_s=int(time.time()))
        board = make_board(ca_der=field.pki.root_der.read_bytes(), root=field.root, release=RELEASE,
                           mqtt_port=field.mqtt_port, est_port=field.est_port, ota_port=middle.port)
        board.power_on()
        field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))
        thief.direct_to = thief.hold(sign.envelope(signed.MANIFEST, payload, [own]), artifact)
        until(lambda: any(asked["failed"] for asked in thief.heard))
        assert {asked["failed"]["reason"] for asked in thief.heard if asked["failed"]} == {"signature.threshold"}
        for lie in (b"[" * 8000, b'{"v":' + b'{"a":' * 1300 + b"1" + b"}" * 1301, b"\xff" * 8192):
            thief.answers = {"/v1/checkin": Answer(lie)}
            asked = len(middle.asked)
            until(lambda asked=asked: keep_powered(board) and len(middle.asked) > asked + 1, 30)
        thief.answers = {}
        heard = len(thief.heard)
        until(lambda: len(thief.heard) > heard, 30)
        assert (thief.heard[-1]["boot"], thief.heard[-1]["metrics"]["task_restarts"]) == (1, 0)
        raw, artifact, _ = field.sign_release({**bundle, "marker.mpy": b"new"}, "1.1.0", 2)
        thief.direct_to = thief.hold(raw, artifact)
        until(lambda: keep_powered(board) and any(asked["counter"] == 2 and not asked["trial"] for asked in thief.heard), 60)
    assert set(ingest.records) >= set(range(max(ingest.records)))   # no reading was lost over it
    ingest.stop()
