"""Integers by magnitude: how many bits each has in a prefix code made for this list, then its sign and bits.

For lists of mostly small numbers with large ones among them, whose tail is too long for Rice codes. Class c holds the magnitudes
from 2**(c-1) to 2**c - 1, class 0 holds 0. The code is Huffman's, in its canonical form, so its lengths alone describe it.
"""

from node.compat import const
from node.errors import FormatError
from node.wire.bits import BitReader, BitWriter, bit_width, unzigzag

LENGTH_BITS = const(3)   # field that holds a code length; 0: the class does not occur
MAX_LENGTH = const(7)
MAX_CLASS = const(32)   # of the largest step between two 32-bit values
_WHOLE = const(1 << MAX_LENGTH)   # what the codes of a complete prefix code fill


def cost(codes: list[int], limit: int) -> int:
    """Return the bits that put() takes for these zigzag codes; `limit` when it is at least so much."""
    counts, bits = _count([unzigzag(code) for code in codes])
    bits += LENGTH_BITS * len(counts) + len(codes)   # a code has a bit or more
    if bits >= limit:
        return limit
    lengths = _lengths(counts)
    return min(limit, bits - len(codes) + sum([counts[i] * lengths[i] for i in range(len(counts))]))


def put(out: BitWriter, values: list[int]) -> None:
    """Append the code and the values."""
    lengths = _lengths(_count(values)[0])
    for length in lengths:
        out.write(length, LENGTH_BITS)
    codes = _codes(lengths)
    for value in values:
        of = bit_width(abs(value))
        out.write(codes[of], lengths[of])
    for value in values:
        of = bit_width(abs(value))
        if of:
            out.write(value < 0, 1)
            out.write(abs(value), of - 1)


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


def read_lengths(source: BitReader) -> list[int]:
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


def _count(values: list[int]) -> tuple[list[int], int]:
    """Return (how many values are in each class, bits of all signs and low bits)."""
    counts = [0, 0]   # a code has two members or more
    bits = 0
    for value in values:
        of = bit_width(abs(value))
        while of >= len(counts):
            counts.append(0)
        counts[of] += 1
        bits += of
    return counts, bits


def _lengths(counts: list[int]) -> list[int]:
    """Return Huffman's code lengths, none over MAX_LENGTH; a code of one class gets a second member."""
    weights = list(counts)
    if len(weights) - weights.count(0) < 2:
        weights[0 if weights[0] == 0 else 1] = 1
    while True:
        lengths = [0] * len(weights)
        groups = [[weights[i], i] for i in range(len(weights)) if weights[i]]   # weight, members
        while len(groups) > 1:
            groups.sort()
            one, other = groups.pop(0), groups.pop(0)
            for i in one[1:] + other[1:]:
                lengths[i] += 1
            groups.append([one[0] + other[0]] + one[1:] + other[1:])
        if max(lengths) <= MAX_LENGTH:
            return lengths
        weights = [(weight + 1) >> 1 for weight in weights]   # flatter, until no code is too long


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
