"""All detectors of a device, and of a fleet.

Decides how a device's channels share its budget, that a device which is silent as a whole is one finding and not one for each
channel, and which findings are told on. Readings and the time come in, findings go out; what is kept of the past is bounded: a
detector for each channel, RECENT findings that ended. `dump` and `load` (state.py) carry it over a restart.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from host.monitor.anomaly.channel import Channel
from host.monitor.anomaly.findings import ALL, METRIC, TOGETHER, Finding, scores_of
from host.monitor.anomaly.limiter import Limiter
from host.monitor.anomaly.scores import GAP, KINDS
from host.monitor.anomaly.slots import Times, Values
from host.monitor.anomaly.tuning import Tuning
from host.monitor.sample import Sample

RECENT = 100                # findings that ended, for each device
MOST_CHANNELS = 256         # of a device: metrics and channels; more are refused and counted
NEAR_SLOTS = 2              # channels that fell silent within so many slots did so together


@dataclass(slots=True)
class DeviceWatch:
    """One device's detectors.

    Attributes:
        channels: by name. refused: channels beyond MOST_CHANNELS whose readings were not looked at.
        recent: findings that ended, oldest first.
        until_ms: newest reading of any channel. looked_ms: until when the past was looked through, told by the owner.
    """

    device: str
    tuning: Tuning
    channels: dict[str, Channel] = field(default_factory=dict)
    whole: Channel = field(init=False)
    limiter: Limiter = field(default_factory=Limiter)
    recent: list[Finding] = field(default_factory=list)
    until_ms: int = -1
    looked_ms: int = -1
    refused: int = 0

    def __post_init__(self) -> None:
        self.whole = Channel(self.device, ALL)

    def take(
        self, readings: Mapping[str, tuple[Times, Values]], now_ms: int, units: Mapping[str, tuple[str, float]] | None = None,
    ) -> list[Finding]:
        """Take new readings of some channels.

        Args:
            units: channel -> (unit, resolution in that unit), where they are known.

        Returns:
            Findings that began, went on or ended, each in its newest state.
        """
        changed: list[Finding] = []
        for name in sorted(readings):
            channel = self._channel(name, (units or {}).get(name, ("", 0.0)))
            if channel is None:
                continue
            changed += channel.take(*readings[name], now_ms, self.tuning)
            self.until_ms = max(self.until_ms, channel.folder.last_ms)
        self._share()
        return self._told(changed)

    def tick(self, now_ms: int) -> list[Finding]:
        """Judge silences: of the device as a whole by the clock, of its channels by the others' readings."""
        changed: list[Finding] = []
        for channel in self.channels.values():
            changed += channel.silent(self.until_ms, self.tuning)
        if self.until_ms >= 0 and self.channels:
            quickest = min(self.channels.values(), key=lambda one: one.limit(GAP, self.tuning) or float("inf"))
            self.whole.folder.last_ms, self.whole.peaks[GAP] = self.until_ms, quickest.peaks[GAP]
            self.whole.forget_limits()
            changed += self.whole.silent(max(now_ms, self.until_ms + 1), self.tuning)
        return self._told(changed)

    def hear(self, found: Iterable[Finding]) -> list[Finding]:
        """Take what another detector found on this device, now and before; see forest.py."""
        fresh = []
        for one in found:
            known = self.whole.open.get(one.kind) or self.whole.ended.get(one.kind)
            same = known is not None and known.since_ms == one.since_ms
            if known is not None and (one.since_ms < known.since_ms or (same and known.until_ms is not None)):
                continue
            self.whole.open[one.kind] = replace(one, held=known.held) if known is not None and same else one
            fresh.append(self.whole.open[one.kind])
            if one.until_ms is not None:
                self.whole.ended[one.kind] = self.whole.open.pop(one.kind)
        return self._told(fresh)

    def open(self) -> list[Finding]:
        """Findings that go on, the farthest first."""
        found = [one for channel in (*self.channels.values(), self.whole) for one in channel.open.values()]
        return sorted(found, key=lambda one: -one.excess)

    def is_warm(self) -> bool:
        """Whether all channels have learnt enough to be judged."""
        return bool(self.channels) and all(one.warm(self.tuning)[0] == one.warm(self.tuning)[1] for one in self.channels.values())

    def samples(self) -> list[Sample]:
        """What alerts are told of what goes on."""
        return scores_of(self.open(), now_ms=0)

    def _channel(self, name: str, told: tuple[str, float]) -> Channel | None:
        if name not in self.channels:
            if len(self.channels) >= MOST_CHANNELS:
                self.refused += 1
                return None
            self.channels[name] = Channel(self.device, name)
        channel = self.channels[name]
        if told != ("", 0.0):
            channel.unit, channel.scores.baseline.least = told
        return channel

    def _share(self) -> None:
        """The budget is shared by all channels and kinds; the shape of a cycle counts where there is one."""
        streams = sum(len(KINDS) - (not one.cycle.period_ms) for one in self.channels.values())
        if streams != self.whole.streams:
            for channel in (*self.channels.values(), self.whole):
                channel.streams = streams
                channel.forget_limits()

    def _told(self, changed: Iterable[Finding]) -> list[Finding]:
        """Each finding by the limiter, in the order of time."""
        answer = []
        for found in sorted(self._as_whole(list(changed)), key=lambda one: one.again_ms or one.found_ms):
            held = found.held
            if held is None:
                held = not self.limiter.admit(found.again_ms or found.found_ms, self.tuning)
            elif held and found.until_ms is None:
                held = not self.limiter.admit(found.last_ms, self.tuning)
            one = replace(found, held=held)
            self._keep(one)
            answer.append(one)
        return answer

    def _as_whole(self, changed: list[Finding]) -> list[Finding]:
        """When half of the channels or more fell silent together, the device did: one finding."""
        silent = [one for one in changed if one.kind == GAP and one.channel != ALL]
        if not silent:
            return changed
        first = min(silent, key=lambda one: one.since_ms)
        near = [one for one in silent if one.since_ms - first.since_ms <= NEAR_SLOTS * self.tuning.slot_ms]
        if 2 * len(near) < len(self.channels) or (len(near) == 1 and len(self.channels) > 1):
            return changed
        for one in near:
            self.channels[one.channel].open.pop(GAP, None)
            self.channels[one.channel].ended.pop(GAP, None)
        last_ms = max(one.last_ms for one in near)
        known = self.whole.open.pop(GAP, None)
        whole = replace(known or first, channel=ALL, last_ms=last_ms, until_ms=last_ms)
        return [one for one in changed if one not in near and not (one.channel == ALL and one.kind == GAP)] + [whole]

    def _keep(self, one: Finding) -> None:
        channel = self.whole if one.channel == ALL or one.kind == TOGETHER else self.channels[one.channel]
        known = channel.open if one.until_ms is None else channel.ended
        if one.kind in known and known[one.kind].since_ms == one.since_ms:
            known[one.kind] = one
        self.recent = [other for other in self.recent if (other.channel, other.kind, other.since_ms)
                       != (one.channel, one.kind, one.since_ms)]
        if one.until_ms is not None:
            self.recent = [*self.recent, one][-RECENT:]


class FleetWatch:
    """The devices of a fleet, each with a DeviceWatch; a monitor process calls `take` with new readings and `tick` by the clock."""

    def __init__(self, tuning: Tuning) -> None:
        self.tuning = tuning
        self.devices: dict[str, DeviceWatch] = {}
        self._next = 0

    def of(self, device: str) -> DeviceWatch:
        return self.devices.setdefault(device, DeviceWatch(device, self.tuning))

    def tick(self, now_ms: int, most: int = 1000) -> list[Finding]:
        """Judge the silences of at most `most` devices; the next call goes on with the others."""
        names = list(self.devices)
        turn = [names[(self._next + place) % len(names)] for place in range(min(most, len(names)))]
        self._next = (self._next + len(turn)) % max(1, len(names))
        return [one for name in turn for one in self.devices[name].tick(now_ms)]

    def take_samples(self, samples: Iterable[Sample], at_ms: int) -> list[Finding]:
        """Take metrics of devices as readings of channels with the metrics' names; those without a device are not looked at."""
        told: dict[str, dict[str, tuple[Times, Values]]] = {}
        for sample in samples:
            device = sample.labels.get("device")
            if device and sample.metric != METRIC:
                told.setdefault(device, {})[sample.metric] = (
                    np.array([at_ms], np.int64), np.array([sample.value], np.float64))
        return [one for device, readings in told.items() for one in self.of(device).take(readings, at_ms)]

    def samples(self) -> list[Sample]:
        """What alerts are told; see DeviceWatch.samples."""
        return [sample for watch in self.devices.values() for sample in watch.samples()]
