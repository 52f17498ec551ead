"""What a device told of its alarms: when a channel went beyond a limit and when it was well again.

Decides from readings of the columns that a device has for it (firmware/SPEC.md, 4): `<name>.alarm` is the value at each change,
`<name>.high` or `<name>.low`, at the same time, the limit that it is beyond. Limits are the device's: the host knows none.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from host.clock import DAY_MS

ALARM, SIDES = ".alarm", {"high": ".high", "low": ".low"}
LOOK_BACK_MS = DAY_MS   # an alarm that began so long before a window is still known in it

Series = Mapping[str, tuple[Sequence[int], Sequence[float]]]   # column -> times in Unix ms, values


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of one channel.

    Attributes:
        side: "high" or "low". limit: that was passed. value: that passed it.
        until_ms, end_value: when it was well again, and at what; None: it stands.
    """

    channel: str
    unit: str
    side: str
    limit: float
    from_ms: int
    value: float
    until_ms: int | None = None
    end_value: float | None = None

    def says(self) -> str:
        """What happened, in words."""
        limit = f"{self.limit:g} {self.unit}".rstrip()
        return f"{self.channel} {'above' if self.side == 'high' else 'below'} {limit} ({self.value:g})"


def columns(names: Collection[str]) -> set[str]:
    """The names among these that tell of alarms and are no channels of their own."""
    bases = [name.removesuffix(ALARM) for name in names if name.endswith(ALARM)]
    return {base + kind for base in bases for kind in (ALARM, *SIDES.values())} & set(names)


def alarms(series: Series, units: Mapping[str, str], from_ms: int, to_ms: int) -> list[Alarm]:
    """The alarms that stood in [from_ms, to_ms], those that began first first.

    Args:
        series: of `columns`, from LOOK_BACK_MS before the window on.
        units: of the columns.
    """
    found = []
    for column, (times, values) in series.items():
        if column.endswith(ALARM):
            channel = column.removesuffix(ALARM)
            limits = {side: dict(zip(*series.get(channel + kind, ((), ())), strict=True)) for side, kind in SIDES.items()}
            found += _of_channel(channel, units.get(column, ""), sorted(zip(times, values, strict=True)), limits)
    within = [one for one in found if one.from_ms <= to_ms and (one.until_ms is None or one.until_ms >= from_ms)]
    return sorted(within, key=lambda one: (one.from_ms, one.channel))


def _of_channel(
    channel: str, unit: str, changes: Iterable[tuple[int, float]], limits: Mapping[str, Mapping[int, float]],
) -> list[Alarm]:
    found: list[Alarm] = []
    standing: Alarm | None = None
    for at_ms, value in changes:
        told = next(((side, known[at_ms]) for side, known in limits.items() if at_ms in known), None)
        if standing is not None and told == (standing.side, standing.limit):
            continue   # the device started again and found it as it was
        if standing is not None:
            found.append(replace(standing, until_ms=at_ms, end_value=value))
        standing = None if told is None else Alarm(channel, unit, *told, at_ms, value)
    return found if standing is None else [*found, standing]
