"""From the production line to the first acknowledged batch: nothing is lost on the way, no secret leaves the chip."""

import json
import time

from node.wire import der, identity
from tests.esp32.rig import show, until


def test_board_never_reaches_its_first_acknowledged_batch(board, field, ingest):
    line = board.console("BIRTH")
    born_s = board.seconds()
    assert identity.birth_proof_holds(line["device"], line["key"], line["proof"])
    assert line["device"] == board.device
    until(lambda: board.ring().tally > 0)                # samples before it may connect
    assert "/state/cert.der" not in board.files()         # and does not enrol before its birth is in the ledger
    field.station.hear("BIRTH " + json.dumps(line), int(time.time()))
    until(lambda: "/state/cert.der" in board.files())
    files, enrolled_s = board.files(), board.seconds()
    assert der.cert_public_key(files["/state/cert.der"]).hex() == line["key"]
    until(lambda: ingest.records)   # each is acked as it comes
    acked_s = board.seconds()
    show(f"\nseconds since power-on, serial provisioning included: birth {born_s:.1f}, enrolled {enrolled_s:.1f}, "
          f"first ack {acked_s:.1f}")
    until(lambda: board.ring().first_unacked() > 0)   # the ring saves acks by the dozen
    secret = files["/state/key.der"]
    assert not any(secret.hex() in text for _, text in board.lines)


def test_restart_takes_a_prompt_or_a_second_birth(born, ingest):
    until(lambda: born.ring().first_unacked() > 0)
    born.power_off()
    before = born.ring().next_seq
    born.lines.clear()
    born.power_on()
    until(lambda: max(ingest.records) > before)
    show(f"\nseconds from power to the first batch of the second boot: {born.seconds():.1f}")
    assert not any(">>>" in text or text.startswith(("LINE", "BIRTH")) for _, text in born.lines)
