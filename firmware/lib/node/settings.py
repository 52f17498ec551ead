"""What the rest of the firmware sees of the configuration; config.py reads it out of the file, and need not stay in memory."""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any


class Channel:
    """One channel: what its integers mean, and what is done to them on the device.

    Attributes:
        resolution: the step of the scaled integer in `unit`, a decimal such as "0.01".
        median: samples of the median filter, odd; 1 is none.
        ema_pct: weight of the newest sample in the moving average, percent; 100 is none.
        deadband: a value closer than this many steps to the last reported one is not reported; 0 reports all.
        high, low: alarm limits in steps, or None. hysteresis: steps back inside before an alarm ends.
        edge: it asks for something of what follows, and only then has all of it; limits and lengths are checked by edges.py.
        oversample: readings for a sample. lowest, highest: what its sensor can say, in steps, or None.
        poly: what calibration adds, in its unit: coefficients of the value's powers, the constant first; () is none.
        rate: the largest believable step between samples, in steps; 0 is none. average: samples of the moving average; 1 is none.
        delay: samples in a row that must be beyond before an alarm begins, and inside before it ends.
        heartbeat: after so many samples a value is reported inside the deadband too; 0 is never.
        stats: samples of a window that is reported instead of them; 1 is none. anomaly: a score is reported too.
    """

    name: str
    unit: str
    resolution: str
    median: int
    ema_pct: int
    deadband: int
    high: "int | None"
    low: "int | None"
    hysteresis: int
    edge = False
    delay: int
    oversample: int
    lowest: "int | None"
    highest: "int | None"
    poly: "tuple[float, ...]"
    rate: int
    average: int
    heartbeat: int
    stats: int
    anomaly: bool


class Config:
    """The whole configuration. Times are in the unit of their names.

    Attributes:
        host: the servers' name when `zone` is empty; else they are `<device id>.<zone>`.
        address: where to connect instead of asking DNS; the servers' certificates must bear the name all the same. "": ask DNS.
        ntp: a time server's name or address, with ":port" if it is not 123; "": none.
        period_ms: between samples. batch_samples: a batch is committed at this many samples, or when the uplink is due.
        uplink_s: the scattered period of the uplink. checkin_s: until the server says another.
        ack_timeout_s: without progress of the server's ack for so long, sending starts again from the first unacked record.
        trial_s: a release must prove itself within this time. window: publishes under way at once.
        drain: what leaves first after a reconnect, "oldest" or "newest". overflow: what goes when the ring is full, as
            node.ring's OLDEST, NEWEST, THIN.
        time_floor_s: it is not earlier than this (Unix seconds); set by the line, for certificates' dates on a cold board.
        buses, sensors: as the file has them, checked and filled in by node.wiring; empty when it has none.
        groups: channels that are reported together, as (period of their rows in ms, phase in ms, their places in `channels`).
    """

    host: str
    zone: str
    address: str
    ntp: str
    mqtt_port: int
    ota_port: int
    est_port: int
    product: str
    model: str
    lot: str
    period_ms: int
    batch_samples: int
    uplink_s: int
    checkin_s: int
    ack_timeout_s: int
    trial_s: int
    window: int
    keepalive_s: int
    backoff_max_s: int
    drain: str
    overflow: int
    time_floor_s: int
    channels: "list[Channel]"
    buses: "dict[str, Any]"
    sensors: "list[dict[str, Any]]"
    groups: "list[tuple[int, int, tuple[int, ...]]]"

    def server(self, device: str) -> str:
        """The name under which this device reaches every server, and which their certificates must bear."""
        return device + "." + self.zone if self.zone else self.host
