"""Slots that rot or never could run, real bytecode on the real interpreter: the board comes up with what works and says why."""

import json
import random
from contextlib import suppress

import pytest

import choose
from node.wire import bundle as format_of
from provisioning.line.image import build_flash
from tests.firmware.boards import CSV, RESET

FLIPS = 6
MAX_BOOTS = 2 * choose.MAX_CRASHES + 2
NEW = {"release": "1.1.0", "counter": 2, "manifest": "ab" * 32, "model": "hall", "mpy": 6}
START_S = 20   # until a board that works says BIRTH; it takes about 1


def put(board, held, artifact, **record):
    """Write a release into the slot `held`, as if it had been installed, and the boot record."""
    files = board.files()
    files[f"/slots/{held}/bundle"] = artifact
    files[f"/slots/{held}/release.json"] = json.dumps(NEW).encode()
    files["/boot.json"] = json.dumps({"slot": held, "trial": None, "tries": 0, "bad": None, "exit": ""} | record).encode()
    board.flash.write_bytes(build_flash(CSV, files))


def comes_up(board):
    """Boot until the agent lives; the number of boots. Whatever ends the process is followed by a start, as by a power supply."""
    for boots in range(1, MAX_BOOTS + 1):
        board.power_on()
        for _ in range(START_S * 5):
            ended = board.process.poll() is not None
            with suppress(AssertionError):
                board.console("BIRTH", 0.2)
                return boots
            if ended:
                break
        code = board.power_off()
        if code != RESET:   # the interpreter itself broke, or hung until its watchdog bit
            (board.bench / f"{board.mac}.rtc").write_text("panic" if ended else "watchdog")
    raise AssertionError(f"{MAX_BOOTS} boots led nowhere: {board.files()['/boot.json']!r}")


def record(board):
    return json.loads(board.files()["/boot.json"])


@pytest.mark.parametrize("seed", range(FLIPS))
def test_bit_flip_in_the_code_of_the_running_slot_leaves_a_board_that_comes_up(make_board, bundle, seed):
    board = make_board()
    artifact = bytearray(format_of.build(bundle))
    chance = random.Random(seed)
    _, at, size = next(row for row in format_of.index(bytes(artifact)) if row[0] == "device.mpy")
    artifact[chance.randrange(at, at + size)] ^= 1 << chance.randrange(8)
    put(board, "a", bytes(artifact))
    assert comes_up(board) <= choose.MAX_CRASHES + 1


def test_code_that_was_cut_short_or_wiped_gives_way_to_the_factory_and_the_reason_is_kept(make_board, bundle):
    board = make_board()
    artifact = format_of.build(bundle)
    _, at, size = next(row for row in format_of.index(artifact) if row[0] == "device.mpy")
    put(board, "a", artifact[:at] + b"\xff" * size + artifact[at + size:])
    assert comes_up(board) == choose.MAX_CRASHES + 1
    assert (record(board)["tries"], record(board)["exit"]) == (choose.MAX_CRASHES, "ValueError")


def test_bundle_that_lost_its_end_is_not_run_at_all(make_board, bundle):
    board = make_board()
    put(board, "a", format_of.build(bundle)[:-1])
    assert comes_up(board) == 1
    assert record(board)["tries"] == 0


def test_trial_of_code_for_another_interpreter_ends_with_its_reason(make_board, bundle):
    """The manifest says .mpy 6, and lies."""
    board = make_board()
    other = {name: raw[:1] + b"\x05" + raw[2:] for name, raw in bundle.items()}
    put(board, "a", format_of.build(other), slot="factory", trial="a")
    assert comes_up(board) == choose.MAX_TRIES + 1
    assert record(board)["bad"] == {"slot": "a", "reason": "ValueError"}


def test_both_slots_rotten_still_leave_the_factory(make_board, bundle):
    board = make_board()
    artifact = format_of.build(bundle)
    rotten = artifact.replace(b"M\x06", b"M\x05")
    put(board, "b", rotten)
    put(board, "a", rotten)
    assert comes_up(board) == 2 * choose.MAX_CRASHES + 1
    assert record(board)["slot"] == "a"
