"""The configuration's other half: what only some channels ask for, its limits and its defaults, and the groups that follow from it.

In memory only while a configuration is read in which some channel has such a key. How the JSON is read, and how a fault is
told, is config.py's: its functions come in as arguments.
"""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Callable
    from node.settings import Channel, Config

MAX_PERIOD_MS = 86_400_000   # of rows: a batch says no longer one
MAX_WINDOW = 3600        # samples; their sums are exact at any length
MAX_OVERSAMPLE = 64      # readings for a sample: they take their time before the next one
MAX_AVERAGE = 64         # samples kept per channel
MAX_DELAY = 1000         # samples
MAX_COEFFICIENT = 1e9    # of a calibration; what it makes of a value is checked with each sample


def fill(config: "Config", raws: "list[dict[str, object]]", asking: list[bool], whole: "Callable[..., int]",
         steps: "Callable[..., int | None]", fault: "Callable[[str, object, str], Exception]") -> None:
    """Read the further keys of the channels that have some, and group all channels.

    Args:
        config: filled as far as config.py does. raws: its channels as they are in the file. asking: which of them have such keys.
        whole: (raw, key, low, high, default, where=) an integer. steps: (raw, key, step, where) a limit in the channel's unit.
        fault: (key, got, expected) the error to raise.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    order = []
    for i, raw in enumerate(raws):
        name = (config.period_ms, 0)
        if asking[i]:
            where = "channels[%d]" % i
            period_ms = whole(raw, "period_ms", 10, 3_600_000, config.period_ms, where=where)
            phase_ms = whole(raw, "phase_ms", 0, period_ms - 1, 0, where=where)
            channel = config.channels[i]
            _filters(channel, raw, where, whole, steps, fault)
            heartbeat_s = whole(raw, "heartbeat_s", 0, 86_400, 0, where=where)
            if heartbeat_s and not channel.deadband:
                raise fault(where + ".heartbeat_s", heartbeat_s, "a deadband beside it")
            channel.heartbeat = max(heartbeat_s * 1000 // period_ms, 1) if heartbeat_s else 0
            channel.stats = whole(raw, "stats", 1, MAX_WINDOW, 1, where=where)
            if channel.stats > 1 and (channel.deadband or period_ms * channel.stats > MAX_PERIOD_MS):
                raise fault(where + ".stats", channel.stats, "no deadband, and a window of at most a day")
            name = (period_ms * channel.stats, phase_ms)
        if name not in groups:
            groups[name] = []
            order.append(name)
        groups[name].append(i)
    config.groups = [(period_ms, phase_ms, tuple(groups[period_ms, phase_ms])) for period_ms, phase_ms in order]


def _filters(channel: "Channel", raw: "dict[str, object]", where: str, whole: "Callable[..., int]",
             steps: "Callable[..., int | None]", fault: "Callable[[str, object, str], Exception]") -> None:
    channel.edge = True
    channel.oversample = whole(raw, "oversample", 1, MAX_OVERSAMPLE, 1, where=where)
    channel.average = whole(raw, "average", 1, MAX_AVERAGE, 1, where=where)
    channel.delay = whole(raw, "delay", 1, MAX_DELAY, 1, where=where)
    step = float(channel.resolution)
    channel.lowest = steps(raw, "min", step, where)
    channel.highest = steps(raw, "max", step, where)
    if channel.lowest is not None and channel.highest is not None and channel.lowest >= channel.highest:
        raise fault(where + ".min", raw["min"], "less than max")
    rate = steps(raw, "rate", step, where)
    if rate is not None and rate < 1:
        raise fault(where + ".rate", raw["rate"], "at least a step of the resolution")
    channel.rate = rate or 0
    channel.poly = _poly(raw, where, fault)
    anomaly = raw.get("anomaly", False)
    if not isinstance(anomaly, bool):
        raise fault(where + ".anomaly", anomaly, "true or false")
    channel.anomaly = anomaly


def _poly(raw: "dict[str, object]", where: str, fault: "Callable[[str, object, str], Exception]") -> "tuple[float, ...]":
    """What calibration adds to a value, by its powers; () when there is none.

    The value itself is left out of it: floats have 24 bits on the chip, and a reading may have more.
    """
    poly = raw.get("poly")
    if poly is None:
        where += ".gain" if "gain" in raw else ".offset"
        poly = [raw.get("offset", 0), raw.get("gain", 1)]
    else:
        where += ".poly"
        if "gain" in raw or "offset" in raw or not isinstance(poly, list) or not 2 <= len(poly) <= 4:
            raise fault(where, poly, "a list of 2 to 4 numbers, and neither gain nor offset")
    found: list[float] = []
    for one in poly:
        if isinstance(one, bool) or not isinstance(one, (int, float)) or not abs(one) <= MAX_COEFFICIENT:
            raise fault(where, one, "a number of at most 1e9")
        found.append(one)
    if not any(found[1:]):
        raise fault(where, found, "what depends on the value")
    found[1] -= 1
    return tuple(found) if any(found) else ()
