"""`tenfold rollout watch`: it must end when there is nothing more to wait for, and not before."""

import io

import pytest
from rich.console import Console

from host.cli import watching
from ota.client import UNREACHABLE, OtaError

CURRENT = {"pct": 1, "state": "current", "eligible": 2, "offered": 2, "confirmed": 1, "soaked": 0, "failed": 1, "lost": 0,
           "soak_remaining_s": 7_300.0, "gate": {"verdict": "unknown", "reason": "confirms: 0 of 2 devices have soaked"}}
WAITING = {"pct": 100, "state": "waiting", "eligible": 200, "soak_remaining_s": None}


def rollout(state="running", reason="start by op.release"):
    return {"rollout": "r1", "release": "1.1.0", "models": ["hall"], "state": state, "reason": reason, "population": 200,
            "stage": 0, "stages": [CURRENT, WAITING]}


def watched(*answers):
    """What was seen, and how long it took; an answer may be an exception."""
    left, clock = list(answers), [0.0]

    def ask():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(seconds):
        clock[0] += seconds

    return [seen["state"] for seen in watching.looks(ask, wait=wait, now_s=lambda: clock[0])], clock[0], left


@pytest.mark.parametrize("end", ["done", "halted", "aborted"])
def test_watching_never_ends(end):
    seen, _, left = watched(rollout("draft"), rollout(), rollout("paused"), rollout(), rollout(end), rollout(end))
    assert seen == ["draft", "running", "paused", "running", end]
    assert len(left) == 1


def test_server_that_is_away_for_a_moment_ends_the_watching():
    away = OtaError(0, UNREACHABLE, "connection refused")
    assert watched(rollout(), away, away, rollout("done"))[0] == ["running", "done"]


def test_server_that_stays_away_is_waited_for_for_ever():
    with pytest.raises(OtaError, match="connection refused"):
        watched(rollout(), *[OtaError(0, UNREACHABLE, "connection refused")] * 100)


def test_refusal_is_asked_for_again():
    with pytest.raises(OtaError, match="is not an operator"):
        watched(OtaError(403, "tls.operator", "hall-1 is not an operator"), rollout("done"))


def test_stage_that_has_not_begun_breaks_the_picture():
    console = Console(file=io.StringIO(), width=200)
    console.print(watching.screen(rollout()))
    shown = console.file.getvalue()
    assert "1.1.0  hall  running  200 devices" in shown
    assert "not decided yet  confirms: 0 of 2 devices have soaked  soaks for 2 h more" in shown
    assert "100 %" in shown
    assert watching.line(rollout("halted", "failures")) == "halted  1 %: 1 of 2 confirmed, 1 failed, 0 lost  failures"
