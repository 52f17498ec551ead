"""No broken promise passes as kept."""

from dataclasses import replace

import pytest

from host.sim.audit import DeviceTruth, Fetched, Tally
from host.sim.verdict import Facts, figures, in_words, promises

GOOD = DeviceTruth("hall-0242ac110001", 10, {}, "1.1.0", False, frozenset({"good"}), frozenset())
CANARY = replace(GOOD, device="hall-0242ac110002", hashes=frozenset({"good", "bad"}), config="aa")
TALLY = Tally(20, 20, 0, 0, 20)
FETCHED = Fetched(100_000, {GOOD.device: 1000, CANARY.device: 900}, frozenset({GOOD.device, CANARY.device}))
WHOLE = Fetched(100_000, dict.fromkeys(FETCHED.given, 100_000), frozenset())
FACTS = Facts("1.1.0", "good", "1.2.0", "bad", True, GOOD.device, 10.1, 10.0, 16, 99.0, FETCHED,
              tuned="aa", tuners=frozenset({CANARY.device}), blind=GOOD.device)


def broken(truths: list[DeviceTruth], tally: Tally = TALLY, facts: Facts = FACTS) -> list[str]:
    return [promise.text for promise in promises(figures(truths, tally, facts), tally, facts) if not promise.kept]


def test_demo_in_which_all_went_well_keeps_every_promise() -> None:
    assert broken([GOOD, CANARY]) == []
    assert figures([GOOD, CANARY], TALLY, FACTS) == {
        "devices": 2, "readings_committed": 20, "readings_stored": 20, "lost": 0, "duplicates_stored": 0, "on_1_1_0": 2,
        "by_delta": 2, "fetched_bytes": 1900, "bundle_bytes": 100_000,
        "got_bad_release": 1, "bad_release_halted": True, "power_cut_recovered": True, "broker_outage_s": 10,
        "config_kept": 1, "config_given_up": True, "seconds": 99.0}


@pytest.mark.parametrize(
    ("truths", "tally", "facts", "words"),
    [
        ([GOOD, CANARY], replace(TALLY, lost=1), FACTS, "lost"),
        ([GOOD, CANARY], replace(TALLY, readings_stored=21), FACTS, "lost"),
        ([GOOD, CANARY], Tally(0, 0, 0, 0, 0), FACTS, "lost"),
        ([GOOD, CANARY], replace(TALLY, duplicates_stored=1), FACTS, "stored once"),
        ([GOOD, CANARY], replace(TALLY, bytes_stored=2000), FACTS, "fraction"),
        ([GOOD, replace(CANARY, release="1.0.0")], TALLY, FACTS, "reaches everybody"),
        ([GOOD, replace(CANARY, trial=True)], TALLY, FACTS, "reaches everybody"),
        ([GOOD, replace(CANARY, hashes=frozenset({"bad"}))], TALLY, FACTS, "reaches everybody"),   # a label without its code
        ([GOOD, CANARY], TALLY, replace(FACTS, fetched=WHOLE), "not fetched"),
        ([GOOD, CANARY], TALLY, replace(FACTS, fetched=replace(FETCHED, by_delta=frozenset())), "not fetched"),
        ([GOOD, CANARY], TALLY, replace(FACTS, fetched=replace(WHOLE, by_delta=FETCHED.by_delta)), "not fetched"),   # for nothing
        ([replace(GOOD, trial=True), replace(CANARY, release="")], TALLY, FACTS, "not fetched"),   # a delta that led nowhere
        ([replace(GOOD, release=""), CANARY], TALLY, FACTS, "power cut"),
        ([GOOD, CANARY], TALLY, replace(FACTS, victim=""), "power cut"),
        ([GOOD, CANARY], TALLY, replace(FACTS, outage_s=3.0), "outage"),
        ([GOOD, GOOD], TALLY, FACTS, "canary"),
        ([CANARY, CANARY], TALLY, FACTS, "canary"),
        ([GOOD, CANARY], TALLY, replace(FACTS, halted=False), "halts"),
        ([GOOD, replace(CANARY, config="")], TALLY, FACTS, "kept if it is good"),
        ([GOOD, replace(CANARY, config_trial=True)], TALLY, FACTS, "kept if it is good"),
        ([replace(GOOD, config="bb"), CANARY], TALLY, FACTS, "measures nothing"),
        ([replace(GOOD, config_trial=True), CANARY], TALLY, FACTS, "measures nothing"),
    ],
)
def test_broken_promise_is_told(truths: list[DeviceTruth], tally: Tally, facts: Facts, words: str) -> None:
    assert any(words in text for text in broken(truths, tally, facts))


def test_what_an_update_costs_is_told_in_a_line() -> None:
    assert in_words(FETCHED) == "2 devices fetched 950 bytes each instead of 100,000, 2 by a delta alone"
    assert in_words(Fetched(100_000, {}, frozenset())) == "0 devices fetched 0 bytes each instead of 100,000, 0 by a delta alone"
