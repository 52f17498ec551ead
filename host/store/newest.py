"""The newest value of each channel, of one device or of all, and which batches must stay for it.

Decides what counts as newest: of each group of channels (a schema that the device's newest boot told) the newest batch, by its
name. A channel without a value in there may have one in the LOOKBACK records of the device before it; one that was silent for
longer has none. Whatever else lies between does not matter, so an answer is the same when the others have been moved into day
columns. All devices' newest batches are found by one statement for IN_LIMIT of them, and of most nothing else is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from host.ingest.decode import DecodedBatch
from host.ingest.lasts import Lasts, lasts
from host.store.channels import EXACT_FACTOR, Channel, tells_alarms
from host.store.decoder import Decoder
from host.store.schemas import channels_of
from host.store.tables import KIND_BATCH, batch, schema

LOOKBACK = 8        # records of a device before its group's newest, in which a channel's newest value is looked for
IN_LIMIT = 500

GOOD, OLD, NONE = "good", "old", "none"   # quality of a newest value: see Latest

Groups = dict[bytes, tuple[Channel, ...]]   # schema -> its channels


@dataclass(frozen=True, slots=True)
class Latest:
    """A channel's newest value.

    Attributes:
        t_ms: when it was sampled; None while the boot's clock is not known or there is no value.
        quality: "good" it is of the newest sample; "old" newer samples had no value of this channel; "none" no value lately.
    """

    channel: str
    unit: str
    t_ms: int | None
    value: float | None
    quality: str


def newest(connection: Connection, decoder: Decoder, devices: Sequence[str]) -> dict[str, list[Latest]]:
    """The newest values of devices, in the order given; an empty list when nothing of one can be read."""
    answers: dict[str, list[Latest]] = {}
    for at in range(0, len(devices), IN_LIMIT):
        some = devices[at : at + IN_LIMIT]
        groups = {
            device: {key: group for key, group in of_device.items() if not tells_alarms(group)}
            for device, of_device in groups_of(connection, some).items()
        }
        found = {
            device: {name: one for channels in of_device.values() for name, one in _nothing(channels).items()}
            for device, of_device in groups.items()
        }
        rows = [row for row in _newest_rows(connection, some) if bytes(row.schema) in groups[row.device]]
        for row, quick in zip(rows, lasts([row.payload for row in rows]), strict=True):
            channels = groups[row.device][bytes(row.schema)]
            if quick is None or len(quick.place) != len(channels) or not _quickly(row, channels, quick, found[row.device]):
                _fill(connection, decoder, row, channels, found[row.device])
        answers |= {device: list(of_device.values()) for device, of_device in found.items()}
    return answers


def groups_of(connection: Connection, devices: Sequence[str]) -> dict[str, Groups]:
    """The schemas that each device's newest boot told, in that order; one that does not parse is left out."""
    found: dict[str, Groups] = {device: {} for device in devices}
    last = schema.alias()
    newest_boot = select(func.max(last.c.boot)).where(last.c.device == schema.c.device).scalar_subquery()
    query = (
        select(schema.c.device, schema.c.hash, schema.c.body)
        .where(schema.c.device.in_(devices), schema.c.boot == newest_boot).order_by(schema.c.device, schema.c.seq)
    )
    for row in connection.execute(query):
        channels = channels_of(row.device, bytes(row.body))
        if channels:
            found[row.device][bytes(row.hash)] = channels
    return found


def needed(connection: Connection, decoder: Decoder, device: str) -> set[tuple[int, int]]:
    """Names of the batches that answers stand on, of all schemas that the device ever told: they stay."""
    ranked = select(
        batch.c.schema, batch.c.boot, batch.c.seq,
        func.row_number().over(partition_by=batch.c.schema, order_by=(batch.c.boot.desc(), batch.c.seq.desc())).label("place"),
    ).where(batch.c.device == device, batch.c.kind == KIND_BATCH).subquery()
    kept: set[tuple[int, int]] = set()
    for row in connection.execute(select(ranked).where(ranked.c.place == 1)).all():
        kept.add((row.boot, row.seq))
        left = {one.name for one in decoder.schemas.of(connection, device, row.schema)}
        for one, channels, decoded in decoder.of(connection, device, _back(connection, device, row.schema, row.seq)):
            told = {channel.name for channel, valid in zip(channels, decoded.valid, strict=True) if valid.any()}
            if left & told:
                kept.add((one.boot, one.seq))
            left -= told
            if not left:
                break
    return kept


def _newest_rows(connection: Connection, devices: Sequence[str]) -> Iterator[Any]:
    """The newest batch of each schema of the newest boot, of some devices."""
    last, of_group = schema.alias(), batch.alias()
    newest_boot = select(func.max(last.c.boot)).where(last.c.device == schema.c.device).scalar_subquery()
    name = (
        select(of_group.c.boot, of_group.c.seq)
        .where(of_group.c.device == schema.c.device, of_group.c.schema == schema.c.hash, of_group.c.kind == KIND_BATCH)
        .order_by(of_group.c.boot.desc(), of_group.c.seq.desc()).limit(1)
    )
    named = (
        select(schema.c.device, name.with_only_columns(of_group.c.boot).scalar_subquery().label("boot"),
               name.with_only_columns(of_group.c.seq).scalar_subquery().label("seq"))
        .where(schema.c.device.in_(devices), schema.c.boot == newest_boot).subquery()
    )
    columns = (batch.c.device, batch.c.boot, batch.c.seq, batch.c.schema, batch.c.uptime_ms, batch.c.start_ms, batch.c.payload)
    yield from connection.execute(select(*columns).join_from(
        named, batch, (batch.c.device == named.c.device) & (batch.c.boot == named.c.boot) & (batch.c.seq == named.c.seq))).all()


def _back(connection: Connection, device: str, schema_hash: bytes, seq: int) -> Iterator[Any]:
    """The batches of a schema from the newest one on, `seq`, back as far as is looked for values."""
    columns = (batch.c.boot, batch.c.seq, batch.c.schema, batch.c.uptime_ms, batch.c.start_ms, batch.c.payload)
    yield from connection.execute(
        select(*columns)
        .where(batch.c.device == device, batch.c.kind == KIND_BATCH, batch.c.schema == schema_hash, batch.c.seq > seq - LOOKBACK,
               batch.c.seq <= seq)
        .order_by(batch.c.boot.desc(), batch.c.seq.desc())).all()


def _quickly(row: Any, channels: tuple[Channel, ...], quick: Lasts, found: dict[str, Latest]) -> bool:
    """Take what the newest batch of a group says; gives whether every channel has a value in there."""
    if min(quick.place) < 0:
        return False
    for channel, (factor, divisor), place, step in zip(channels, _scales(channels), quick.place, quick.value, strict=True):
        if found[channel.name].quality == NONE:
            t_ms = None if row.start_ms is None else row.start_ms + quick.uptime_ms(place) - row.uptime_ms
            value = step * factor / divisor if factor < EXACT_FACTOR else float(step * channel.resolution)
            found[channel.name] = Latest(channel.name, channel.unit, t_ms, value, GOOD if place == quick.samples - 1 else OLD)
    return True


@lru_cache(256)
def _nothing(channels: tuple[Channel, ...]) -> dict[str, Latest]:
    """What is answered of channels without a value."""
    return {one.name: Latest(one.name, one.unit, None, None, NONE) for one in channels}


@lru_cache(256)
def _scales(channels: tuple[Channel, ...]) -> tuple[tuple[int, int], ...]:
    """Factor and divisor of each; as Channel.scale, the quotient of two integers is rounded once."""
    return tuple((one.factor, one.divisor) for one in channels)


def _fill(connection: Connection, decoder: Decoder, row: Any, channels: tuple[Channel, ...], found: dict[str, Latest]) -> None:
    """Take what the newest batch of a group says, and of what it does not, what those before it say."""
    decoded = decoder.read(row.device, channels, row.payload)
    if decoded is not None and _take(row, channels, decoded, found, newest=True):
        return
    before = (one for one in _back(connection, row.device, row.schema, row.seq) if (one.boot, one.seq) != (row.boot, row.seq))
    for one, _, older in decoder.of(connection, row.device, before):
        if _take(one, channels, older, found, newest=False):
            return


def _take(row: Any, channels: tuple[Channel, ...], decoded: DecodedBatch, found: dict[str, Latest], *, newest: bool) -> bool:
    """Fill in those channels that have no value yet; gives whether all have one."""
    whole = True
    for channel, values, valid in zip(channels, decoded.values, decoded.valid, strict=True):
        if found[channel.name].quality != NONE:
            continue
        places = np.flatnonzero(valid)
        if not len(places):
            whole = False
            continue
        at = int(places[-1])
        t_ms = None if row.start_ms is None else row.start_ms + int(decoded.uptime_ms[at]) - row.uptime_ms
        good = newest and at == len(valid) - 1
        value = float(channel.scale(values[at : at + 1])[0])
        found[channel.name] = Latest(channel.name, channel.unit, t_ms, value, GOOD if good else OLD)
    return whole
