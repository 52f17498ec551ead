"""The verdict on a demo: which promises held, from the audit's counts alone.

Pure: facts in, figures and promises out. What is counted and how is audit.py's; what happened when is story.py's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from host.sim.audit import DeviceTruth, Fetched, Tally
from host.sim.view import Promise

Figures = dict[str, int | float | bool]
JSON_BYTES = 9.8   # a reading in JSON at its most compact, sixty samples in columns (measured); we promise less than half
DELTA_WORTH = 2     # all that devices fetch of a release is less than its bundle for each of them by this factor


@dataclass(frozen=True)
class Facts:
    """What the story knows and flash does not.

    Attributes:
        good, bad: the release that everybody should run at the end, and the one that crashes.
        good_sha256, bad_sha256: of a file that only this release has.
        halted: the bad release's rollout stands halted in the server's database.
        victim: the device that lost its power with half a slot written.
        outage_s: how long the broker was away; outage_wanted_s: how long it was to be.
        batch_samples: samples in a full batch. seconds: length of the demo.
        tuned: name of the configuration that the devices in `tuners` were to try and keep.
        blind: the device that was given one without readings.
        fetched: what the update server gave of the good release.
    """

    good: str
    good_sha256: str
    bad: str
    bad_sha256: str
    halted: bool
    victim: str
    outage_s: float
    outage_wanted_s: float
    batch_samples: int
    seconds: float
    fetched: Fetched
    tuned: str = ""
    tuners: frozenset[str] = frozenset()
    blind: str = ""


def figures(truths: Sequence[DeviceTruth], tally: Tally, facts: Facts) -> Figures:
    """Give what `build/demo.json` holds."""
    return {
        "devices": len(truths),
        "readings_committed": tally.readings_committed,
        "readings_stored": tally.readings_stored,
        "lost": tally.lost,
        "duplicates_stored": tally.duplicates_stored,
        "on_" + facts.good.replace(".", "_"): sum(_runs(truth, facts) for truth in truths),
        "by_delta": sum(_runs(truth, facts) and truth.device in facts.fetched.by_delta for truth in truths),
        "fetched_bytes": sum(facts.fetched.given.values()),
        "bundle_bytes": facts.fetched.bundle_bytes,
        "got_bad_release": sum(facts.bad_sha256 in truth.hashes for truth in truths),
        "bad_release_halted": facts.halted,
        "power_cut_recovered": any(_runs(truth, facts) and truth.device == facts.victim for truth in truths),
        "broker_outage_s": round(facts.outage_s),
        "config_kept": sum(_keeps(truth, facts.tuned) for truth in truths if truth.device in facts.tuners),
        "config_given_up": any(_keeps(truth, "") for truth in truths if truth.device == facts.blind),
        "seconds": round(facts.seconds, 1),
    }


def promises(found: Figures, tally: Tally, facts: Facts) -> list[Promise]:
    """Hold what was promised against what happened."""
    devices, on_good = found["devices"], found["on_" + facts.good.replace(".", "_")]
    kept, given_up = found["config_kept"], bool(found["config_given_up"])
    got_bad, recovered = found["got_bad_release"], bool(found["power_cut_recovered"])
    each = tally.bytes_stored / max(tally.readings_stored, 1)
    return [
        Promise(
            "no committed reading is lost",
            f"{tally.readings_stored:,} stored of {tally.readings_committed:,} committed, {tally.lost} lost",
            tally.lost == 0 and tally.readings_stored == tally.readings_committed > 0),
        Promise("a batch is stored once", f"{tally.duplicates_stored} duplicates stored", tally.duplicates_stored == 0),
        Promise(
            "a fraction of the bytes", f"{each:.2f} bytes a reading in batches of at most {facts.batch_samples} samples",
            0 < each < JSON_BYTES / 2),
        Promise(f"release {facts.good} reaches everybody", f"{on_good} of {devices} run it, confirmed", on_good == devices),
        Promise(
            "what did not change is not fetched", in_words(facts.fetched),
            found["by_delta"] > 0 and found["fetched_bytes"] * DELTA_WORTH <= found["bundle_bytes"] * devices),
        Promise(
            "a power cut in an update is survived",
            f"{facts.victim} was cut off with half a slot and " + (f"runs {facts.good}" if recovered else "did not come back"),
            recovered),
        Promise(
            "a broker outage stops nothing for good", f"{facts.outage_s:.1f} s without a broker, then everybody was back",
            facts.outage_s >= facts.outage_wanted_s),
        Promise(
            f"the crashing release {facts.bad} stays with its canary",
            f"{got_bad} device got it" + (f", and runs {facts.good} again" if on_good == devices else ""),
            got_bad == 1 and on_good == devices),
        Promise(
            "a configuration is tried, and kept if it is good", f"{kept} of {len(facts.tuners)} devices tried it and keep it",
            kept == len(facts.tuners)),
        Promise(
            "one that measures nothing is given up",
            f"{facts.blind} " + ("went back to what it had" if given_up else "did not go back"), given_up),
        Promise("the gate halts by itself", "rollout halted" if facts.halted else "rollout not halted", facts.halted),
    ]


def in_words(fetched: Fetched) -> str:
    """Tell what an update cost on the wire."""
    each = sum(fetched.given.values()) / max(len(fetched.given), 1)
    return (f"{len(fetched.given)} devices fetched {each:,.0f} bytes each instead of {fetched.bundle_bytes:,}, "
            f"{len(fetched.by_delta)} by a delta alone")


def _keeps(truth: DeviceTruth, config: str) -> bool:
    return truth.config == config and not truth.config_trial


def _runs(truth: DeviceTruth, facts: Facts) -> bool:
    """Say whether a device boots the good release, confirmed, and holds that release's code."""
    return truth.release == facts.good and not truth.trial and facts.good_sha256 in truth.hashes
