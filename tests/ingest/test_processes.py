"""The ingest process under SIGKILL and without a broker, with the real nats-server and mutual TLS."""

import json
import time

import pytest

from host.db import open_engine
from host.store.queries import Queries
from tests.ingest.plant import WAIT_S, Plant, until
from tests.ingest.records import DEVICE, OTHER, batch_of, schema_of, state, up

KILLS = 3
RECORDS = 400   # of each device before each kill
PACKS = 300


@pytest.fixture
def plant(tmp_path):
    plant = Plant(tmp_path, [DEVICE, OTHER])
    yield plant
    plant.close()


def test_sigkill_of_ingest_at_any_instant_loses_nothing_and_stores_once(plant):
    """No device repeats anything here: what was not committed is the broker's to deliver again."""
    plant.start_broker()
    plant.start_ingest()
    until(lambda: plant.ingest_said("subscribed"), "the first subscription")
    devices = [plant.device(name) for name in plant.devices]
    sent, amid = {}, 0
    for device in devices:
        device.publish(*state(1, (1, 0), device=device.device), retain=True)
    for kill in range(KILLS):
        begin = len(sent)
        for seq in range(kill * RECORDS, (kill + 1) * RECORDS):   # paho sends them from its own thread while we go on
            for device in devices:
                payload = batch_of(1, seq) if seq else schema_of(1, 0)
                sent[device.device, 1, seq] = payload
                device.publish(*up(payload, device.device))
        until(lambda begin=begin: plant.count() > begin + 20, "commits while records come")
        plant.kill(plant.ingest)
        acked, stored = [(device.device, *device.acked) for device in devices], plant.rows()
        amid += len(stored) < len(sent)
        for name, boot, last in acked:
            assert all((name, boot, seq) in stored for seq in range(last + 1)), "acked before the commit"
        plant.start_ingest()
    assert amid, "ingest was never killed with work to do"
    until(lambda: plant.count() >= len(sent), "all records in the database")
    assert plant.rows() == sent
    until(lambda: all(device.acked == (1, KILLS * RECORDS - 1) for device in devices), "the last acks")
    assert plant.stop_ingest() == 0


def test_sigkill_of_ingest_loses_no_pack_of_a_device_that_is_not_ours_and_stores_none_twice(tmp_path):
    """It hears no ack and repeats nothing: what was not committed is the broker's to deliver again."""
    pump = "pump-0242ac110009"
    plant = Plant(tmp_path, [], [pump])
    try:
        plant.start_broker()
        plant.start_ingest()
        until(lambda: plant.ingest_said("subscribed"), "the first subscription")
        sender = plant.sender(pump)
        first_s = int(time.time()) - 10_000
        for second in range(PACKS):
            sender.publish(f"s/{pump}/senml", json.dumps([{"n": "flow", "bt": first_s + second, "v": second}]).encode(), 1)
            if second == PACKS // 2:
                until(lambda: plant.count() > 20, "commits while packs come")
                plant.kill(plant.ingest)
                plant.start_ingest()
        until(lambda: plant.count() >= PACKS + 1, "all packs and their schema in the database")
        code = plant.stop_ingest()
        engine = open_engine(f"sqlite:///{plant.database}", read_only=True)
        times, values = Queries(engine).series(pump, None, 0, 2**53, 2 * PACKS)["flow"]
        engine.dispose()
        assert (code, values) == (0, [float(second) for second in range(PACKS)])
        assert times == [(first_s + second) * 1000 for second in range(PACKS)]
    finally:
        plant.close()


def test_ingest_outlives_the_broker(plant):
    """Started before it, left alone by its SIGKILL, stopped without it."""
    plant.start_ingest()
    until(lambda: plant.folder.joinpath("ingest.log").exists() and plant.ingest_said("cannot reach the broker"), "a first try")
    plant.start_broker()
    until(lambda: plant.ingest_said("subscribed") == 1, "a subscription once there is a broker")
    device = plant.device(DEVICE)
    device.publish(*up(schema_of(1, 0))).wait_for_publish(WAIT_S)
    until(lambda: device.acked == (1, 0), "the first ack")
    plant.kill(plant.broker)
    until(lambda: plant.ingest_said("connection to the broker ended"), "the broker's end")
    plant.start_broker()
    until(lambda: plant.ingest_said("subscribed") == 2, "a subscription to the new broker")
    device.publish(*up(batch_of(1, 1)))
    until(lambda: plant.count() == 2, "the record after the outage")
    plant.kill(plant.broker)
    assert plant.stop_ingest() == 0
