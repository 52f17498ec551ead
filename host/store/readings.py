"""Readings of a device at full resolution, in the order of time, in bounded memory; pages of them with a cursor.

Decides the order and the pages. What is stored comes from queries.Queries.pieces, which begin in the order of time and overlap: a
reading is given when nothing that still comes can be before it. Memory is bounded by AT_ONCE and what overlaps, not by the window.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.store.channels import Channel
from host.store.queries import Piece, Queries
from node.wire import batch

AT_ONCE = 1 << 16     # readings gathered before some are given: 2 MB
SLACK_MS = 60_000     # a reading may lie so long before its batch's first one: samples off the grid come in any order

# What a reading's time stands on: the clock that the device had, or the later one of its boot where it had none yet.
QUALITIES = {
    batch.QUALITY_NONE: "boot", batch.QUALITY_FLOOR: "boot", batch.QUALITY_SERVER: "server", batch.QUALITY_NTP: "ntp",
}
CURSOR = re.compile(r"([0-9]{1,15})-([0-9]{1,9})")


class CursorError(ValueError):
    """A cursor that no page of ours gave."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Some readings of one device, by time, then channel name, then value.

    Attributes:
        channels: those that `which` counts.
        t_ms: [n] Unix milliseconds. which: [n] index of the channel. steps: [n] scaled integers. quality: [n] QUALITIES.
    """

    channels: tuple[Channel, ...]
    t_ms: npt.NDArray[np.int64]
    which: npt.NDArray[np.int32]
    steps: npt.NDArray[np.int64]
    quality: npt.NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.t_ms)

    def part(self, use: slice | npt.NDArray[np.bool_]) -> "Readings":
        """Some of them, in the same order."""
        return Readings(self.channels, self.t_ms[use], self.which[use], self.steps[use], self.quality[use])

    def of_each(self) -> Iterator[tuple[Channel, npt.NDArray[np.intp]]]:
        """Each channel that is in it with the places of its readings."""
        for index, channel in enumerate(self.channels):
            places = np.flatnonzero(self.which == index)
            if len(places):
                yield channel, places


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the next page begins: at t_ms, behind `skip` readings of that very millisecond."""

    t_ms: int
    skip: int

    def __str__(self) -> str:
        return f"{self.t_ms}-{self.skip}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what `str` made.

        Raises:
            CursorError: it is none.
        """
        found = CURSOR.fullmatch(text)
        if found is None:
            raise CursorError(f"cursor: got {text[:40]!r}, expected the `next` of the page before, unchanged")
        return cls(int(found[1]), int(found[2]))


def readings(
    queries: Queries, device: str, names: Iterable[str] | None, from_ms: int, to_ms: int, at_once: int = AT_ONCE,
) -> Iterator[Readings]:
    """Every reading of some channels in [from_ms, to_ms], in the order of time.

    Args:
        names: of channels; None means all.
        at_once: readings gathered before some are given.
    """
    held = _Held()
    for piece in queries.pieces(device, names, from_ms, to_ms):
        if held.count >= at_once and held.count >= 2 * held.kept:
            yield from _split(held.until(piece.start_ms - SLACK_MS), at_once)
        held.add(piece)
    yield from _split(held.until(None), at_once)


def page(
    queries: Queries, device: str, names: Iterable[str] | None, from_ms: int, to_ms: int, limit: int, cursor: Cursor | None = None,
) -> tuple[list[Readings], Cursor | None]:
    """At most `limit` readings from the cursor on, and where the next page begins (None: this was the last one)."""
    start, skip = (from_ms, 0) if cursor is None else (max(from_ms, cursor.t_ms), cursor.skip)
    given: list[Readings] = []
    left, last = limit, Cursor(start, skip)
    for chunk in readings(queries, device, names, start, to_ms, min(AT_ONCE, 2 * limit)):
        now = chunk
        if skip:
            again = min(skip, int(np.count_nonzero(chunk.t_ms == start)))
            now, skip = chunk.part(slice(again, None)), 0
        if left == 0 and len(now):
            return given, last
        taken = now.part(slice(0, left))
        if len(taken):
            at_ms = int(taken.t_ms[-1])
            here = int(np.count_nonzero(taken.t_ms == at_ms))
            last = Cursor(at_ms, here + (last.skip if last.t_ms == at_ms else 0))
            given.append(taken)
            left -= len(taken)
        if len(taken) < len(now):
            return given, last
    return given, None


def _split(some: Readings, at_once: int) -> Iterator[Readings]:
    """Parts of about `at_once` readings; those of one time stay together."""
    while len(some):
        cut = len(some) if len(some) <= at_once else int(np.searchsorted(some.t_ms, some.t_ms[at_once]))
        cut = cut or int(np.searchsorted(some.t_ms, some.t_ms[0], side="right"))
        yield some.part(slice(0, cut))
        some = some.part(slice(cut, None))


class _Held:
    """Readings that wait for those before them."""

    def __init__(self) -> None:
        self._channels: dict[Channel, int] = {}
        self._parts: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int8]]] = []
        self.count = self.kept = 0

    def add(self, piece: Piece) -> None:
        index = self._channels.setdefault(piece.channel, len(self._channels))
        count = len(piece.t_ms)
        self._parts.append((piece.t_ms, np.full(count, index, np.int32), piece.steps, piece.quality.astype(np.int8)))
        self.count += count

    def until(self, end_ms: int | None) -> Readings:
        """Give those before a time in order, and keep the others; None gives all."""
        channels = tuple(self._channels)
        if not self._parts:
            empty = np.empty(0, np.int64)
            return Readings(channels, empty, empty.astype(np.int32), empty, empty.astype(np.int8))
        t_ms, which, steps, quality = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        by_name = sorted(range(len(channels)), key=lambda index: (channels[index].name, channels[index].unit, index))
        rank = np.empty(len(channels), np.int32)
        rank[by_name] = np.arange(len(channels), dtype=np.int32)
        order = np.lexsort((steps, rank[which], t_ms))
        together = Readings(channels, t_ms[order], which[order], steps[order], quality[order])
        cut = len(order) if end_ms is None else int(np.searchsorted(together.t_ms, end_ms))
        rest = together.part(slice(cut, None))
        self._parts = [(rest.t_ms, rest.which, rest.steps, rest.quality)] if len(rest) else []
        self.count = self.kept = len(rest)
        return together.part(slice(0, cut))
