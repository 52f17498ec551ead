"""Verdicts from values: what must not pass, and what the advice says."""

import json
from dataclasses import replace

import pytest

from host import settings
from host.boards.profile import Board
from host.budget import budget as rules
from host.budget import wire
from host.settings import SettingsError
from node.config import parse
from node.settings import Config
from provisioning.line.image import read_partitions
from tests.firmware.boards import FIRMWARE

BOARDS = FIRMWARE / "image/boards"
SITE = FIRMWARE / "image/site.json"
GENERIC = settings.load(Board, BOARDS / "esp32-generic.json")
DEVICE = "hall-0242ac110001"
WORK = rules.Work(records_a_day=144, readings_a_day=34_560, sectors_a_day=5.5, record_bytes=140, largest_bytes=150)
SIZES = rules.Sizes(ring_sectors=32, vfs=458_752, vfs_used=300_000, slot=1_769_472, image=1_672_800, bundle=72_000,
                    resident=32_286)


def config(**changes):
    return parse(json.dumps({**json.loads(SITE.read_bytes()), **changes}).encode(), Config())


def judged(board=GENERIC, work=WORK, sizes=SIZES, boots=1, **changes):
    found = rules.budget(board, config(**changes), work, work, sizes, [wire.Flow("all", 1000, 500)], boots=boots, updates_a_year=12)
    return {line.key: line for line in found.lines}


def test_configuration_that_fits_is_refused():
    assert {line.verdict for line in judged().values()} == {rules.OK, rules.TOLD}


def test_ring_of_two_days_passes():
    line = judged(work=replace(WORK, sectors_a_day=31 / 2))["ring_days"]
    assert line.verdict == rules.MISSED
    assert line.value == pytest.approx(2)
    assert "batch_samples" in line.advice


def test_uplink_that_makes_small_batches_is_not_named():
    line = judged(work=replace(WORK, sectors_a_day=20), uplink_s=10)["ring_days"]
    assert "larger uplink_s (" in line.advice


def test_endurance_is_counted_twice():
    line = judged(work=replace(WORK, sectors_a_day=1000))["flash_life_years"]
    assert line.value == pytest.approx(100_000 * 32 / 1000 / 365.25)
    assert line.verdict == rules.MISSED


def test_board_that_starts_every_minute_wears_no_file_system():
    assert judged(boots=1440)["files_life_years"].value == pytest.approx(100_000 * 2 / (1440 * 3 + 1.26) / 0.1 / 365.25, rel=0.01)
    assert judged(boots=1440)["files_life_years"].verdict == rules.MISSED


def test_memory_that_nobody_measured_passes():
    lines = judged(board=GENERIC.model_copy(update={"ram": None}))
    assert lines["ram_pct"].verdict == lines["ram_update_pct"].verdict == rules.UNMEASURED


def test_image_that_nobody_measured_passes():
    assert judged(sizes=replace(SIZES, image=None))["image_pct"].verdict == rules.UNMEASURED


def test_batch_that_takes_the_heap_passes():
    channels = [{"name": f"c{i}", "resolution": "1"} for i in range(16)]
    large = judged(channels=channels, batch_samples=240, uplink_s=86_400, work=replace(WORK, largest_bytes=1800))
    assert large["ram_pct"].verdict == rules.MISSED
    assert large["ram_update_pct"].value < 0


def test_firmware_that_grew_since_it_was_measured_is_not_taken_off():
    before, after = judged()["ram_pct"].value, judged(sizes=replace(SIZES, resident=32_286 + 10_035))["ram_pct"].value
    assert before - after == pytest.approx(10, abs=0.01)


def test_full_file_system_passes():
    assert judged(sizes=replace(SIZES, vfs_used=440_000))["flash_pct"].verdict == rules.MISSED


def test_check_ins_without_psram_cost_no_session():
    def total(sessions):
        flows = wire.flows(config(), DEVICE, 144, 140, tls_sessions=sessions, bundle_bytes=72_000, assumed=wire.Assumed())
        return sum(flow.both for flow in flows)

    assert total(1) - total(2) > 24 * 3000   # a handshake and a greeting for each


def test_large_record_is_one_segment():
    assert wire.sent(2000).up == 2000 + 29 + 2 * 40
    assert wire.sent(2000).down == 2 * 40
    assert wire.got(10).down == 10 + 29 + 40


def test_packets_are_of_another_length_than_umqtts():
    assert wire.publish_bytes("t/x/up", 10) == 1 + 1 + 2 + 6 + 2 + 10
    assert wire.publish_bytes("t/x/up", 118) == 1 + 2 + 2 + 6 + 2 + 118
    assert wire.ack_bytes(DEVICE) == 37   # counted: firmware/test_traffic.py


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_profile_contradicts_its_partition_table(path):
    board = settings.load(Board, path)
    parts = {one.label: one for one in read_partitions(BOARDS.parent / board.partitions)}
    assert {"ring", "vfs", "ota_0"} <= parts.keys()
    assert max(one.end for one in parts.values()) <= board.flash_bytes
    assert (board.image_bytes is None) == (not board.image_source)
    assert board.margins == Board.model_fields["margins"].default or board.reasons


@pytest.mark.parametrize("wrong", [{"flash": 1}, {"margins": {"ram": 3}}, {"endurance_cycles": 0}, {"ram": 5}])
def test_profile_with_an_unknown_key_or_margin_is_read(tmp_path, wrong):
    path = tmp_path / "board.json"
    path.write_text(json.dumps({**json.loads((BOARDS / "esp32-c3.json").read_bytes()), **wrong}))
    with pytest.raises(SettingsError):
        settings.load(Board, path)
