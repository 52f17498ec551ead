"""What the monitor tells the rollout gates: the one narrow interface between the two.

    link events -> link_evidence -> word: rows of (model, counter, cohort, online_s, drops)
                -> POST /admin/metrics/links -> gate, check `links`

Decides which drops are evidence. One is counted when its device is back and no update brought it back, for the release that
dropped: at the drop itself nobody knows yet that it was an update's, and a window would end between the two. Devices that never
come back are the gate's `lost` and `online`. What cannot be put to a group is left out, which is the safe side: a gate passes only
when enough time online has been watched, and the silence of a monitor never passes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from host.clock import DAY_MS
from host.monitor import presence
from host.monitor.connectivity import Event, Link, by_device

ROWS_MAX = 500   # that the update server takes at once
SECONDS_PER_DAY = DAY_MS / 1000


class Seen(NamedTuple):
    """One device on one release over a window."""

    online_s: float
    drops: int


class Group(NamedTuple):
    """What a gate counts in: `cohort` is the update server's number for a device's site and tags."""

    model: str
    counter: int
    cohort: int


@dataclass(frozen=True, slots=True)
class Word:
    """What is told of a window; `left_out` are devices and releases without a group, or beyond ROWS_MAX groups."""

    rows: tuple[Mapping[str, str | int], ...]
    left_out: int


def link_evidence(
    start: Mapping[str, Link], events: Sequence[Event], from_ms: int, to_ms: int,
) -> dict[tuple[str, str], Seen]:
    """What was seen in [from_ms, to_ms) by (device, release); arguments as connectivity.by_device."""
    drops = _ended_drops(start, events)
    sums = by_device(start, events, from_ms, to_ms)
    return {
        key: Seen(sums[key].online_days * SECONDS_PER_DAY if key in sums else 0.0, drops.get(key, 0))
        for key in sorted({*sums, *drops})
    }


def word(
    seen: Mapping[tuple[str, str], Seen], groups: Mapping[str, tuple[str, int]], counters: Mapping[tuple[str, str], int],
) -> Word:
    """Put what was seen into groups.

    Args:
        groups: device -> its model and cohort.
        counters: (model, release) -> the release's counter.
    """
    sums: dict[Group, Seen] = {}
    left_out = 0
    for (device, release), one in seen.items():
        model, cohort = groups.get(device, ("", 0))
        counter = counters.get((model, release))
        if counter is None:
            left_out += 1
            continue
        group = Group(model, counter, cohort)
        before = sums.get(group, Seen(0.0, 0))
        sums[group] = Seen(before.online_s + one.online_s, before.drops + one.drops)
    told = sorted(sums, key=lambda group: (-sums[group].online_s, group))
    rows = tuple(
        {**group._asdict(), "online_s": int(sums[group].online_s), "drops": sums[group].drops} for group in told[:ROWS_MAX])
    return Word(rows, left_out + max(0, len(told) - ROWS_MAX))


def _ended_drops(start: Mapping[str, Link], events: Iterable[Event]) -> dict[tuple[str, str], int]:
    open_drops = {device: link.release for device, link in start.items() if not link.online}
    found: dict[tuple[str, str], int] = {}
    for event in events:
        if event.kind == presence.DROP:
            open_drops[event.device] = event.release
        elif event.kind == presence.UPDATE:
            open_drops.pop(event.device, None)
        elif event.kind == presence.CONNECT and (release := open_drops.pop(event.device, None)) is not None:
            found[event.device, release] = found.get((event.device, release), 0) + 1
    return found
