"""SenML packs of a group become records of ours, within the transaction that stores them.

Decides which packs are repetitions, when a device's schemas are told, and which names its batches get: the host numbers them, since
the device does not. What a pack's numbers become is foreign.py's decision.

A pack whose times are absolute is named by its bytes: the same bytes again are a repetition. One that says "now" may be sent again
with the same bytes and mean another reading, so only what the broker marks as a copy is taken for a repetition of it.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

from host.ingest.foreign import draw, schemas
from host.ingest.sort import Pack, Record, Reject, Sorted, record_of
from host.store.foreign import ForeignRows, Place
from node.errors import FormatError
from node.wire import batch, schema

DIGEST_BYTES = 16   # of a SHA-256


def unpack(
    rows: ForeignRows, group: Sequence[Sorted], now_ms: int, *, rounding: bool
) -> tuple[list[Sorted], Counter[str]]:
    """Put records in the place of packs.

    Args:
        rows: of the transaction that will store the records.
        rounding: see foreign.draw.

    Returns:
        The group, and how many packs of each device were repetitions.
    """
    places = {device: rows.lock(device) for device in sorted({one.device for one in group if isinstance(one, Pack)})}
    unpacked: list[Sorted] = []
    repeated: Counter[str] = Counter()
    for one in group:
        if not isinstance(one, Pack):
            unpacked.append(one)
            continue
        place = places[one.device]
        if place is None:
            unpacked.append(Reject(one.topic, one.device, "senml.ours", one.payload))
            continue
        try:
            records = _records(rows, place, one, now_ms, rounding=rounding)
        except FormatError as error:
            unpacked.append(Reject(one.topic, one.device, error.code, one.payload))
            continue
        if records is None:
            repeated[one.device] += 1
        unpacked += records or ()
        if not all(each.has_number for each in one.measured):
            unpacked.append(Reject(one.topic, one.device, "senml.no_number", one.payload))
    return unpacked, repeated


def _records(rows: ForeignRows, place: Place, pack: Pack, now_ms: int, *, rounding: bool) -> list[Record] | None:
    """The records of one pack, schemas first where they were not told; None when the pack came before."""
    arrived_ms = pack.arrived_ms or now_ms
    drawn = draw(pack.device, place.book, pack.measured, arrived_ms, rounding=rounding)
    digest = hashlib.sha256(pack.payload).digest()[:DIGEST_BYTES]
    says_now = any(one.is_relative for one in pack.measured)
    if not rows.is_new(pack.device, digest, now_ms, may_repeat=says_now and not pack.copy):
        return None
    finer = any(key in place.book for key in drawn.changed)
    place.book = drawn.book
    wanted = [draft.schema for draft in drawn.drafts]
    if finer:   # a new boot, whose schemas are those that it tells now: readers need none of the coarser ones any more
        place.boot, place.next_seq, place.told = place.boot + 1, 0, set()
        wanted = schemas(place.book) + wanted
    records = []
    for canonical in dict.fromkeys(wanted):
        if schema.schema_hash(canonical) not in place.told:
            place.told.add(schema.schema_hash(canonical))
            records.append(_named(place, pack.device, batch.schema_record(place.boot, place.next_seq, canonical)))
    for draft in drawn.drafts:
        records.append(_named(place, pack.device, draft.encode(place.boot, place.next_seq)))
    rows.save(pack.device, place, drawn.changed)
    return records


def _named(place: Place, device: str, payload: bytes) -> Record:
    place.next_seq += 1
    return record_of(device, payload)
