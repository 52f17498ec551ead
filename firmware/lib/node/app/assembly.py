"""Groups out of a configuration, each with the filters and alarms that it asks for, and nothing of what it does not.

In memory only while the app is put together; of the rest, what is imported here stays in use.
"""

from node.app.application import Group
from node.app.sampler import Sampler

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.alarms import Alarm
    from node.app.batcher import Journal
    from node.app.filters import Deadband, Filters, Stage
    from node.hints import Callable
    from node.ports import Source
    from node.settings import Channel, Config

NOTHING = ((), None, None)   # one for all channels that ask for nothing


def assemble(config: "Config", sources: "list[Source]", journal: "Journal", now_ms: int,
             scatter_ms: "Callable[[int], int]") -> tuple[list[Group], Sampler]:
    """The groups of a configuration and the sampler that serves them.

    Args:
        journal: its schemas are those of node.rows.schemas, in their order.
        now_ms: ticks; the first samples come after it.
        scatter_ms: this device's own place within a period, 0 <= place < period.
    """
    sampler = Sampler(sources, len(config.channels))
    times = [channel.oversample if channel.edge else 1 for channel in config.channels]
    if max(times) > 1:
        from node.app.oversampling import Oversampling
        sampler = Oversampling(sampler, times)   # type: ignore[assignment]   # by structure
    watched = [place for place, channel in enumerate(config.channels) if channel.high is not None or channel.low is not None]
    groups = []
    for number, (period_ms, phase_ms, places) in enumerate(config.groups):
        due_ms = now_ms + 1 + (scatter_ms(period_ms) + phase_ms - now_ms - 1) % period_ms
        channels = [config.channels[place] for place in places]
        asked = [filters(config.channels[place], journal, len(config.groups) + watched.index(place) if place in watched else None)
                 for place in places]
        if any(channel.edge and (channel.stats > 1 or channel.anomaly) for channel in channels):
            from node.app.windows import Windows
            group: Group = Windows(journal, number, places, period_ms, due_ms, asked, channels, now_ms)
        else:
            group = Group(journal, number, places, period_ms, due_ms, asked, len(places))
        groups.append(group)
    return groups, sampler


def filters(channel: "Channel", journal: "Journal", number: int | None) -> "Filters":
    """A channel's filters in their order, its deadband and its alarm; `number` is that of the alarm's schema, None: it has none."""
    found = _stages(channel), _deadband(channel), _alarm(channel, journal, number)
    return found if any(found) else NOTHING


def _stages(channel: "Channel") -> "tuple[Stage, ...]":
    stages = _first(channel) if channel.edge else []
    if channel.median > 1:
        from node.app.filters import Median
        stages.append(Median(channel.median))
    if channel.edge and channel.average > 1:
        from node.app.edge import Average
        stages.append(Average(channel.average))
    if channel.ema_pct < 100:
        from node.app.filters import Ema
        stages.append(Ema(channel.ema_pct))
    return tuple(stages)


def _first(channel: "Channel") -> "list[Stage]":
    """What comes before the filters that everybody has: implausible values, calibration, the rate of change."""
    stages: "list[Stage]" = []
    if channel.lowest is not None or channel.highest is not None:
        from node.app.edge import Plausible
        stages.append(Plausible(channel.lowest, channel.highest))
    if channel.poly:
        from node.app.edge import Calibration
        stages.append(Calibration(channel.poly, float(channel.resolution)))
    if channel.rate:
        from node.app.edge import Rate
        stages.append(Rate(channel.rate))
    return stages


def _deadband(channel: "Channel") -> "Deadband | None":
    if not channel.deadband:
        return None
    if channel.edge and channel.heartbeat:
        from node.app.edge import Heartbeat
        return Heartbeat(channel.deadband, channel.heartbeat)
    from node.app.filters import Deadband
    return Deadband(channel.deadband)


def _alarm(channel: "Channel", journal: "Journal", number: int | None) -> "Alarm | None":
    if number is None:
        return None
    if channel.edge and channel.delay > 1:
        from node.app.edge import DelayedAlarm
        return DelayedAlarm(channel, journal, number)
    from node.app.alarms import Alarm
    return Alarm(channel, journal, number)
