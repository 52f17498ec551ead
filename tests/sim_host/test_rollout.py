"""Simulated rollouts: what a bad release reaches, what a good one must not meet, and that the figures are what happened."""

import json
import math

import pytest
from typer.testing import CliRunner

from host.cli.root import app
from host.sim import rollout_runs
from host.sim.rollout import simulate
from host.sim.rollout_fleet import Scenario

SMALL = Scenario(devices=2_000, days=14, seed=1)


@pytest.fixture(scope="module")
def good():
    return simulate(SMALL)


def test_a_good_release_reaches_everybody_who_is_awake(good) -> None:
    assert good["state"] == "done"
    assert good["confirmed_pct"] > 98
    assert not good["false_alarm"]
    assert (good["halted_at_stage"], good["held_at_stage"], good["days_to_halt"]) == (None, None, None)
    assert 9 < good["days_to_done"] < 14   # soaks of 1, 2, 3 and 3 days


def test_no_stage_is_ever_exceeded_or_cut_short(good) -> None:
    awake = good["devices"]
    for stage, soak_days in zip(good["stages"], (1, 2, 3, 3), strict=True):
        assert stage["offered"] <= math.floor(awake * stage["pct"] / 100)
        assert stage["closed_day"] - stage["opened_day"] >= soak_days - 0.001   # both are rounded
        assert sorted(stage["curve"]) == stage["curve"] or stage["lost"]


def test_the_same_seed_gives_the_same_rollout_and_another_one_another(good) -> None:
    assert simulate(SMALL) == good
    assert simulate(Scenario(2_000, 14, 2))["stages"] != good["stages"]


def test_a_release_that_fails_everywhere_stops_at_a_few_devices() -> None:
    found = simulate(Scenario(20_000, 14, 1, defect_pct=100))
    assert found["state"] == "halted"
    assert found["halted_at_stage"] == 1
    assert found["days_to_halt"] < 0.1
    assert found["exposed_pct"] <= 1
    assert found["reason"].startswith("failures: ")


def test_two_in_a_hundred_stop_in_the_first_stage_of_a_large_fleet() -> None:
    found = simulate(Scenario(100_000, 14, 1, defect_pct=2))
    assert found["halted_at_stage"] == 1
    assert found["exposed_pct"] <= 1
    assert found["failed"] < 20
    assert not found["false_alarm"]   # there is something wrong with it


def test_days_that_are_too_few_are_no_finished_rollout() -> None:
    found = simulate(Scenario(2_000, 2, 1))
    assert (found["state"], found["held_at_stage"], found["days_to_done"]) == ("running", 5, None)
    assert found["stages"][-1]["closed_day"] is None


def test_a_crowd_is_put_off_and_does_not_come_back_as_one() -> None:
    found = simulate(Scenario(12_000, 7, 1))
    mean = 12_000 * 0.9 / found["period_s"]
    assert found["peak_downloads_per_s"] <= 2 * 20   # the tokens of a second, and those of the next
    assert found["peak_checkins_per_s"] < 4 * mean   # all of them come once in a while; the crowd would be a hundred times that


def test_many_runs_are_counted() -> None:
    told = []
    found = rollout_runs.measure(Scenario(300, 14, 1), 3, 2, lambda: told.append(1))
    assert len(told) == found["runs"] == 3
    assert found["false_alarms"] == found["halted"] == 0
    assert found["done"] + found["held"] == 3


@pytest.mark.parametrize(("successes", "trials", "low", "high"), [
    (0, 1_000, 0.0, 0.003682), (1_000, 1_000, 0.996318, 1.0), (5, 100, 0.016432, 0.112835), (1, 2, 0.012579, 0.987421)])
def test_the_interval_is_the_exact_one(successes: int, trials: int, low: float, high: float) -> None:
    assert rollout_runs.interval(successes, trials) == pytest.approx((low, high), abs=1e-6)


def invoke(*args: str):
    return CliRunner().invoke(app, ["sim", "rollout", *args], catch_exceptions=False)


def test_the_report_has_what_others_read_from_it() -> None:
    found = json.loads(invoke("--devices", "500", "--days", "1.5", "--seed", "4", "--defect-pct", "50", "--json").stdout)
    asked_for = {"exposed_pct", "halted_at_stage", "days_to_done", "peak_checkins_per_s"}
    assert asked_for | {"peak_downloads_per_s", "false_alarm", "failed"} <= set(found)
    assert found["state"] == "halted" or found["held_at_stage"] == 1
    many = json.loads(invoke("--devices", "200", "--days", "1", "--runs", "2", "--json").stdout)
    assert {"runs", "halted_pct", "halted_between_pct", "false_alarms", "held", "exposed_pct", "exposed_over_2"} <= set(many)


def test_the_tables_are_for_people() -> None:
    shown = invoke("--devices", "500", "--days", "1.5").output
    assert "nothing wrong with the release" in shown
    assert "% of the fleet was offered it" in " ".join(shown.split())
    assert "held in a stage before the last" in invoke("--devices", "200", "--days", "1", "--runs", "2").output
