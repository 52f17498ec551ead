"""What a real board tells of itself reaches real servers: its signal, the syncs that failed, and its alarms."""

import json
import time

from node.wire import batch, schema
from ota.client import OtaClient
from tests.firmware.boards import CHANNELS, until
from tests.firmware.field import Ingest

HIGH = 2150   # of a temperature that swings between 1700 and 2300 every 2.8 s
ALARM = schema.schema_hash(schema.build([("temp.alarm", "Cel", "0.01"), ("temp.high", "Cel", "0.01")]))


def test_signal_failed_syncs_and_alarms_of_a_real_board_reach_the_servers(field, make_board):
    (name, unit, step), other = CHANNELS
    board = make_board(
        ca_der=field.pki.root_der.read_bytes(), root=field.root, est_port=field.est_port, mqtt_port=field.mqtt_port,
        ota_port=field.ota_port, channels=[{"name": name, "unit": unit, "resolution": step, "high": HIGH / 100},
                                           {"name": other[0], "unit": other[1], "resolution": other[2]}])
    board.power_on()
    field.station.hear("BIRTH " + json.dumps(board.console("BIRTH")), int(time.time()))

    def told():
        return {row["device"]: row["metrics"] for row in OtaClient(field._operator).metrics()}.get(board.device, {})

    until(lambda: told().get("sync_failure"), 60)   # nobody acknowledges what it sends
    assert "rssi" not in told()                     # it hangs on a cable
    (board.bench / f"{board.mac}.rssi").write_text("-71")
    until(lambda: told().get("rssi") == -71, 60)
    until(lambda: told().get("alarms") == 1, 60)
    until(lambda: told().get("alarms") == 0, 60)

    ingest = Ingest(field)
    found = until(lambda: changes(ingest), 60)
    ingest.stop()
    assert {(limit == HIGH) for value, limit in found if value >= HIGH} == {True}
    assert {limit for value, limit in found if value < HIGH} == {None}


def changes(ingest):
    """(value, limit) of each change of the alarm, the first of the boot first; None until there are some."""
    read = [batch.decode(ingest.records[seq]) for seq in sorted(ingest.records)
            if batch.record_name(ingest.records[seq])[0] == batch.BATCH]
    found = [(one["columns"][0][0], one["columns"][1][0]) for one in read if one["schema"] == ALARM]
    return found if len(found) > 3 and 0 in ingest.records else None
