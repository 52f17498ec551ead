"""The anomaly detectors at work on the telemetry database.

Decides what is read when: each device from where its detectors stopped, at most CHUNK_MS at a time, and at most some devices a
tick, so that a tick's work is bounded however large the fleet and however long the outage was; forests are asked once for each of
their windows. What is found is decided by anomaly/. Readings that are stored late, with times before where the detectors stand,
are not looked at.
"""

from collections.abc import Callable, Iterable

import numpy as np

from host.clock import DAY_MS, HOUR_MS, unix_ms
from host.monitor.alarms import columns
from host.monitor.anomaly.features import Windows, names_of, windows_of
from host.monitor.anomaly.findings import TOGETHER, Finding
from host.monitor.anomaly.forest import Forest, ModelError, train
from host.monitor.anomaly.slots import Times, Values
from host.monitor.anomaly.together import findings_of
from host.monitor.anomaly.tuning import Tuning
from host.monitor.anomaly.watch import DeviceWatch, FleetWatch
from host.monitor.sample import Sample
from host.store.anomalies import AnomalyRows
from host.store.queries import Queries

CHUNK_MS = DAY_MS            # read of one device at once
CHUNK_POINTS = 200_000       # of a channel in a chunk: 2.3 a second are read as they are, of more the extremes
PAST_DAYS = 28               # of a device that is met for the first time
WINDOW_MS = HOUR_MS          # of the forest
JUDGED_MS = 2 * DAY_MS       # the forest is asked about so much of the newest past

Readings = dict[str, tuple[Times, Values]]


class Anomalies:
    """Detectors of all devices of one database.

    Args:
        writer: where states, models and findings are kept; None keeps nothing, as for a question from a terminal.
    """

    def __init__(
        self, queries: Queries, rows: AnomalyRows, tuning: Tuning | None = None, *, writer: AnomalyRows | None = None,
        clock_ms: Callable[[], int] = unix_ms, past_days: int = PAST_DAYS,
    ) -> None:
        self._queries, self._rows, self._writer, self._clock_ms = queries, rows, writer, clock_ms
        self.tuning = tuning or Tuning()
        self.fleet = FleetWatch(self.tuning)
        self._past_ms = past_days * DAY_MS
        self._turn = 0
        self._asked: dict[str, int] = {}   # device -> number of the window in which its forest was last asked

    def tick(self, most_devices: int = 100) -> list[Finding]:
        """Bring some devices forward by at most one chunk each; the next tick goes on with the others.

        Returns:
            Findings that began, went on or ended.
        """
        names = self.devices()
        turn = [names[(self._turn + place) % len(names)] for place in range(min(most_devices, len(names)))]
        self._turn = (self._turn + len(turn)) % max(1, len(names))
        return [one for name in turn for one in self._forward(name)[0]]

    def catch_up(self, device: str) -> list[Finding]:
        """Bring one device to now, however many chunks that takes."""
        found: dict[tuple[str, str, int], Finding] = {}
        done = False
        while not done:
            some, done = self._forward(device)
            found |= {(one.channel, one.kind, one.since_ms): one for one in some}
        return list(found.values())

    def samples(self) -> list[Sample]:
        """What alerts are told of the devices that were looked at."""
        return self.fleet.samples()

    def take_samples(self, samples: Iterable[Sample]) -> list[Finding]:
        """Judge metrics of devices as readings."""
        return self.fleet.take_samples(samples, self._clock_ms())

    def train(self, device: str, days: int = PAST_DAYS) -> Forest:
        """Grow a device's forest on its newest past and keep it.

        Raises:
            ModelError: too little past, no channels, or scikit-learn is not installed.
        """
        channels = sorted(self.units(device))
        if not channels:
            raise ModelError(f"{device} has no readings that can be read; `tenfold devices list` shows what there is")
        now_ms = self._clock_ms()
        windows = self._read_windows(device, channels, now_ms - days * DAY_MS, now_ms)
        model = train(windows, names_of(channels, self.tuning), WINDOW_MS, self.tuning)
        if self._writer:
            self._writer.save_model(device, model)
        return model

    def watch(self, device: str) -> DeviceWatch:
        """A device's detectors, from the database when they were not met yet."""
        if device not in self.fleet.devices:
            self.fleet.devices[device] = self._rows.state(device, self.tuning) or DeviceWatch(device, self.tuning)
        return self.fleet.devices[device]

    def units(self, device: str) -> dict[str, tuple[str, float]]:
        """Channel -> (unit, resolution); what tells alarms is no channel to be watched: it speaks when something happens."""
        found = {one.name: (one.unit, float(one.resolution)) for one in self._queries.channels(device)}
        told = columns(found)
        return {name: unit for name, unit in found.items() if name not in told}

    def devices(self) -> list[str]:
        """All devices that were ever heard, by name."""
        return [row.device for row in self._queries.devices()]

    def series(self, device: str, channel: str, from_ms: int, to_ms: int, most: int) -> tuple[Times, Values]:
        """One channel's readings, thinned to its extremes where there are more than `most`."""
        times, values = self._queries.series(device, [channel], from_ms, to_ms, most).get(channel, ([], []))
        return np.asarray(times, np.int64), np.asarray(values, np.float64)

    def _forward(self, device: str) -> tuple[list[Finding], bool]:
        """One chunk of one device, and whether it has come to now."""
        watch, now_ms = self.watch(device), self._clock_ms()
        from_ms = max(watch.until_ms + 1, watch.looked_ms + 1, now_ms - self._past_ms)
        to_ms = min(now_ms, from_ms + CHUNK_MS)
        found = watch.take(self._read(device, from_ms, to_ms), now_ms, self.units(device))
        watch.looked_ms = to_ms if to_ms < now_ms else watch.until_ms   # what comes late into the newest chunk is still read
        done = to_ms >= now_ms
        if done:
            found += watch.tick(now_ms)
            found += watch.hear(self._together(device, now_ms))
        if self._writer:
            self._writer.save(watch, found, now_ms)
        return found, done

    def _together(self, device: str, now_ms: int) -> list[Finding]:
        """What the device's forest finds in the newest past, when a window has ended since it was asked."""
        if self._asked.get(device) == now_ms // WINDOW_MS:
            return []
        self._asked[device] = now_ms // WINDOW_MS
        model = self._rows.model(device)
        if model is None:
            return []
        channels = list(dict.fromkeys(channel for channel, _ in model.names if channel))
        windows = self._read_windows(device, channels, now_ms - JUDGED_MS, now_ms, model.window_ms)
        return findings_of(device, model, windows, {name: unit for name, (unit, _) in self.units(device).items()}, self.tuning)

    def _read(self, device: str, from_ms: int, to_ms: int) -> Readings:
        series = self._queries.series(device, None, from_ms, to_ms, CHUNK_POINTS)
        told = columns(series)
        return {name: (np.asarray(times, np.int64), np.asarray(values, np.float64))
                for name, (times, values) in series.items() if name not in told}

    def _read_windows(self, device: str, channels: list[str], from_ms: int, to_ms: int, window_ms: int = WINDOW_MS) -> Windows:
        """Windows that are over; read day by day, folded at once."""
        first, last = from_ms // window_ms * window_ms, to_ms // window_ms * window_ms
        step = CHUNK_MS // window_ms * window_ms
        parts = [windows_of(self._read(device, at, min(at + step, last) - 1), channels, window_ms, self.tuning)
                 for at in range(first, last, step)]
        filled = [part for part in parts if len(part.at_ms)]
        if not filled:
            return Windows(np.empty(0, np.int64), np.empty((0, len(names_of(channels, self.tuning)))))
        return Windows(np.concatenate([part.at_ms for part in filled]), np.concatenate([part.rows for part in filled]))


def worst_first(found: Iterable[Finding]) -> list[Finding]:
    """The order in which people read: what goes on before what ended, then the farthest."""
    return sorted(found, key=lambda one: (one.until_ms is not None, one.kind == TOGETHER, -one.excess))
