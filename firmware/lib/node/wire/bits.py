"""Bits and variable-length integers, the letters that batches are written in.

Bits go most significant first. Varints are little-endian groups of seven bits and have one encoding per value. Readers never
read past their end and raise FormatError instead. Knows nothing of columns or headers.
"""

from node.compat import const
from node.errors import FormatError

MAX_VARINT_BYTES = const(9)   # 63 bits: fits a signed 64-bit column of the database


def zigzag(value: int) -> int:
    """Map signed to unsigned so that small magnitudes stay small: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unzigzag(value: int) -> int:
    """Undo zigzag."""
    return -((value + 1) >> 1) if value & 1 else value >> 1


def bit_width(value: int) -> int:
    """Return how many bits a non-negative integer needs; 0 needs none. MicroPython has no int.bit_length."""
    width = 0
    while value:
        width += 1
        value >>= 1
    return width


def put_varint(out: bytearray, value: int) -> None:
    """Append a non-negative integer below 2**63."""
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)


def get_varint(buf: bytes | memoryview, at: int, end: int) -> tuple[int, int]:
    """Read a varint.

    Returns:
        (value, position after it).

    Raises:
        FormatError: `bits.varint`: cut off, longer than 63 bits, or not the shortest form.
    """
    value = 0
    for i in range(MAX_VARINT_BYTES):
        if at + i >= end:
            break
        byte = buf[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            if i and not byte:
                break
            return value, at + i + 1
    raise FormatError("bits.varint", f"no varint at byte {at}")


class BitWriter:
    """Collects bits into bytes."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._acc = 0
        self._room = 8   # bits still free in the byte being filled

    def write(self, value: int, count: int) -> None:
        """Append the low `count` bits of a non-negative integer."""
        while count > 0:
            take = count if count < self._room else self._room
            count -= take
            self._acc = (self._acc << take) | ((value >> count) & ((1 << take) - 1))
            self._room -= take
            if not self._room:
                self._out.append(self._acc)
                self._acc = 0
                self._room = 8

    def unary(self, count: int) -> None:
        """Append `count` ones and a zero."""
        while count >= 8:
            self.write(0xFF, 8)
            count -= 8
        self.write((1 << (count + 1)) - 2, count + 1)

    def finish(self) -> bytes:
        """Fill the last byte with zeros and return everything."""
        if self._room < 8:
            self.write(0, self._room)
        return bytes(self._out)


class BitReader:
    """Reads bits from buf[at:end]."""

    def __init__(self, buf: bytes | memoryview, at: int, end: int) -> None:
        self._buf = buf
        self._bit = at << 3
        self._end = end << 3

    def read(self, count: int) -> int:
        """Return the next `count` bits as an integer.

        Raises:
            FormatError: `bits.short`: fewer bits are left.
        """
        bit = self._bit
        if bit + count > self._end:
            raise FormatError("bits.short", f"{count} bits wanted at bit {bit} of {self._end}")
        self._bit = bit + count
        value = 0
        while count > 0:
            left = 8 - (bit & 7)
            take = count if count < left else left
            value = (value << take) | ((self._buf[bit >> 3] >> (left - take)) & ((1 << take) - 1))
            bit += take
            count -= take
        return value

    def unary(self, limit: int) -> int:
        """Count ones up to the next zero.

        Raises:
            FormatError: `bits.unary`: more than `limit` ones; `bits.short`: no zero.
        """
        count = 0
        while self.read(1):
            count += 1
            if count > limit:
                raise FormatError("bits.unary", f"more than {limit} ones")
        return count

    def finish(self) -> None:
        """Check that only the zero bits that fill the last byte are left.

        Raises:
            FormatError: `bits.trailing`.
        """
        left = self._end - self._bit
        if left > 7 or self.read(left):
            raise FormatError("bits.trailing", f"{left} bits left over")
