"""The device's configuration: what /state/site.json may say, its limits and its defaults.

Checks everything once, at boot, and turns it into plain attributes; the rest of the firmware never sees the JSON. Unknown keys
are left alone: after a rollback an older release must still run with a newer release's file. Holds no secrets, and reads
no file itself.
"""

import json

from node.errors import CallerError

MAX_BYTES = 4096      # of the JSON; 16 channels need about 2 KB
MAX_CHANNELS = 16     # a row of 16 at 60 samples is 960 values held in RAM; the wire format would take 64
MAX_MEDIAN = 9        # samples kept per channel
MAX_ADDRESS = 45      # characters of an IPv6 address that ends in dotted quads
MAX_STEPS = (1 << 31) - 1   # readings are signed 32-bit counts of a channel's resolution


class Channel:
    """One channel: what its integers mean, and what is done to them on the device.

    Attributes:
        resolution: the step of the scaled integer in `unit`, a decimal such as "0.01".
        median: samples of the median filter, odd; 1 is none.
        ema_pct: weight of the newest sample in the moving average, percent; 100 is none.
        deadband: a value closer than this many steps to the last reported one is not reported; 0 reports all.
        high, low: alarm limits in steps, or None. hysteresis: steps back inside before an alarm ends.
    """

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, dict):
            raise _error(where, raw, "an object")
        self.name = _text(raw, "name", 1, 24, None, where=where)
        self.unit = _text(raw, "unit", 0, 12, "", where=where)
        self.resolution = _text(raw, "resolution", 1, 12, "1", where=where)
        step = _step(self.resolution, where)
        self.median = _int(raw, "median", 1, MAX_MEDIAN, 1, where=where)
        if not self.median & 1:
            raise _error(where + ".median", self.median, "an odd number")
        self.ema_pct = _int(raw, "ema_pct", 1, 100, 100, where=where)
        self.deadband = _steps(raw, "deadband", step, where) or 0
        self.high = _steps(raw, "high", step, where)
        self.low = _steps(raw, "low", step, where)
        self.hysteresis = _steps(raw, "hysteresis", step, where) or 0
        if self.high is not None and self.low is not None and self.low >= self.high:
            raise _error(where + ".low", self.low, "less than high, %d steps" % self.high)


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
        time_floor_s: it is not earlier than this (Unix seconds); set by the line, for certificates' dates on a cold board.
    """

    def __init__(self, raw: dict[str, object]) -> None:
        self.host = _text(raw, "host", 1, 253)
        self.zone = _text(raw, "zone", 0, 220, "")
        self.address = _word(raw, "address", MAX_ADDRESS, "")
        self.ntp = _word(raw, "ntp", 259, "pool.ntp.org")
        host, _, port = self.ntp.partition(":")
        if port and ":" not in port and not (host and port.isdigit() and 1 <= int(port) <= 65535):   # more colons: an IPv6 address
            raise _error("ntp", self.ntp, "a name or address, or one with a port of 1 to 65535")
        self.mqtt_port = _int(raw, "mqtt_port", 1, 65535, 8883)
        self.ota_port = _int(raw, "ota_port", 1, 65535, 8443)
        self.est_port = _int(raw, "est_port", 1, 65535, 8444)
        self.product = _text(raw, "product", 1, 16)
        self.model = _text(raw, "model", 1, 16)
        self.lot = _text(raw, "lot", 0, 32, "")
        self.period_ms = _int(raw, "period_ms", 10, 3_600_000, 1000)
        self.batch_samples = _int(raw, "batch_samples", 1, 240, 60)
        self.uplink_s = _int(raw, "uplink_s", 1, 86_400, 60)
        self.checkin_s = _int(raw, "checkin_s", 1, 86_400, 300)
        self.ack_timeout_s = _int(raw, "ack_timeout_s", 1, 3600, 30)
        self.trial_s = _int(raw, "trial_s", 5, 86_400, 600)
        self.window = _int(raw, "window", 1, 32, 8)
        self.keepalive_s = _int(raw, "keepalive_s", 5, 1200, 60)
        self.backoff_max_s = _int(raw, "backoff_max_s", 1, 3600, 300)
        self.time_floor_s = _int(raw, "time_floor_s", 0, 7_258_118_399, 0)
        channels = raw.get("channels")
        if not isinstance(channels, list) or not 1 <= len(channels) <= MAX_CHANNELS:
            raise _error("channels", channels, "a list of 1 to %d channels" % MAX_CHANNELS)
        self.channels = [Channel(one, "channels[%d]" % i) for i, one in enumerate(channels)]
        if len({channel.name for channel in self.channels}) != len(channels):
            raise _error("channels", [channel.name for channel in self.channels], "different names")

    def server(self, device: str) -> str:
        """The name under which this device reaches every server, and which their certificates must bear."""
        return device + "." + self.zone if self.zone else self.host


def parse(data: bytes) -> Config:
    """The configuration from the file's bytes.

    Raises:
        CallerError: `config.json` or `config.value`, naming the key, what it holds and what it should.
    """
    if len(data) > MAX_BYTES:
        raise CallerError("config.json", "got %d bytes, expected at most %d" % (len(data), MAX_BYTES))
    try:
        raw = json.loads(data)
    except (ValueError, RuntimeError):   # MicroPython raises RuntimeError when brackets nest too deeply
        raise CallerError("config.json", "site.json is not JSON")
    if not isinstance(raw, dict):
        raise CallerError("config.json", "site.json: got %s, expected an object" % type(raw).__name__)
    return Config(raw)


def _error(key: str, got: object, expected: str) -> CallerError:
    return CallerError("config.value", "%s: got %s, expected %s" % (key, repr(got)[:60], expected))


def _key(where: str, key: str) -> str:
    return where + "." + key if where else key


def _int(raw: dict[str, object], key: str, low: int, high: int, default: int, *, where: str = "") -> int:
    value = raw.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise _error(_key(where, key), value, "%d to %d" % (low, high))
    return value


def _text(raw: dict[str, object], key: str, shortest: int, longest: int, default: str | None = None, *,
          where: str = "") -> str:
    value = raw.get(key, default)
    if not isinstance(value, str) or not shortest <= len(value) <= longest:
        raise _error(_key(where, key), value, "a text of %d to %d characters" % (shortest, longest))
    return value


def _word(raw: dict[str, object], key: str, longest: int, default: str) -> str:
    """A text without spaces or control characters."""
    value = _text(raw, key, 0, longest, default)
    if any(not "!" <= char <= "~" for char in value):
        raise _error(key, value, "a name or address without spaces")
    return value


def _step(resolution: str, where: str) -> float:
    try:
        step = float(resolution)
    except ValueError:
        step = 0.0
    if not step > 0:
        raise _error(where + ".resolution", resolution, 'a positive decimal such as "0.01"')
    return step


def _steps(raw: dict[str, object], key: str, step: float, where: str) -> int | None:
    """A limit given in the channel's unit, as a count of its resolution; None when it is not given."""
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value / step) > MAX_STEPS:
        raise _error(where + "." + key, value, "a number in the channel's unit")
    return round(value / step)
