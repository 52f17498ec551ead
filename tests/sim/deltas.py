"""Deltas for tests on CPython and on MicroPython: written by hand or by a simple comparison, deflated without compression.

Real ones are made by ota/release/delta.py, which needs a suffix array and CPython.
"""

import sys

from node.wire.delta import MAGIC, MAX_ADD_BYTES, RECENT

if sys.implementation.name == "micropython":
    sys.path.insert(0, __file__[:-len("tests/sim/deltas.py")] + "firmware")
    from board.deltas import inflate
    sys.path.pop(0)
else:
    from ota.release.patch import Inflated

    def inflate(file, window_bits):
        return Inflated(file)


class Tools:
    """The Deltas port; `free` bytes are left in the file system."""

    def __init__(self, free=1 << 20):
        self.free = free
        self.inflate = inflate

    def free_bytes(self):
        return self.free


def number(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def record(move=0, runs=(), tail=0, insert=b""):
    """A record's bytes; `runs` are (bytes copied, differences, or a recent difference's number)."""
    text = number(2 * move if move >= 0 else -2 * move - 1) + number(len(runs))
    for same, difference in runs:
        text += number(same)
        text += number(difference) if isinstance(difference, int) else number(RECENT + len(difference) - 1) + difference
    return text + number(tail) + number(len(insert)) + insert


def delta(base, size, *records):
    """A whole delta of these records."""
    return MAGIC + len(base).to_bytes(4, "little") + size.to_bytes(4, "little") + stored(b"".join(records))


def stored(text):
    """A raw deflate stream of blocks that are not compressed."""
    out = b""
    for at in range(0, max(1, len(text)), 0xFFFF):
        part = text[at:at + 0xFFFF]
        size = len(part)
        out += bytes([at + 0xFFFF >= len(text)]) + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + part
    return out


def between(base, target):
    """A delta of one record: byte by byte as far as both go, then what is new."""
    both = min(len(base), len(target))
    runs, same, at = [], 0, 0
    while at < both:
        end = at
        while end < both and end - at < MAX_ADD_BYTES and base[end] != target[end]:
            end += 1
        if end > at:
            runs.append((same, bytes([target[i] - base[i] & 255 for i in range(at, end)])))
            same, at = 0, end
        else:
            same, at = same + 1, at + 1
    return delta(base, len(target), record(0, runs, same, target[both:]))
