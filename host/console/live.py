"""New readings, pushed: one look at the database for all listeners, and what is new of each device to those who want it.

Decides what is new: batches that were stored since the last look, in the order of their names. Looks at `progress`, a row a
device, and reads batches only where that moved. A batch that has no time or no schema yet is passed over; `series` has it when it
has. The number of listeners is bounded; one that does not keep up is dropped.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from host.console.telemetry import Telemetry
from host.console.watched import SourceError
from host.store.queries import Piece, Queries
from host.store.tables import progress

POLL_S = 0.5            # between two looks at the database; a reading is pushed within this and what its commit took
BEAT_S = 15.0           # between signs of life, so that proxies and readers know that the line is open
LISTENERS = 32
DEVICES = 50            # of one listener
QUEUE = 64              # events that wait for one listener
RECORDS = 32            # batches of one event; the rest comes with the next look

Json = dict[str, Any]
log = logging.getLogger(__name__)


class FullError(Exception):
    """There are as many listeners as there may be."""


@dataclass(eq=False)
class Listener:
    devices: frozenset[str]
    queue: "asyncio.Queue[bytes]" = field(default_factory=lambda: asyncio.Queue(QUEUE))
    dropped: bool = False


@dataclass
class _Followed:
    """One device.

    Attributes:
        records: how many were stored at the last look. at: (boot, seq) to read from. pushed: names from there on that were pushed:
            several workers store in any order.
    """

    records: int
    at: tuple[int, int]
    pushed: set[tuple[int, int]] = field(default_factory=set)


class Live:
    """All listeners of one console.

    Args:
        telemetry: the database.
    """

    def __init__(
        self, telemetry: Telemetry, *, poll_s: float = POLL_S, beat_s: float = BEAT_S, limit: int = LISTENERS,
    ) -> None:
        self._telemetry, self._poll_s, self._beat_s, self._limit = telemetry, poll_s, beat_s, limit
        self._listeners: set[Listener] = set()
        self._followed: dict[str, _Followed] = {}
        self._poller: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def listen(self, devices: Iterable[str]) -> Listener:
        """Take a place, which `leave` gives back.

        Raises:
            FullError: there is none.
        """
        if len(self._listeners) >= self._limit:
            raise FullError
        listener = Listener(frozenset(devices))
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Give the place back; once more changes nothing."""
        self._listeners.discard(listener)
        wanted = self._wanted()
        for device in self._followed.keys() - wanted:
            del self._followed[device]

    async def events(self, listener: Listener) -> AsyncGenerator[bytes, None]:
        """Server-sent events: first the newest values of each device, then what is new. Ends when the listener was dropped."""
        yield b"retry: 2000\n\n"
        for device in sorted(listener.devices):
            yield await self._first(device)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        while not (listener.dropped and listener.queue.empty()):
            try:
                async with asyncio.timeout(self._beat_s):
                    part = await listener.queue.get()
            except TimeoutError:
                part = b": here\n\n"
            yield part

    async def _first(self, device: str) -> bytes:
        """Newest values of a device; it is followed from them on."""
        try:
            marks, latest = await asyncio.to_thread(self._telemetry.asked, lambda queries, engine: (
                _marks(engine, [device]), queries.latest(device)))   # in this order: what is stored between them is not missed
        except SourceError as error:
            return _event("away", {"code": error.code, "message": error.message})
        self._followed.setdefault(device, marks.get(device) or _Followed(0, (0, 0)))
        return _event("latest", {"device": device, "latest": [asdict(one) for one in latest]})

    async def _poll(self) -> None:
        away = False
        while self._listeners:
            await asyncio.sleep(self._poll_s)
            names = sorted(self._wanted() & self._followed.keys())
            followed = {name: self._followed[name] for name in names}
            try:
                found = await asyncio.to_thread(self._telemetry.asked, lambda queries, engine, known=followed: _news(
                    queries, engine, known))
            except SourceError as error:
                if not away:
                    self._tell(None, _event("away", {"code": error.code, "message": error.message}))
                away = True
                continue
            away = False
            for device, event in found:
                self._tell(device, event)

    def _tell(self, device: str | None, event: bytes) -> None:
        for listener in list(self._listeners):
            if device is not None and device not in listener.devices:
                continue
            try:
                listener.queue.put_nowait(event)
            except asyncio.QueueFull:
                listener.dropped = True
                self.leave(listener)
                log.info("a listener did not keep up and is dropped")

    def _wanted(self) -> frozenset[str]:
        return frozenset().union(*(each.devices for each in self._listeners))


def _marks(engine: Engine, devices: Sequence[str]) -> dict[str, _Followed]:
    """How far each device is stored."""
    columns = (progress.c.device, progress.c.records, progress.c.boot, progress.c.next_seq)
    with engine.connect() as connection:
        rows = connection.execute(select(*columns).where(progress.c.device.in_(devices)))
        return {row.device: _Followed(row.records, (row.boot, row.next_seq)) for row in rows}


def _news(queries: Queries, engine: Engine, followed: Mapping[str, _Followed]) -> list[tuple[str, bytes]]:
    """What was stored of some devices since the last look, as events; moves them on. Runs on a thread, one look at a time."""
    events = []
    for device, now in _marks(engine, list(followed)).items():
        known = followed[device]
        if known.records == now.records:
            continue
        records = queries.stored(device, *known.at, RECORDS)
        fresh = [one for one in records if (one.boot, one.seq) not in known.pushed]
        known.pushed |= {(one.boot, one.seq) for one in fresh}
        if len(records) < RECORDS:
            known.records, known.at = now.records, now.at   # as it was before the look: what came meanwhile is read at the next
            known.pushed = {name for name in known.pushed if name >= now.at}
        else:
            known.at = (records[-1].boot, records[-1].seq + 1)
        channels = _by_channel(piece for one in fresh for piece in one.pieces)
        if channels:
            events.append((device, _event("readings", {"device": device, "channels": channels})))
    return events


def _by_channel(pieces: Iterable[Piece]) -> list[Json]:
    found: dict[tuple[str, str], Json] = {}
    for piece in pieces:
        channel = piece.channel
        one = found.setdefault((channel.name, channel.unit), {"name": channel.name, "unit": channel.unit, "t": [], "v": []})
        one["t"] += piece.t_ms.tolist()
        one["v"] += channel.scale(piece.steps).tolist()
    return list(found.values())


def _event(name: str, body: Json) -> bytes:
    return f"event: {name}\ndata: {json.dumps(body, separators=(',', ':'))}\n\n".encode()
