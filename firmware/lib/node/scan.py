"""Finds the log on a partition, after a start: what was written last, what is acknowledged, and where the next record goes.

Reads only. Loaded to mount a ring, and not while it works.
"""

import struct

from node.compat import TYPE_CHECKING
from node.wire.sector import ACK, DATA, HEADER_BYTES, SECTOR_BYTES

if TYPE_CHECKING:
    from node.chain import Chain
    from node.hints import Any
    from node.sectors import Sectors


def scan(log: "Chain", io: "Sectors") -> "tuple[Any, ...]":
    """Find the newest sector and read it to its end: at most two reads of each header. Sets the head and the end of `log`.

    Returns:
        (next_seq, acked, tally, dropped, dropped_weight, boot of the last record, first seq not acknowledged, (sector number,
        offset) at or before that one, whether the newest sector takes no more records, torn records found, foreign sectors).
    """
    foreign = 0
    for i in range(io.count):
        head = io.header(i)
        if head is None:
            foreign += not io.is_erased(i, 0, HEADER_BYTES)
        elif head.number > log.head.number:
            log.head = head
    head = log.head
    if head.number < 0:   # an empty ring
        return 0, None, 0, 0, 0, 0, 0, (0, 0), True, 0, foreign
    next_seq, acked, tally, boot = head.first_seq, head.acked, head.tally, head.boot
    at = io.start
    found = io.find(head, at, SECTOR_BYTES)
    while found:
        at, kind, of_boot, seq, weight, length = found
        if kind == DATA:
            next_seq, boot = seq + 1, of_boot
            tally += weight
        elif kind == ACK:
            acked = struct.unpack("<II", io.data(head.number, at, length))
        at += io.record_bytes(length)
        found = io.find(head, at, SECTOR_BYTES)
    log.end = at
    closed = not io.is_erased(head.number % io.count, at)   # a torn record
    if next_seq == head.first_seq:   # cut before the sector's first record
        before = log.step(*log.place_of(next_seq - 1), next_seq - 1)
        boot = before[2] if before else boot
    unacked = 0
    if acked:
        unacked = acked[1] + 1
        next_seq = max(next_seq, unacked)
    oldest = log.first(0)
    unacked = max(unacked, oldest.first_seq if oldest else next_seq)
    place = log.step(*log.place_of(unacked), unacked)
    tail = place[:2] if place else (head.number, at)
    return next_seq, acked, tally, head.dropped, head.dropped_weight, boot, unacked, tail, closed, int(closed), foreign
