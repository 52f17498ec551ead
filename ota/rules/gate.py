"""Whether a stage is healthy enough to go on: pass, fail or unknown. Unknown never passes, and a single fail halts.

Two kinds of evidence:

- *failures*: devices that came back from the release or were lost after it was offered. Judged against an allowed share, by
  the exact one-sided binomial test. More failures than the share allows but too few to be sure is unknown: a person decides.
- *comparisons*: crashes, connection drops and resets per device-second of up-time, against the devices that run anything else
  in the same stretch of time, so that an outage that hits everyone tells nothing against the release. Given the sum of two
  Poisson counts, each is binomial (Przyborowski and Wilenski 1940), so this is an exact test too.

The test is repeated at every tick, which makes false alarms likelier than its significance says. A false alarm halts a healthy
rollout until an operator resumes it; that is the side to err on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ota.rules.values import Counts, Exposure, Policy

EXPOSURE_SHARE = 0.5   # up-time must cover so much of needed devices x soak; the rest is lag between two check-ins
COMPARED: dict[str, tuple[str, ...]] = {   # check -> the metrics whose sum it compares
    "crashes": ("app_crashes", "task_restarts"),
    "drops": ("drops",),
    "resets": ("resets",),
}


class Word(StrEnum):
    """Outcome of a check and of the whole gate."""

    PASS = "pass"  # noqa: S105  the outcome of a test
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One test, with the numbers it was decided from."""

    name: str
    word: Word
    reason: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """The gate's word, the reason that decided it, and every check."""

    word: Word
    reason: str
    checks: tuple[Check, ...] = ()


def binomial_tail(successes: int, trials: int, share: float) -> float:
    """Tell P(X >= successes) for X binomial(trials, share), exactly; 1.0 when successes do not exceed the expectation.

    Cutting off at the expectation keeps the sum short (the terms fall), and nothing there is significant anyway.
    """
    if not 0 <= successes <= trials or not 0.0 <= share <= 1.0:
        raise ValueError(f"binomial_tail: got {successes} of {trials} at {share}")
    if successes <= trials * share:
        return 1.0
    if share == 0.0:
        return 0.0
    log_term = (math.lgamma(trials + 1) - math.lgamma(successes + 1) - math.lgamma(trials - successes + 1)
                + successes * math.log(share) + (trials - successes) * math.log1p(-share))
    term = math.exp(log_term)
    total = term
    for k in range(successes, trials):
        term *= (trials - k) / (k + 1) * share / (1 - share)
        total += term
        if term < total * 1e-12:
            break
    return min(1.0, total)


@dataclass(frozen=True)
class Evidence:
    """What a stage is judged by.

    Attributes:
        needed: healthy devices that the stage must have.
        soak_s: the stage's soak.
        stage: what devices on the release went through since the stage opened.
        rest: the same for the devices on everything else, over the same time.
        rest_devices: active devices that run something else; with none left there is nothing to compare with.
    """

    counts: Counts
    needed: int
    soak_s: float
    stage: Exposure
    rest: Exposure
    rest_devices: int


def judge(policy: Policy, evidence: Evidence) -> Verdict:
    """Judge a stage: one failed check fails it, else one unknown makes it unknown."""
    checks = (_failures(policy, evidence), *(_comparison(policy, evidence, name) for name in COMPARED))
    for word in (Word.FAIL, Word.UNKNOWN):
        decisive = [check for check in checks if check.word is word]
        if decisive:
            return Verdict(word, f"{decisive[0].name}: {decisive[0].reason}", checks)
    return Verdict(Word.PASS, f"devices healthy: {evidence.counts.soaked}; all checks passed", checks)


def _failures(policy: Policy, evidence: Evidence) -> Check:
    counts = evidence.counts
    bad = counts.failed + counts.lost
    settled = bad + counts.confirmed
    allowed = policy.max_failure_pct / 100
    chance = binomial_tail(bad, settled, allowed)
    numbers = {"failed": counts.failed, "lost": counts.lost, "confirmed": counts.confirmed, "under_way": counts.open,
               "soaked": counts.soaked, "needed": evidence.needed, "allowed_pct": policy.max_failure_pct,
               "p": chance, "alpha": policy.failure_alpha}

    def check(word: Word, reason: str) -> Check:
        return Check("failures", word, reason, numbers)

    if bad and chance < policy.failure_alpha:
        return check(Word.FAIL, f"{counts.failed} of {settled} devices came back and {counts.lost} were lost; "
                                f"{policy.max_failure_pct:g} % allowed (p = {chance:.2g})")
    if bad > settled * allowed:
        return check(Word.UNKNOWN, f"{bad} of {settled} is more than {policy.max_failure_pct:g} % but too few to be sure")
    if counts.soaked < evidence.needed:
        return check(Word.UNKNOWN, f"{counts.soaked} of {evidence.needed} devices have soaked")
    return check(Word.PASS, f"{bad} of {settled} devices failed or were lost")


def _comparison(policy: Policy, evidence: Evidence, name: str) -> Check:
    stage, rest = evidence.stage, evidence.rest
    here, there = _events(stage, name), _events(rest, name)
    wanted_s = EXPOSURE_SHARE * evidence.needed * evidence.soak_s
    numbers: dict[str, float] = {
        "events": here, "device_s": stage.seconds, "wanted_s": wanted_s, "rest_events": there, "rest_device_s": rest.seconds,
        "rest_devices": evidence.rest_devices, "ratio": policy.worse_ratio, "alpha": policy.worse_alpha,
    }

    def check(word: Word, reason: str) -> Check:
        return Check(name, word, reason, numbers)

    if evidence.rest_devices == 0:
        return check(Word.PASS, "nothing left to compare with")
    if stage.seconds > 0 and rest.seconds > 0:
        weighted = policy.worse_ratio * stage.seconds
        chance = numbers["p"] = binomial_tail(here, here + there, weighted / (weighted + rest.seconds))
        if here >= policy.min_events and chance < policy.worse_alpha:
            return check(Word.FAIL, f"{here} in {stage.seconds:.0f} device-seconds, the rest had {there} in {rest.seconds:.0f} "
                                    f"(p = {chance:.2g})")
    if stage.seconds <= 0 or stage.seconds < wanted_s:
        return check(Word.UNKNOWN, f"{stage.seconds:.0f} device-seconds seen, {wanted_s:.0f} needed")
    if rest.seconds <= 0:
        return check(Word.UNKNOWN, f"the other {evidence.rest_devices} devices have not reported since the stage opened")
    return check(Word.PASS, f"{here} in {stage.seconds:.0f} device-seconds, the rest had {there} in {rest.seconds:.0f}")


def _events(exposure: Exposure, name: str) -> int:
    return sum(exposure.events.get(metric, 0) for metric in COMPARED[name])
