"""Integers by magnitude: how many bits each has in a prefix code made for this list, then its sign and bits.

For lists of mostly small numbers with large ones among them, whose tail is too long for Rice codes. Class c holds the magnitudes
from 2**(c-1) to 2**c - 1, class 0 holds 0. The code is Huffman's, in its canonical form, so its lengths alone describe it.
"""

from node.compat import TYPE_CHECKING, const
from node.errors import FormatError
from node.wire.bits import BitReader, BitWriter, bit_width

if TYPE_CHECKING:
    from node.hints import Protocol

    class Source(Protocol):
        """A BitReader, or the host's."""

        def read(self, count: int) -> int: ...


LENGTH_BITS = const(3)   # field that holds a code length; 0: the class does not occur
MAX_LENGTH = const(7)
MAX_CLASS = const(32)   # of the largest step between two 32-bit values
_WHOLE = const(1 << MAX_LENGTH)   # what the codes of a complete prefix code fill


def cost(codes: list[int], limit: int) -> int:
    """Return the bits that put() takes; `limit` when it is at least so much."""
    counts = _count(codes)
    bits = LENGTH_BITS * len(counts)
    for i in range(len(counts)):
        bits += i * counts[i]
    if bits + len(codes) >= limit:   # a code has a bit or more
        return limit
    lengths = _lengths(counts)
    for i in range(len(counts)):
        bits += counts[i] * lengths[i]
    return min(bits, limit)


def put(out: BitWriter, codes: list[int]) -> None:
    """Append the prefix code, and the values, which come as zigzag codes."""
    lengths = _lengths(_count(codes))
    for length in lengths:
        out.write(length, LENGTH_BITS)
    words = _codes(lengths)
    for code in codes:
        of = bit_width(code + 1 >> 1)
        out.write(words[of], lengths[of])
    for code in codes:
        if code:
            out.write(code, 1)   # odd: negative
            out.write(code + 1 >> 1, bit_width(code + 1 >> 1) - 1)


def get(source: BitReader, count: int) -> list[int]:
    """Read so many values.

    Raises:
        FormatError: `batch.column`: no complete prefix code, or the reader's `bits.*`.
    """
    lengths = read_lengths(source)
    codes = _codes(lengths)
    found = {(lengths[i], codes[i]): i for i in range(len(lengths)) if lengths[i]}
    members = []
    for _ in range(count):
        code = length = 0
        while (length, code) not in found:
            code = code << 1 | source.read(1)
            length += 1
        members.append(found[length, code])
    values = []
    for of in members:
        sign = source.read(1) if of else 0
        value = 1 << (of - 1) | source.read(of - 1) if of else 0
        values.append(-value if sign else value)
    return values


def read_lengths(source: "Source") -> list[int]:
    """Return the code length of each class, from 0 on; the list ends where the code is complete.

    Raises:
        FormatError: `batch.column`, or the reader's `bits.*`.
    """
    lengths: list[int] = []
    free = _WHOLE
    while free > 0:
        if len(lengths) > MAX_CLASS:
            raise FormatError("batch.column", f"no complete code in {len(lengths)} classes")
        length = source.read(LENGTH_BITS)
        lengths.append(length)
        free -= _WHOLE >> length if length else 0
    if free:
        raise FormatError("batch.column", f"code lengths {lengths}")
    return lengths


def table(lengths: list[int]) -> list[tuple[int, int]]:
    """Return (class, code length) for each MAX_LENGTH bits that a code may begin."""
    found = [(0, 0)] * _WHOLE
    codes = _codes(lengths)
    for i in range(len(lengths)):
        if lengths[i]:
            span = _WHOLE >> lengths[i]
            found[codes[i] * span:(codes[i] + 1) * span] = [(i, lengths[i])] * span
    return found


def _count(codes: list[int]) -> list[int]:
    """Return how many values are in each class, at least two."""
    counts = [0, 0]
    for code in codes:
        of = bit_width(code + 1 >> 1)
        while of >= len(counts):
            counts.append(0)
        counts[of] += 1
    return counts


def _lengths(counts: list[int]) -> list[int]:
    """Return Huffman's code lengths, none over MAX_LENGTH; a code of one class gets a second member."""
    n = len(counts)
    weights = list(counts)
    if n - weights.count(0) < 2:
        weights[0 if weights[0] == 0 else 1] = 1
    while True:
        above = [0] * (2 * n)   # the node over each node; 0: none, since leaves come first
        while True:
            one = other = -1   # the lightest two without a node above
            for i in range(len(weights)):
                if weights[i] and not above[i]:
                    if one < 0 or weights[i] < weights[one]:
                        one, other = i, one
                    elif other < 0 or weights[i] < weights[other]:
                        other = i
            if other < 0:
                break
            above[one] = above[other] = len(weights)
            weights.append(weights[one] + weights[other])
        lengths = [0] * n
        for i in range(n):
            at = above[i]
            while at:
                lengths[i] += 1
                at = above[at]
        if max(lengths) <= MAX_LENGTH:
            return lengths
        weights = [weight + 1 >> 1 for weight in weights[:n]]   # flatter, until no code is too long


def _codes(lengths: list[int]) -> list[int]:
    """Return the canonical code of each class: shorter first, then in the order of the classes."""
    codes = [0] * len(lengths)
    code = 0
    for length in range(1, MAX_LENGTH + 1):
        code <<= 1
        for i in range(len(lengths)):
            if lengths[i] == length:
                codes[i] = code
                code += 1
    return codes
