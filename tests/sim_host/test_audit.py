"""The audit finds what the demo must never hide: readings lost, bytes altered, samples stored twice."""

from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from host.db import open_engine
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.sim import audit, releases
from host.sim.plant import FIRMWARE, PARTITIONS
from host.store.telemetry import Telemetry
from node.ring import Ring
from node.wire import batch, bundle, schema, topics
from ota.release.bundle import compile_tree
from ota.server.downloads import Download
from provisioning.line.image import build_flash, ring_partition
from tests.databases import migrated

DEVICE = "hall-0242ac110001"
SCHEMA = schema.build([("temp", "Cel", "0.01")])
BOOT = 7
BUNDLE = bundle.build({"main.mpy": b"good", "node/a.mpy": b"same"})
OTHER = bundle.build({"main.mpy": b"bad", "node/a.mpy": b"cut"})


def a_batch(seq: int, uptime_ms: int, values: list[int | None]) -> bytes:
    return batch.encode(BOOT, seq, schema.schema_hash(SCHEMA), uptime_ms, 1_700_000_000_000, 2, 250, [values], [])


RECORDS = [(batch.schema_record(BOOT, 0, SCHEMA), 0), (a_batch(1, 0, [1, 2, None, 4]), 3), (a_batch(2, 1000, [5, 6]), 2)]


@pytest.fixture
def flash(tmp_path: Path) -> Path:
    image = bytearray(build_flash(PARTITIONS, {"/boot.json": b'{"slot":"a","trial":null,"tries":0,"bad":null,"exit":""}',
                                               "/slots/a/bundle": BUNDLE, "/slots/a/release.json": b'{"release":"1.1.0"}',
                                               "/slots/b/part": b"ab" * 32, "/slots/b/bundle": OTHER[:-1]}))
    ring = Ring(ring_partition(image))
    ring.mount()
    for seq, (data, readings) in enumerate(RECORDS):
        ring.append(BOOT, seq, data, readings)
    path = tmp_path / "flash.bin"
    path.write_bytes(image)
    return path


@pytest.fixture
def telemetry(tmp_path: Path) -> Engine:
    engine = open_engine(migrated(tmp_path / "telemetry.db"))
    store(engine, [data for data, _ in RECORDS])
    return engine


def store(engine: Engine, records: list[bytes]) -> None:
    Committer(Telemetry(engine)).commit([sort(topics.up(DEVICE), data, copy=False) for data in records], 1)


def judged(flash: Path, telemetry: Engine) -> audit.Tally:
    return audit.compare([audit.read_device(DEVICE, flash)], telemetry)


def test_flash_tells_release_trial_and_half_written_slots(flash: Path) -> None:
    truth = audit.read_device(DEVICE, flash)
    assert (truth.committed, truth.release, truth.trial) == (5, "1.1.0", False)
    assert truth.half_slots == {"b"}


def test_code_is_known_by_its_hash_also_in_a_bundle_that_is_still_coming(flash: Path) -> None:
    assert audit.read_device(DEVICE, flash).hashes == {sha256(data).hexdigest() for data in (b"good", b"same", b"bad")}


def test_good_release_and_bad_one_differ_from_what_runs_in_the_file_that_they_are_known_by(tmp_path: Path) -> None:
    umqtt = tmp_path / "simple.py"
    umqtt.write_text("class MQTTClient:\n    pass\n")
    made = [releases.main_sha256(compile_tree(FIRMWARE, umqtt, releases.overlay(appended)))
            for appended in (b"", releases.CHANGE, releases.CRASH)]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(("held", "half"), [
    ({"part": b"ab" * 32}, set()), ({"part": b"ab" * 32, "bundle": b""}, set()),   # named, but not a byte of it is there
    ({"bundle": b"TFB1"}, {"a"}), ({"bundle": OTHER[:-1], "release.json": b"{"}, {"a"}),
    ({"bundle": OTHER}, set()),                                                    # all of it: not yet declared, or given up
])
def test_half_written_is_a_slot_with_some_of_a_bundle(tmp_path: Path, held: dict[str, bytes], half: set[str]) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(build_flash(PARTITIONS, {f"/slots/a/{name}": data for name, data in held.items()}))
    assert audit.read_device(DEVICE, path).half_slots == half


def test_slot_without_an_index_yet_holds_no_code(tmp_path: Path) -> None:
    path = tmp_path / "flash.bin"
    path.write_bytes(build_flash(PARTITIONS, {"/slots/a/bundle": OTHER[:20]}))
    assert audit.read_device(DEVICE, path).hashes == frozenset()


def test_all_stored_is_nothing_lost(flash: Path, telemetry: Engine) -> None:
    tally = judged(flash, telemetry)
    assert (tally.readings_committed, tally.readings_stored, tally.lost, tally.duplicates_stored) == (5, 5, 0, 0)


def test_missing_batch_is_lost(flash: Path, telemetry: Engine) -> None:
    with telemetry.begin() as connection:
        connection.execute(text("DELETE FROM batch WHERE seq = 2"))
    tally = judged(flash, telemetry)
    assert tally.lost == 2
    assert DEVICE in tally.missing[0]


def test_altered_bytes_are_lost_although_the_count_is_right(flash: Path, telemetry: Engine) -> None:
    with telemetry.begin() as connection:
        connection.execute(text("UPDATE batch SET payload = :other WHERE seq = 2"), {"other": a_batch(2, 1000, [5, 7])})
    assert judged(flash, telemetry).lost == 2


def test_same_samples_under_another_name_are_duplicates(flash: Path, telemetry: Engine) -> None:
    store(telemetry, [a_batch(3, 1000, [5, 6])])
    tally = judged(flash, telemetry)
    assert tally.duplicates_stored == 2
    assert tally.lost == 0


def test_batch_without_readings_that_was_under_way_is_no_loss(flash: Path, telemetry: Engine) -> None:
    image = bytearray(flash.read_bytes())
    ring = Ring(ring_partition(image))
    ring.mount()
    ring.append(BOOT, 3, a_batch(3, 2000, [None, None]), 0)
    flash.write_bytes(image)
    assert judged(flash, telemetry).lost == 0


def test_fetched_is_what_the_server_gave_also_to_who_never_got_to_the_end(tmp_path: Path) -> None:
    bundle_name, delta, other = sha256(BUNDLE).hexdigest(), "d" * 64, "e" * 64
    size = len(BUNDLE)
    given = [
        Download("by-delta", delta, 0, 99, 100), Download("by-delta", delta, 40, 99, 100),       # the first one broke off
        Download("cut-off", delta, 0, 49, 100),
        Download("gave-up", delta, 0, 99, 100), Download("gave-up", bundle_name, 0, size - 1, size),
        Download("elsewhere", other, 0, 9, 10),
    ]
    log = tmp_path / "ota.log"
    log.write_text("".join(f"2026-11-22 14:58:37,123 INFO ota.server.device_api {each}\n" for each in given)
                   + "2026-11-22 14:58:38,000 INFO ota.server.control download of nothing\n")
    assert audit.fetched(log, BUNDLE, [delta]) == audit.Fetched(
        size, {"by-delta": 160, "cut-off": 50, "gave-up": 100 + size}, frozenset({"by-delta"}))
