"""A lot's figures: a board counts once, and what it went through is not glossed over."""

import pytest

from provisioning.rules.tally import stories, tally


def ended(mac, step, event, to, took_s=1.0, **more):
    return {"what": "ended", "mac": mac, "step": step, "event": event, "to": to, "took_s": took_s, "at": 5, **more}


def plugged(mac):
    return {"what": "plugged", "mac": mac, "device": f"hall-{mac}", "port": "tty1", "at": 1}


GOOD = [plugged("a"), ended("a", "flash", "ok", "test"), ended("a", "label", "ok", "done", memory={"key": "04", "recorded": True})]


def test_a_good_board_is_first_pass():
    found = stories(GOOD)["a"]
    assert (found.state, found.seconds, found.key, found.recorded, found.device) == ("done", 2.0, "04", True, "hall-a")
    assert tally([found]).first_pass_yield == 1


def test_a_board_that_failed_once_counts_as_done_and_not_as_first_pass():
    failed = ended("b", "test", "failed", "test", code="line.test", message="networks: got 0")
    found = tally(stories([*GOOD, plugged("b"), failed, ended("b", "label", "ok", "done")]).values())
    assert (found.boards, found.done, found.yielded, found.first_pass_yield) == (2, 2, 1, 0.5)
    assert found.faults == {"test": 1}
    assert found.seconds == pytest.approx(2.0)


def test_a_pulled_cable_is_no_fault_of_a_step_but_the_board_is_not_first_pass():
    found = stories([plugged("c"), ended("c", "flash", "gone", "empty"), *[{**entry, "mac": "c"} for entry in GOOD]])["c"]
    assert (found.pluggings, found.is_first_pass, found.faults) == (2, False, {})


def test_boards_that_are_held_are_no_loss_and_open_ones_are_not_counted():
    held = [plugged("d"), ended("d", "record", "closed", "hold"), plugged("e")]
    found = tally(stories([*GOOD, *held, ended("f", "detect", "refused", "fault", code="board.chip")]).values())
    assert (found.boards, found.done, found.held, found.faulty, found.yielded) == (4, 1, 1, 1, 0.5)


def test_a_done_board_that_comes_again_stays_done_and_an_empty_lot_has_no_yield():
    assert stories([*GOOD, plugged("a")])["a"].state == "done"
    assert tally([]).yielded is None
    assert stories([{"what": "detected", "mac": "", "event": "failed"}]) == {}
