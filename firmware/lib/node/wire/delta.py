"""The delta: what turns one older bundle or image into one newer. Takes the instructions apart; firmware/SPEC.md has the bytes.

A target is made in one pass from its beginning to its end, of three kinds of bytes: the base's as they are, the base's with
something added, and new ones. Bounded by the sizes of base and target, which are signed. Inflates nothing, reads no flash and
does not know how deltas are found (ota/release/delta.py); a delta has been verified by its SHA-256 before it comes here.
"""

from node.compat import Any, const
from node.errors import FormatError

MAGIC = b"TFD1"
HEAD_BYTES = const(12)   # magic, size of the base, size of the target
WINDOW_BITS = const(10)   # of the deflated rest: 1 KiB of RAM in one piece; 4 KiB would save 4 % where much is new, else nothing
PIECE_BYTES = const(512)   # of the target, made at a time: RAM in one piece
RECENT = const(16)   # differences that are told by a number: an address that moved is found in many places
MAX_RECENT_BYTES = const(4)   # of each: an address
MAX_ADD_BYTES = const(64)   # of a difference: RAM
_READ_BYTES = const(128)   # instructions inflated at a time
_MAX_SHIFT = const(21)   # of a number's last seven bits: numbers are below 2^28


def head(raw: bytes | bytearray) -> tuple[int, int]:
    """Sizes of base and target, from a delta's first HEAD_BYTES.

    Raises:
        FormatError: `delta.magic`.
    """
    if len(raw) < HEAD_BYTES or raw[:4] != MAGIC:
        raise FormatError("delta.magic", f"got {bytes(raw[:HEAD_BYTES])!r}")
    return int.from_bytes(raw[4:8], "little"), int.from_bytes(raw[8:12], "little")


class Patch:
    """A target being made.

    Args:
        stream: the inflated instructions; its readinto() raises OSError, EOFError or ValueError when they are damaged.
        read: fills a buffer from an offset of the base; what it raises goes through.
        base: the base's size. size: the target's.
    """

    def __init__(self, stream: Any, read: Any, base: int, size: int) -> None:
        self._stream, self._read, self._base = stream, read, base
        self._left = size   # bytes of the target that no instruction has claimed
        self._before = -1   # the same when this record began; -1 between two records
        self._out = memoryview(bytearray(PIECE_BYTES))
        self._text = memoryview(bytearray(_READ_BYTES))
        self._text_at = self._text_end = 0
        self._recent: list[bytes] = []
        self._at = 0      # in the base
        self._runs = 0    # of this record, still to come
        self._copy = 0    # bytes of the base to come as they are
        self._add = b""   # differences to come, added to the base's next bytes
        self._insert = 0  # new bytes to come

    def piece(self) -> memoryview:
        """The next bytes of the target, PIECE_BYTES of them but at its end, then none; valid until the next call.

        Raises:
            FormatError: `delta.base`: an instruction leads out of the base. `delta.size`: it makes too much, or a record makes
                nothing. `delta.number`, `delta.short`, `delta.inflate`. `delta.trailing`: something follows the target's end.
        """
        out, made = self._out, 0
        while made < PIECE_BYTES:
            if self._copy:
                n = min(self._copy, PIECE_BYTES - made)
                self._read(self._at, out[made:made + n])
                self._at += n
                self._copy -= n
            elif self._add:
                n = min(len(self._add), PIECE_BYTES - made)
                self._read(self._at, out[made:made + n])
                for i in range(n):
                    out[made + i] = out[made + i] + self._add[i] & 255
                self._at += n
                self._add = self._add[n:]
            elif self._insert:
                n = min(self._insert, PIECE_BYTES - made)
                self._take(out[made:made + n])
                self._insert -= n
            elif self._left or self._before >= 0:
                self._instruct()
                n = 0
            else:
                break
            made += n
        if not made and (self._text_at < self._text_end or self._inflate()):
            raise FormatError("delta.trailing", "instructions behind the target's end")
        return out[:made]

    def _instruct(self) -> None:
        """Begin a record, read its next run, or its end."""
        if self._before < 0:
            self._before = self._left
            move = self._number()
            self._at += -(move + 1 >> 1) if move & 1 else move >> 1
            self._runs = self._number()
            self._claim(0, self._at)
        elif self._runs:
            self._runs -= 1
            self._copy = self._number()
            self._add = self._difference()
            n = self._copy + len(self._add)
            self._claim(n, self._at + n)
        else:
            self._copy, self._insert = self._number(), self._number()
            self._claim(self._copy + self._insert, self._at + self._copy)
            if self._left == self._before:
                raise FormatError("delta.size", "a record that makes nothing")
            self._before = -1

    def _claim(self, n: int, end: int) -> None:
        """Take n more bytes of the target, for which the base is read up to `end`."""
        self._left -= n
        if self._left < 0:
            raise FormatError("delta.size", f"{-self._left} bytes too many")
        if not 0 <= end <= self._base:
            raise FormatError("delta.base", f"to {end} of {self._base} bytes")

    def _difference(self) -> bytes:
        number = self._number()
        if number < RECENT:
            if number >= len(self._recent):
                raise FormatError("delta.number", f"difference {number} of {len(self._recent)}")
            found = self._recent.pop(number)
        else:
            n = number - RECENT + 1
            if n > MAX_ADD_BYTES:
                raise FormatError("delta.number", f"{n} differences, at most {MAX_ADD_BYTES}")
            taken = bytearray(n)
            self._take(memoryview(taken))
            found = bytes(taken)
            if n > MAX_RECENT_BYTES:
                return found
            self._recent = self._recent[:RECENT - 1]
        self._recent.insert(0, found)
        return found

    def _number(self) -> int:
        """Seven bits a byte, the lowest first; the highest bit says that more follow."""
        value = shift = 0
        while True:
            if self._text_at == self._text_end and not self._inflate():
                raise FormatError("delta.short", "the instructions end early")
            byte = self._text[self._text_at]
            self._text_at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > _MAX_SHIFT:
                raise FormatError("delta.number", "more than 28 bits")

    def _take(self, out: memoryview) -> None:
        """Fill `out` with the next bytes among the instructions."""
        at = 0
        while at < len(out):
            if self._text_at == self._text_end and not self._inflate():
                raise FormatError("delta.short", "the instructions end early")
            n = min(len(out) - at, self._text_end - self._text_at)
            out[at:at + n] = self._text[self._text_at:self._text_at + n]
            self._text_at += n
            at += n

    def _inflate(self) -> bool:
        """Have more instructions, all that were there being used; False when there are none."""
        try:
            self._text_at, self._text_end = 0, self._stream.readinto(self._text)
        except (OSError, EOFError, ValueError) as error:
            raise FormatError("delta.inflate", repr(error))
        return self._text_end > 0
