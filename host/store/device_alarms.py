"""The alarms that a device told in a window, read: what they mean is host.monitor.alarms'."""

from collections.abc import Collection

from host.monitor.alarms import LOOK_BACK_MS, Alarm, alarms, columns
from host.store.queries import Queries


def device_alarms(queries: Queries, device: str, channels: Collection[str] | None, from_ms: int, to_ms: int) -> list[Alarm]:
    """The alarms that stood in [from_ms, to_ms], those that began first first.

    Args:
        channels: whose; None means all.
    """
    wanted = columns([one.name for one in queries.all_channels(device)])
    if not wanted:   # nothing is read of a device without alarms
        return []
    series: dict[str, tuple[list[int], list[float]]] = {}
    units = {}
    for piece in queries.pieces(device, wanted, from_ms - LOOK_BACK_MS, to_ms):
        times, values = series.setdefault(piece.channel.name, ([], []))
        times += piece.t_ms.tolist()
        values += piece.channel.scale(piece.steps).tolist()
        units[piece.channel.name] = piece.channel.unit
    return [one for one in alarms(series, units, from_ms, to_ms) if channels is None or one.channel in channels]
