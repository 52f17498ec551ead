"""A real MicroPython process boots from a flash image built here: birth, readings, power cuts."""

import random

import pytest

from node.errors import CallerError
from node.wire import batch, identity, schema
from provisioning.line.image import build_flash
from tests.firmware.boards import CSV, RESET, until


def batches(board):
    return [batch.decode(data) for _, _, data in board.ring().records(0) if batch.record_name(data)[0] == batch.BATCH]


def test_new_board_announces_its_birth_and_samples_before_anybody_knows_it(make_board):
    board = make_board()
    board.power_on()
    birth = board.console("BIRTH")
    assert birth["device"] == board.device
    assert identity.birth_proof_holds(board.device, birth["key"], birth["proof"])
    until(lambda: board.ring().tally >= 40)
    assert b"\x01" not in birth["key"].encode()
    one = batches(board)[-1]
    assert len(one["columns"]) == 2
    taken = [value for value in one["columns"][0] if value is not None]   # on a loaded machine places go by
    assert taken
    assert all(1700 <= value <= 2300 for value in taken)


def test_board_runs_what_its_channels_ask_for_out_of_the_bundle(make_board):
    temp = {"name": "temp", "unit": "Cel", "resolution": "0.01", "stats": 4, "anomaly": True, "oversample": 3, "min": 0, "max": 90,
            "offset": 10, "rate": 50, "median": 3, "average": 2, "ema_pct": 90, "high": 80, "delay": 2}
    vib = {"name": "vib", "unit": "mm/s", "resolution": "0.001", "period_ms": 100, "phase_ms": 30, "deadband": 1, "heartbeat_s": 1}
    board = make_board(channels=[temp, vib])
    board.power_on()
    until(lambda: len({one["schema"] for one in batches(board)}) == 3)   # the alarm tells the state that it begins with
    told = [batch.parse_schema_record(data) for _, _, data in board.ring().records(0) if batch.record_name(data)[0] == batch.SCHEMA]
    names = {named: [name for name, _, _ in schema.parse(raw)] for _, _, named, raw in told}
    assert list(names.values()) == [["temp.min", "temp.mean", "temp.max", "temp.std", "temp.score"], ["vib"],
                                    ["temp.alarm", "temp.high"]]
    for one in batches(board):
        assert one["period_ms"] == {"temp.min": 200, "vib": 100, "temp.alarm": 1000}[names[one["schema"]][0]]
    rows = [row for one in batches(board) if len(names[one["schema"]]) == 5 for row in zip(*one["columns"][:3], strict=True)]
    assert any(row[0] is not None for row in rows)
    assert all(2700 <= low <= mean <= high <= 3300 for low, mean, high in rows if low is not None)


def test_key_survives_a_power_cut_and_is_shown_again(make_board):
    board = make_board()
    board.power_on()
    first = board.console("BIRTH")
    board.power_off()
    board.power_on()
    assert board.console("BIRTH") == first


@pytest.mark.slow
def test_power_cuts_at_any_instant_lose_no_committed_reading(make_board):
    board = make_board()
    chance = random.Random(10)
    kept: dict[int, bytes] = {}
    for _ in range(12):
        board.power_on()
        wanted = board.ring().next_seq + chance.randrange(1, 5)
        until(lambda wanted=wanted: board.ring().next_seq >= wanted)
        board.power_off()
        now = {seq: data for _, seq, data in board.ring().records(0)}
        assert {seq: now.get(seq) for seq in kept} == kept
        kept = now
    boots = [one["boot"] for one in batches(board)]
    assert boots == sorted(boots)
    assert boots[-1] == 12
    assert board.ring().skipped <= 12   # at most the record under way at each cut


def test_watchdog_pulse_is_felt_on_the_bench(make_board):
    board = make_board()
    board.power_on()
    pulse = board.bench / f"{board.device}.wdt"
    until(pulse.exists)
    first = pulse.stat().st_mtime_ns
    until(lambda: pulse.stat().st_mtime_ns > first)
    assert int(pulse.read_text()) >= 10_000


def test_nonsense_in_the_configuration_resets_with_a_reason_and_never_hangs(make_board):
    board = make_board(period_ms=0)
    board.power_on()
    assert board.process.wait(20) == RESET
    assert CallerError.__name__.encode() in board.files()["/boot.json"]


def test_image_without_a_file_system_is_told_apart_from_a_crash(make_board):
    board = make_board()
    board.flash.write_bytes(b"\xff" * board.flash.stat().st_size)
    board.power_on()
    assert board.process.wait(20) == 3


def test_board_that_the_line_has_not_finished_is_told_apart_from_a_crash(make_board):
    board = make_board()
    files = board.files()
    del files["/state/site.json"]
    board.flash.write_bytes(build_flash(CSV, files))
    board.power_on()
    assert board.process.wait(20) == 3
    until(lambda: not board.lines.empty())
    assert board.lines.get().startswith("LINE no site.json")
    assert "/boot.json" not in board.files()
