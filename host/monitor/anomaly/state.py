"""What detectors know, as JSON and back: a restart goes on where it was.

Decides the format (one object a device, with VERSION) and that a state which is not of this version or does not fit is refused:
the detectors then learn anew, which is said, and never go on from half a state.
"""

import json
from dataclasses import asdict
from typing import Any

from host.monitor.anomaly.baseline import Baseline, Scale
from host.monitor.anomaly.channel import Channel
from host.monitor.anomaly.cycle import Cycle
from host.monitor.anomaly.findings import Finding
from host.monitor.anomaly.limiter import Limiter
from host.monitor.anomaly.peaks import Peaks
from host.monitor.anomaly.scores import Cusum, Scores
from host.monitor.anomaly.slots import Folder
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import DeviceWatch

VERSION = 2


class StateError(Exception):
    """A state is not one of this version's; the message tells what does not fit."""


def dump(watch: DeviceWatch) -> str:
    """One device's detectors as JSON."""
    return json.dumps({
        "version": VERSION, "device": watch.device, "until_ms": watch.until_ms, "looked_ms": watch.looked_ms,
        "refused": watch.refused,
        "slot_ms": watch.tuning.slot_ms, "block_ms": watch.tuning.block_ms, "season": watch.tuning.season,
        "limiter": asdict(watch.limiter), "recent": [asdict(one) for one in watch.recent],
        "channels": [_dumped(one) for one in (*watch.channels.values(), watch.whole)],
    }, separators=(",", ":"))


def load(text: str, tuning: Tuning) -> DeviceWatch:
    """The detectors that `dump` wrote.

    Raises:
        StateError: another version, other lengths of time than `tuning` has, or damaged.
    """
    try:
        told = json.loads(text)
        if told["version"] != VERSION:
            raise StateError(f"state has version {told['version']!r}, expected {VERSION}")
        for key in ("slot_ms", "block_ms", "season"):
            if told[key] != getattr(tuning, key):
                raise StateError(f"state has {key} {told[key]!r}, expected {getattr(tuning, key)!r}")
        watch = DeviceWatch(told["device"], tuning, limiter=Limiter(**told["limiter"]), until_ms=told["until_ms"],
                            looked_ms=told["looked_ms"], recent=[Finding(**one) for one in told["recent"]], refused=told["refused"])
        *channels, watch.whole = [_loaded(one) for one in told["channels"]]
        watch.channels = {one.name: one for one in channels}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"state does not fit: {error}") from None
    return watch


def _dumped(channel: Channel) -> dict[str, Any]:
    told = asdict(channel)
    del told["_limits"], told["cycle"]["kept_ms"], told["cycle"]["kept"]
    return told


def _loaded(told: dict[str, Any]) -> Channel:
    scores = told["scores"]
    baseline = scores["baseline"]
    baseline |= {"scale": Scale(**baseline["scale"]), "scales": [Scale(**one) for one in baseline["scales"]]}
    scores |= {key: Scale(**scores[key]) for key in ("reach_scale", "jump_scale")}
    scores |= {"baseline": Baseline(**baseline), "up": Cusum(**scores["up"]), "down": Cusum(**scores["down"])}
    return Channel(**told | {
        "folder": Folder(**told["folder"]), "scores": Scores(**scores), "cycle": Cycle(**told["cycle"]),
        "peaks": {kind: Peaks(**one) for kind, one in told["peaks"].items()},
        **{key: {kind: Finding(**one) for kind, one in told[key].items()} for key in ("open", "ended")},
    })
