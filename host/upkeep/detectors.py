"""The anomaly detectors as tasks: each device brought to now, and its isolation forest grown anew when it is old.

Decides whose turn it is. A round goes through all devices and may take several turns; a device at which one fails is passed over
until the next round, so that it holds up nobody. A device's detectors are let go when they are saved: a fleet of any size takes the
memory of one device.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from host.clock import unix_ms
from host.monitor.anomalies import Anomalies
from host.monitor.anomaly.forest import ModelError
from host.store.anomalies import AnomalyRows
from host.upkeep.keeper import Done, Over


class Devices:
    """A round of devices, over as many turns as it takes."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self._names, self._left = names, list[str]()

    def turn(self, over: Over, one: Callable[[str], None]) -> tuple[int, bool]:
        """Do some devices, at least one; gives how many, and whether some are left."""
        if not self._left:
            self._left = sorted(self._names(), reverse=True)
        done = 0
        while self._left and not (done and over()):
            done += 1
            one(self._left.pop())   # popped before: the next turn does not fail at the same one
        return done, bool(self._left)


class Judging:
    """Brings the detectors to now and keeps what they found."""

    def __init__(self, anomalies: Anomalies) -> None:
        self._anomalies = anomalies
        self._devices = Devices(anomalies.devices)

    def __call__(self, over: Over) -> Done:
        """A turn."""
        found = Counter[str]()

        def one(device: str) -> None:
            try:
                found[device] = len(self._anomalies.catch_up(device))
            finally:
                self._anomalies.fleet.devices.pop(device, None)   # also after a failure: what was not saved is not true

        done, more = self._devices.turn(over, one)
        return Done(f"{done} devices, {found.total()} findings changed", more)


class Growing:
    """Grows forests that are older than a period; a process that starts often grows none more often."""

    def __init__(
        self, anomalies: Anomalies, rows: AnomalyRows, past_days: int, every_s: float, clock_ms: Callable[[], int] = unix_ms,
    ) -> None:
        self._anomalies, self._rows, self._past_days = anomalies, rows, past_days
        self._every_ms, self._clock_ms = every_s * 1000, clock_ms
        self._devices = Devices(anomalies.devices)

    def __call__(self, over: Over) -> Done:
        """A turn."""
        said = Counter[str]()

        def one(device: str) -> None:
            model = self._rows.model(device)
            if model is not None and self._clock_ms() - model.trained_ms < self._every_ms:
                said["fresh"] += 1
                return
            try:
                self._anomalies.train(device, self._past_days)
                said["grown"] += 1
            except ModelError:   # too young, or without readings: `tenfold anomaly train` names each
                said["without enough past"] += 1

        done, more = self._devices.turn(over, one)
        return Done(f"{done} devices: " + ", ".join(f"{count} {what}" for what, count in said.items()), more)
