"""The device's configuration: what /state/site.json may say, its limits and its defaults.

Checks everything once, at boot, and turns it into plain attributes; the rest of the firmware never sees the JSON. Unknown keys
are left alone: after a rollback an older release must still run with a newer release's file. Holds no secrets, and reads
no file itself. The object that stays is the caller's, of a class that stays: its own class would keep this module in memory.
What only some channels ask for is read by edges.py, whose code is not in memory otherwise.
"""

import json

from node.errors import CallerError
from node.loading import Loaded
from node.settings import Channel, Config

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any

MAX_BYTES = 6144      # of the JSON; 16 channels that ask for everything need about 5 KB
MAX_CHANNELS = 16     # a row of 16 at 60 samples is 960 values held in RAM; the wire format would take 64
MAX_MEDIAN = 9        # samples kept per channel
MAX_ADDRESS = 45      # characters of an IPv6 address that ends in dotted quads
MAX_STEPS = (1 << 31) - 1   # readings are signed 32-bit counts of a channel's resolution
# The keys of edges.py, in one text: a text each would stay in the interpreter's memory for ever.
_EDGE = "period_ms phase_ms oversample min max gain offset poly rate average heartbeat_s stats anomaly delay"


OVERFLOWS = ("oldest", "newest", "thin")   # in the order of node.ring's OLDEST, NEWEST, THIN
# What a server may change: never an address, a name or the length of a trial.
DELIVERED = ("period_ms", "batch_samples", "uplink_s", "drain", "overflow", "buses", "sensors", "channels")


def parse(data: bytes, config: Config, delivered: bytes = b"") -> Config:
    """The configuration from the file's bytes.

    Args:
        config: a new one; it is filled and returned.
        delivered: an object whose members named in DELIVERED replace the file's; b"": none.

    Raises:
        CallerError: `config.json` or `config.value`, naming the key, what it holds and what it should. `config` is of no use then.
    """
    raw = _object(data, "site.json")
    if delivered:
        change = _object(delivered, "delivered")
        raw.update({key: change[key] for key in DELIVERED if key in change})
    _fill(config, raw)
    del raw   # its memory is wanted
    with Loaded():
        _check_schemas(config)
    return config


def _object(data: bytes, what: str) -> dict[str, object]:
    if len(data) > MAX_BYTES:
        raise CallerError("config.json", "%s: got %d bytes, expected at most %d" % (what, len(data), MAX_BYTES))
    try:
        raw = json.loads(data)
    except (ValueError, RuntimeError, MemoryError):   # RuntimeError: MicroPython, when brackets nest too deeply
        raise CallerError("config.json", what + " is not JSON")
    if not isinstance(raw, dict):
        raise CallerError("config.json", "%s: got %s, expected an object" % (what, type(raw).__name__))
    return raw


def _fill(config: Config, raw: "dict[str, Any]") -> None:
    config.host = _text(raw, "host", 1, 253)
    config.zone = _text(raw, "zone", 0, 220, "")
    config.address = _word(raw, "address", MAX_ADDRESS, "")
    config.ntp = _word(raw, "ntp", 259, "pool.ntp.org")
    host, _, port = config.ntp.partition(":")
    if port and ":" not in port and not (host and port.isdigit() and 1 <= int(port) <= 65535):   # more colons: an IPv6 address
        raise _error("ntp", config.ntp, "a name or address, or one with a port of 1 to 65535")
    config.mqtt_port = _int(raw, "mqtt_port", 1, 65535, 8883)
    config.ota_port = _int(raw, "ota_port", 1, 65535, 8443)
    config.est_port = _int(raw, "est_port", 1, 65535, 8444)
    config.product = _text(raw, "product", 1, 16)
    config.model = _text(raw, "model", 1, 16)
    config.lot = _text(raw, "lot", 0, 32, "")
    config.period_ms = _int(raw, "period_ms", 10, 3_600_000, 1000)
    config.batch_samples = _int(raw, "batch_samples", 1, 240, 60)
    config.uplink_s = _int(raw, "uplink_s", 1, 86_400, 60)
    config.checkin_s = _int(raw, "checkin_s", 1, 86_400, 300)
    config.ack_timeout_s = _int(raw, "ack_timeout_s", 1, 3600, 30)
    config.trial_s = _int(raw, "trial_s", 5, 86_400, 600)
    config.window = _int(raw, "window", 1, 32, 16)
    config.keepalive_s = _int(raw, "keepalive_s", 5, 1200, 60)
    config.backoff_max_s = _int(raw, "backoff_max_s", 1, 3600, 300)
    config.drain = _choice(raw, "drain", ("oldest", "newest"))
    config.overflow = OVERFLOWS.index(_choice(raw, "overflow", OVERFLOWS))
    config.time_floor_s = _int(raw, "time_floor_s", 0, 7_258_118_399, 0)
    channels = raw.get("channels")
    if not isinstance(channels, list) or not 1 <= len(channels) <= MAX_CHANNELS:
        raise _error("channels", channels, "a list of 1 to %d channels" % MAX_CHANNELS)
    config.channels = [_channel(one, "channels[%d]" % i) for i, one in enumerate(channels)]
    if len({channel.name for channel in config.channels}) != len(channels):
        raise _error("channels", [channel.name for channel in config.channels], "different names")
    if "buses" in raw or "sensors" in raw:
        with Loaded():
            _check_wiring(config, raw)   # many devices have none
    config.buses, config.sensors = raw.get("buses", {}), raw.get("sensors", [])
    config.groups = [(config.period_ms, 0, tuple(range(len(channels))))]
    asking = [any(key in one for key in _EDGE.split()) for one in channels]
    if any(asking):
        with Loaded():
            _fill_edges(config, channels, asking)


def _check_wiring(config: Config, raw: "dict[str, Any]") -> None:
    from node import wiring
    wiring.check(raw, config.channels)


def _fill_edges(config: Config, channels: "list[dict[str, object]]", asking: list[bool]) -> None:
    from node import edges
    edges.fill(config, channels, asking, _int, _steps, _error)


def _check_schemas(config: Config) -> None:
    """What a schema cannot say is refused now, not when the first batch wants one."""
    from node import rows
    for i, channel in enumerate(config.channels):
        try:
            rows.check(channel)
        except CallerError as fault:
            key = fault.code[len("schema."):]
            got, expected = {"name": (channel.name, "a-z first, then a-z, 0-9 and _"),
                             "unit": (channel.unit, "at most 16 bytes, no control characters, quotes or backslashes"),
                             "resolution": (channel.resolution, "a plain decimal without superfluous zeros")}[key]
            raise _error("channels[%d].%s" % (i, key), got, expected)
    try:
        rows.schemas(config)
    except CallerError as fault:
        raise _error("channels", fault.message, "what fits a schema")


def _channel(raw: object, where: str) -> Channel:
    if not isinstance(raw, dict):
        raise _error(where, raw, "an object")
    channel = Channel()
    channel.name = _text(raw, "name", 1, 24, None, where=where)
    channel.unit = _text(raw, "unit", 0, 12, "", where=where)
    channel.resolution = _text(raw, "resolution", 1, 12, "1", where=where)
    step = _step(channel.resolution, where)
    channel.median = _int(raw, "median", 1, MAX_MEDIAN, 1, where=where)
    if not channel.median & 1:
        raise _error(where + ".median", channel.median, "an odd number")
    channel.ema_pct = _int(raw, "ema_pct", 1, 100, 100, where=where)
    channel.deadband = _steps(raw, "deadband", step, where) or 0
    channel.high = _steps(raw, "high", step, where)
    channel.low = _steps(raw, "low", step, where)
    channel.hysteresis = _steps(raw, "hysteresis", step, where) or 0
    for key, got in (("deadband", channel.deadband), ("hysteresis", channel.hysteresis)):
        if got < 0:
            raise _error(where + "." + key, raw[key], "0 or more")
    if channel.high is not None and channel.low is not None and channel.low >= channel.high:
        raise _error(where + ".low", channel.low, "less than high, %d steps" % channel.high)
    return channel


def _error(key: str, got: object, expected: str) -> CallerError:
    said = type(got).__name__ if isinstance(got, (list, dict)) else repr(got)[:60]   # repr() needs a stack as deep as they nest
    return CallerError("config.value", "%s: got %s, expected %s" % (key, said, expected))


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


def _choice(raw: dict[str, object], key: str, choices: tuple[str, ...]) -> str:
    """One of these; the first is the default."""
    value = raw.get(key, choices[0])
    if not isinstance(value, str) or value not in choices:
        raise _error(key, value, " or ".join(choices))
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
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value / step) <= MAX_STEPS:
        raise _error(where + "." + key, value, "a number in the channel's unit")
    return round(value / step)
