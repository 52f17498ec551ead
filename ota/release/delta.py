"""Deltas: from an older bundle or image to a newer one, found with bsdiff and coded so that a device applies them in one pass.

bsdiff (suffix sorting of the whole base) says which bytes of the base, moved and slightly changed, the target is made of. Its own
file has three streams, each compressed by bzip2, which a device can neither hold nor undo; here they are one stream of records
(`node.wire.delta`), deflated with a window of 1 KiB. Applies nothing (patch.py), signs nothing and names no releases.
"""

import bz2
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from importlib import import_module
from itertools import pairwise

from node.wire import delta as delta_format
from ota.release.patch import Delta

WORTH = 2   # a delta is kept when it is smaller than the target by this factor: a device spends flash and time on it
_HEAD = struct.Struct("<8s3q")   # of a BSDIFF40 file: magic, compressed sizes of control and differences, size of the target
_DIFFERENT = re.compile(rb"[^\0]+")


def to(target: bytes, bases: Iterable[bytes]) -> list[Delta]:
    """The deltas to a target that are worth it, none twice; also from the target itself, for devices that have it already."""
    found = {base: Delta.of(base, make(base, target)) for base in dict.fromkeys(bases)}
    return [delta for delta in found.values() if len(delta.content) * WORTH <= len(target)]


def make(base: bytes, target: bytes) -> bytes:
    """Build the delta from a base to a target; the same two give the same bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -delta_format.WINDOW_BITS, 9)
    text = b"".join(_instructions(base, target))
    head = delta_format.MAGIC + struct.pack("<II", len(base), len(target))
    return head + packer.compress(text) + packer.flush()


def _instructions(base: bytes, target: bytes) -> Iterator[bytes]:
    """The records, one after the other (firmware/SPEC.md, "Delta")."""
    recent: list[bytes] = []
    move = 0   # of the place in the base, before a record
    for copied, added, moved in _found(base, target):
        runs, at = [], 0
        for match in _DIFFERENT.finditer(copied):
            same = match.start() - at
            for start in range(0, len(match[0]), delta_format.MAX_ADD_BYTES):
                runs.append(_number(same) + _difference(match[0][start:start + delta_format.MAX_ADD_BYTES], recent))
                same = 0
            at = match.end()
        if copied or added:
            yield _number(2 * move if move >= 0 else -2 * move - 1) + _number(len(runs)) + b"".join(runs)
            yield _number(len(copied) - at) + _number(len(added)) + added
            move = 0
        move += moved


def _difference(difference: bytes, recent: list[bytes]) -> bytes:
    """One difference told, by its place among the recent ones if it is there."""
    if difference in recent:
        place = recent.index(difference)
        recent.insert(0, recent.pop(place))
        return _number(place)
    if len(difference) <= delta_format.MAX_RECENT_BYTES:
        recent.insert(0, difference)
        del recent[delta_format.RECENT:]
    return _number(delta_format.RECENT + len(difference) - 1) + difference


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _found(base: bytes, target: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """What bsdiff found: differences to as many bytes of the base, new bytes, how far to move in the base then."""
    raw: bytes = import_module("bsdiff4").diff(base, target)   # it has no types
    _, control_bytes, differences_bytes, _ = _HEAD.unpack_from(raw)
    cuts = (_HEAD.size, _HEAD.size + control_bytes, _HEAD.size + control_bytes + differences_bytes, len(raw))
    control, differences, extra = (bz2.decompress(raw[start:end]) for start, end in pairwise(cuts))
    at = new = 0
    for copied, added, moved in struct.iter_unpack("<3Q", control):
        yield differences[at:at + copied], extra[new:new + added], _signed(moved)
        at, new = at + copied, new + added


def _signed(value: int) -> int:
    """Bsdiff's integers have a bit for their sign."""
    return -(value & (1 << 63) - 1) if value >> 63 else value
