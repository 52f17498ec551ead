"""Whether a stage is healthy enough to go on: pass, fail or unknown. Unknown never passes, and a single fail halts.

Three kinds of evidence:

- *shares*: devices that came back from the release (`failures`) or fell silent after it was offered (`lost`). Each against an
  allowed share; of the lost ones, as many more are allowed as fell silent among the rest of the fleet in the same time.
- *comparisons*: `crashes`, connection `drops` and `resets` per device-second of up-time, against the devices that run anything else
  in the same stretch of time, so that an outage that hits everyone tells nothing against the release.
- *conditions*, which never halt but hold: enough devices have confirmed and soaked (`confirms`), are heard as often as the rest
  (`online`), send no more than a multiple of what the rest sends (`traffic`), and drop their connection no more often than a
  multiple of the rest by the word of a monitor that watches the broker (`links`), which sees what devices do not tell.

Shares and comparisons halt by evidence that may be looked at at every tick (`sequential`): the chance that a release that is
within what is allowed is ever halted is at most `failure_alpha` for the shares and `worse_alpha` for the comparisons, over all
looks, checks and stages together; an operator's resume begins anew. What is worse than allowed but not surely so is unknown: it
holds until more is known, or a person decides.

Reads no clock and keeps nothing: what the comparisons must know of earlier looks is a value (`Gathered`) that the caller keeps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from ota.rules import sequential
from ota.rules.values import Counts, Exposure, Gathered, Policy, Presence

EXPOSURE_SHARE = 0.5   # up-time must cover so much of needed devices x soak; the rest is lag between two check-ins
SHARE_CHECKS = 2       # failures and lost: each may use so manieth a part of failure_alpha
SPREADS = 3.0          # standard deviations of a stage's mean that are put down to which devices it is made of
HOLDS = 0.05           # comparisons hold at evidence that would be this significant if one check were looked at alone
MAX_ALLOWED = 0.99     # of devices lost; more says nothing
MAX_LOG = 690.0        # of an e-value that is shown: its exponential fits a float
COMPARED: dict[str, tuple[str, ...]] = {   # check -> the metrics whose sum it compares
    "crashes": ("app_crashes", "task_restarts"),
    "drops": ("drops",),
    "resets": ("resets",),
}
TRAFFIC = ("tx_bytes", "rx_bytes")
LINK_ONLINE_S, LINK_DROPS = "link_online_s", "link_drops"   # a monitor's sums, beside those of check-ins


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


@dataclass(frozen=True)
class Evidence:
    """What a stage is judged by.

    Attributes:
        needed: healthy devices that the stage must have.
        soak_s: the stage's soak.
        presence: how many devices are where, and heard.
        stage: what devices on the release went through since the stage opened.
        rest: the same for the devices on everything else, over the same time.
        logs: what the comparisons have gathered by now (`Gathered.logs`).
        watched: a monitor tells of links; its sums stand in the events of `stage` and `rest`.
    """

    counts: Counts
    needed: int
    soak_s: float
    presence: Presence
    stage: Exposure
    rest: Exposure
    logs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    watched: bool = False


def gather(policy: Policy, before: Gathered, stage: Exposure, rest: Exposure, devices: int, now_s: float) -> Gathered:
    """Add a look to what the comparisons know.

    Args:
        stage, rest: running sums, from the same beginning as those of `before`.
        devices: that run the release.

    Returns:
        `before` itself while one of the groups has not been heard since: events and up-time then wait for the next look.
    """
    here_s, there_s = stage.seconds - before.stage.seconds, rest.seconds - before.rest.seconds
    if here_s <= 0 or there_s <= 0:
        return before
    ratio = allowed_ratio(policy, devices)
    logs = {
        name: sequential.add_look(
            before.logs.get(name, sequential.NOTHING), _sum(stage, metrics) - _sum(before.stage, metrics), here_s,
            _sum(rest, metrics) - _sum(before.rest, metrics), there_s, ratio)
        for name, metrics in COMPARED.items()
    }
    return Gathered(now_s, stage, rest, logs)


def allowed_ratio(policy: Policy, devices: int) -> float:
    """Tell how many times the rest's rate a stage of so many devices may have.

    Devices differ: some drop their connection twenty times as often as the others, and a stage of one may be just such a device.
    The mean of n of them has a standard deviation of spread / sqrt(n) of the fleet's mean.
    """
    return policy.worse_ratio * (1 + SPREADS * policy.spread / math.sqrt(max(1, devices)))


def judge(policy: Policy, evidence: Evidence) -> Verdict:
    """Judge a stage: one failed check fails it, else one unknown makes it unknown."""
    checks = (
        _failures(policy, evidence), _lost(policy, evidence), _confirms(policy, evidence), _online(policy, evidence),
        *(_comparison(policy, evidence, name) for name in COMPARED), _traffic(policy, evidence),
        *([_links(policy, evidence)] if evidence.watched else []))
    for word in (Word.FAIL, Word.UNKNOWN):
        decisive = [check for check in checks if check.word is word]
        if decisive:
            return Verdict(word, f"{decisive[0].name}: {decisive[0].reason}", checks)
    return Verdict(Word.PASS, f"devices healthy: {evidence.counts.soaked}; all checks passed", checks)


def _failures(policy: Policy, evidence: Evidence) -> Check:
    allowed = policy.max_failure_pct / 100
    return _share("failures", "came back", evidence.counts.failed, evidence.counts, allowed, policy)


def _lost(policy: Policy, evidence: Evidence) -> Check:
    """Silence that also befell devices that were never touched is no fault of the release."""
    presence = evidence.presence
    silent = presence.rest_silent / presence.fleet if presence.fleet else 0.0
    allowed = min(MAX_ALLOWED, policy.max_failure_pct / 100 + silent)
    return _share("lost", "fell silent", evidence.counts.lost, evidence.counts, allowed, policy)


def _share(name: str, what: str, bad: int, counts: Counts, allowed: float, policy: Policy) -> Check:
    touched, settled = counts.touched, counts.failed + counts.lost + counts.confirmed
    alpha = policy.failure_alpha / SHARE_CHECKS
    log_e = sequential.log_share(bad, touched, allowed)
    pct, e = 100 * allowed, _shown(log_e)
    numbers = {"bad": bad, "touched": touched, "settled": settled, "allowed_pct": pct, "e": e, "halts_at": 1 / alpha}
    if bad and sequential.reaches(log_e, alpha):
        return Check(name, Word.FAIL, f"{bad} of {touched} devices {what}; {pct:.3g} % allowed (e = {e:.3g})", numbers)
    if bad > settled * allowed:
        return Check(name, Word.UNKNOWN, f"{bad} of {settled} {what}: more than {pct:.3g} % but too few to be sure", numbers)
    return Check(name, Word.PASS, f"{bad} of {settled} devices {what}", numbers)


def _confirms(policy: Policy, evidence: Evidence) -> Check:
    counts, pct = evidence.counts, policy.min_confirm_pct
    numbers = {"confirmed": counts.confirmed, "touched": counts.touched, "under_way": counts.open, "soaked": counts.soaked,
               "needed": evidence.needed, "wanted_pct": pct}
    if counts.confirmed * 100 < counts.touched * pct:
        return Check("confirms", Word.UNKNOWN, f"{counts.confirmed} of {counts.touched} devices have confirmed, {pct:g} % wanted",
                     numbers)
    if counts.soaked < evidence.needed:
        return Check("confirms", Word.UNKNOWN, f"{counts.soaked} of {evidence.needed} devices have soaked", numbers)
    return Check("confirms", Word.PASS, f"{counts.confirmed} of {counts.touched} devices have confirmed", numbers)


def _online(policy: Policy, evidence: Evidence) -> Check:
    """Compare how many have not been heard for a while; the same devices are seen at every look, so this never halts."""
    seen = evidence.presence
    missing, rest_missing = seen.here - seen.here_heard, seen.rest - seen.rest_heard
    if seen.rest < seen.here:
        return Check("online", Word.PASS, "too few left to compare with", {"missing": missing, "devices": seen.here})
    allowed = policy.max_failure_pct / 100 + allowed_ratio(policy, seen.here) * rest_missing / max(1, seen.rest)
    numbers = {"missing": missing, "devices": seen.here, "rest_missing": rest_missing, "rest_devices": seen.rest,
               "allowed_pct": 100 * allowed}
    reason = f"{missing} of {seen.here} devices not heard lately, {rest_missing} of {seen.rest} of the rest"
    return Check("online", Word.PASS if missing <= seen.here * allowed else Word.UNKNOWN, reason, numbers)


def _comparison(policy: Policy, evidence: Evidence, name: str) -> Check:
    here, there = _sum(evidence.stage, COMPARED[name]), _sum(evidence.rest, COMPARED[name])
    ratio = allowed_ratio(policy, evidence.presence.here)
    alpha = policy.worse_alpha / (len(COMPARED) * len(policy.stages))
    log_e = sequential.log_mixture(evidence.logs.get(name, sequential.NOTHING))
    numbers = _rates(evidence, ratio, here, there) | {"e": _shown(log_e), "halts_at": 1 / alpha}
    reason = _told(evidence, here, there)
    if here >= policy.min_events and sequential.reaches(log_e, alpha):
        return Check(name, Word.FAIL, f"{reason} (e = {_shown(log_e):.3g})", numbers)
    waiting = _not_yet(evidence, name, numbers)
    if waiting is not None:
        return waiting
    if here >= policy.min_events and sequential.reaches(log_e, HOLDS):
        return Check(name, Word.UNKNOWN, f"{reason}: seems more than {ratio:.3g} times as often but too few to be sure", numbers)
    return Check(name, Word.PASS, reason, numbers)


def _traffic(policy: Policy, evidence: Evidence) -> Check:
    """Compare bytes. They are no independent events, and a device that was away sends what it kept: this holds, never halts."""
    here, there = _sum(evidence.stage, TRAFFIC), _sum(evidence.rest, TRAFFIC)
    ratio = allowed_ratio(policy, evidence.presence.here)
    numbers = _rates(evidence, ratio, here, there)
    waiting = _not_yet(evidence, "traffic", numbers)
    if waiting is not None:
        return waiting
    reason = _told(evidence, here, there)
    if _exceeds(evidence, ratio, here, there):
        return Check("traffic", Word.UNKNOWN, f"{reason}: more than {ratio:.3g} times as much", numbers)
    return Check("traffic", Word.PASS, reason, numbers)


def _links(policy: Policy, evidence: Evidence) -> Check:
    """Compare drops as a monitor saw them. Its silence is no health: until it has watched long enough, this holds.

    It never halts: devices count the same drops (`drops`), and those that fall silent halt by `lost`.
    """
    seen = replace(evidence, stage=_watched(evidence.stage), rest=_watched(evidence.rest))
    here, there = _sum(seen.stage, (LINK_DROPS,)), _sum(seen.rest, (LINK_DROPS,))
    ratio = allowed_ratio(policy, evidence.presence.here)
    numbers = _rates(seen, ratio, here, there)
    waiting = _not_yet(seen, "links", numbers)
    if waiting is not None:
        return waiting
    reason = _told(seen, here, there)
    if here >= policy.min_events and _exceeds(seen, ratio, here, there):
        return Check("links", Word.UNKNOWN, f"{reason}: more than {ratio:.3g} times as often", numbers)
    return Check("links", Word.PASS, reason, numbers)


def _watched(exposure: Exposure) -> Exposure:
    """The same group as the monitor saw it: by time online, not by up-time."""
    return Exposure(exposure.events.get(LINK_ONLINE_S, 0), exposure.events)


def _not_yet(evidence: Evidence, name: str, numbers: Mapping[str, float]) -> Check | None:
    """A check that passes for want of anything to compare with, or is unknown for want of up-time."""
    seconds, wanted_s, rest = evidence.stage.seconds, numbers["wanted_s"], evidence.presence.rest
    if rest == 0:
        return Check(name, Word.PASS, "nothing left to compare with", numbers)
    if seconds <= 0 or seconds < wanted_s:
        return Check(name, Word.UNKNOWN, f"{seconds:.0f} device-seconds seen, {wanted_s:.0f} needed", numbers)
    if evidence.rest.seconds <= 0:
        return Check(name, Word.UNKNOWN, f"the other {rest} devices have not reported since the stage opened", numbers)
    return None


def _rates(evidence: Evidence, ratio: float, here: int, there: int) -> dict[str, float]:
    return {"here": here, "device_s": evidence.stage.seconds, "wanted_s": EXPOSURE_SHARE * evidence.needed * evidence.soak_s,
            "there": there, "rest_device_s": evidence.rest.seconds, "rest_devices": evidence.presence.rest, "ratio": ratio}


def _told(evidence: Evidence, here: int, there: int) -> str:
    return f"{here} in {evidence.stage.seconds:.0f} device-seconds, the rest had {there} in {evidence.rest.seconds:.0f}"


def _exceeds(evidence: Evidence, ratio: float, here: int, there: int) -> bool:
    return here * evidence.rest.seconds > ratio * there * evidence.stage.seconds


def _sum(exposure: Exposure, metrics: tuple[str, ...]) -> int:
    return sum(exposure.events.get(metric, 0) for metric in metrics)


def _shown(log_e: float) -> float:
    return math.exp(min(log_e, MAX_LOG))
