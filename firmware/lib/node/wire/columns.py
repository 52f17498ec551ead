"""One channel's values of a batch as bits: the best of seven codings, chosen per column by size.

A value is a scaled integer of 32 bits with sign, or None where there was no reading. Codes are stored in runs (all quotients, then
all remainders), not interleaved, so that the host decodes them with whole-array operations. The layout is specified in
firmware/SPEC.md; headers, times and checksums are batch.py's.
"""

from node.compat import const
from node.errors import CallerError, FormatError
from node.wire import classes
from node.wire.bits import BitReader, BitWriter, bit_width, unzigzag, zigzag

VALUE_MIN = const(-0x80000000)
VALUE_MAX = const(0x7FFFFFFF)
EMPTY = const(0)   # no reading at all
CONSTANT = const(1)   # every value equals the base
DELTA = const(2)   # Rice codes of the steps from one value to the next
LEVEL = const(3)   # Rice codes of the distances from the median: white noise costs half a bit less than with DELTA
RUNS = const(4)   # lengths of runs without a step, and the steps between: signals that rarely move
RAW = const(5)   # distances from the smallest value in equally many bits: bounds any signal
CLASSES = const(6)   # steps by magnitude, a prefix code made for this column: small steps and now and then large ones
SCALED = const(7)   # multiples of a divisor, and those in any coding but EMPTY and SCALED: steps of a coarser converter
MAX_QUOTIENT = const(24)   # a longer quotient overflows into 33 bits: one spike costs 58 bits, not thousands
OVERFLOW_BITS = const(33)   # zigzag of the largest step between two 32-bit values
WIDTH_BITS = const(6)   # field that holds a width 0..33
DIVISOR_BITS = const(5)   # field that holds the width of a divisor, 2..31
K_BITS = const(4)   # Rice parameter 0..15; wider noise is cheaper RAW
MAX_K = const(15)


def rice_cost(values: list[int]) -> tuple[int, int]:
    """Find the cheapest Rice parameter for non-negative integers.

    Returns:
        (bits, k).
    """
    best = ((MAX_K + 1 + MAX_QUOTIENT + OVERFLOW_BITS) * len(values), MAX_K)
    for k in range(MAX_K + 1):
        bits = (k + 1) * len(values)   # remainders and the zeros that end the quotients: grows with k
        if bits >= best[0]:
            break
        for value in values:
            quotient = value >> k
            bits += quotient if quotient < MAX_QUOTIENT else MAX_QUOTIENT + OVERFLOW_BITS
        if bits < best[0]:
            best = (bits, k)
    return best


def encode_column(out: BitWriter, values: list[int | None], gaps: bool) -> None:
    """Append one column.

    Args:
        gaps: Whether any column of the batch misses a value.

    Raises:
        CallerError: `batch.range`: a value does not fit 32 bits.
    """
    present = [value for value in values if value is not None]
    if not present:
        out.write(EMPTY, 3)
        return
    low = min(present)
    high = max(present)
    if low < VALUE_MIN or high > VALUE_MAX:
        raise CallerError("batch.range", f"values {low}..{high} do not fit 32 bits")
    plan = _choose(present, low, high)
    divisor = _divisor(present)
    if 1 < divisor <= VALUE_MAX:
        multiples = [value // divisor for value in present]
        scaled = _choose(multiples, low // divisor, high // divisor)
        width = bit_width(divisor)
        if scaled[0] + 3 + DIVISOR_BITS + 2 * width < plan[0]:
            out.write(SCALED, 3)
            _put_gaps(out, values, present, gaps)
            out.write(width, DIVISOR_BITS)
            out.write(divisor, width)
            out.write(low % divisor, width)
            out.write(scaled[1], 3)
            _put_values(out, scaled, multiples, low // divisor, high // divisor)
            return
    out.write(plan[1], 3)
    _put_gaps(out, values, present, gaps)
    _put_values(out, plan, present, low, high)


def decode_column(source: BitReader, n: int, gaps: bool) -> list[int | None]:
    """Read one column of n samples.

    Raises:
        FormatError: `batch.column`, `batch.range`, or the reader's `bits.*`.
    """
    mode = source.read(3)
    if mode == EMPTY:
        return [None] * n
    mask = None
    count = n
    if gaps and source.read(1):
        mask = [source.read(1) for _ in range(n)]
        count = sum(mask)
        if not 0 < count < n:
            raise FormatError("batch.column", "bitmap without a gap or without a value")
    divisor, remainder = 1, 0
    if mode == SCALED:
        divisor, remainder, mode = _get_divisor(source)
    base = unzigzag(_get_width(source))
    values = _get_values(source, mode, base, count)
    values = [divisor * value + remainder for value in values]
    if min(values) < VALUE_MIN or max(values) > VALUE_MAX:
        raise FormatError("batch.range", "a value does not fit 32 bits")
    if mask is None:
        return list(values)
    feed = iter(values)
    return [next(feed) if bit else None for bit in mask]


def _choose(present: list[int], low: int, high: int) -> tuple[int, int, int, list[int], int]:
    """Return (bits after the base, coding, k, what it codes, base) for the smallest result."""
    if low == high:
        return 0, CONSTANT, 0, [], low
    steps = [zigzag(present[i] - present[i - 1]) for i in range(1, len(present))]
    bits, k = rice_cost(steps)
    best = (bits + K_BITS, DELTA, k, steps, present[0])
    middle = sorted(present)[len(present) // 2]   # the median: one spike does not move it
    levels = [zigzag(value - middle) for value in present]
    bits, k = rice_cost(levels)
    if bits + K_BITS < best[0]:
        best = (bits + K_BITS, LEVEL, k, levels, middle)
    if 2 * steps.count(0) > len(steps):
        gaps, moves = _split_runs(steps)
        bits = bit_width(len(steps)) + 2 * K_BITS + rice_cost(gaps)[0] + rice_cost(moves)[0]
        if bits < best[0]:
            best = (bits, RUNS, 0, steps, present[0])
    bits = classes.cost(steps, best[0])
    if bits < best[0]:
        best = (bits, CLASSES, 0, steps, present[0])
    bits = WIDTH_BITS + bit_width(high - low) * len(present)
    if bits < best[0]:
        best = (bits, RAW, 0, [], low)
    return best


def _divisor(present: list[int]) -> int:
    """Return the greatest common divisor of all steps; 0 when there is none but 0."""
    first = present[0]
    divisor = 0
    for value in present:
        other = abs(value - first)
        while other:
            divisor, other = other, divisor % other
        if divisor == 1:
            break
    return divisor


def _split_runs(steps: list[int]) -> tuple[list[int], list[int]]:
    """Return (zeros before each step that is not 0, those steps less 1)."""
    gaps = []
    moves = []
    gap = 0
    for step in steps:
        if step:
            gaps.append(gap)
            moves.append(step - 1)
            gap = 0
        else:
            gap += 1
    return gaps, moves


def _put_gaps(out: BitWriter, values: list[int | None], present: list[int], gaps: bool) -> None:
    if gaps:
        out.write(len(present) != len(values), 1)
        if len(present) != len(values):
            for value in values:
                out.write(value is not None, 1)


def _put_values(out: BitWriter, plan: tuple[int, int, int, list[int], int], present: list[int], low: int, high: int) -> None:
    """Append the base and what _choose planned."""
    _, mode, k, rest, base = plan
    _put_width(out, zigzag(base))
    if mode == RAW:
        width = bit_width(high - low)
        out.write(width, WIDTH_BITS)
        for item in present:
            out.write(item - low, width)
    elif mode == RUNS:
        _put_runs(out, rest)
    elif mode == CLASSES:
        classes.put(out, rest)
    elif mode != CONSTANT:
        _put_rice(out, rest, k)


def _put_runs(out: BitWriter, steps: list[int]) -> None:
    gaps, moves = _split_runs(steps)
    out.write(len(gaps), bit_width(len(steps)))
    _put_rice(out, gaps, rice_cost(gaps)[1])
    _put_rice(out, moves, rice_cost(moves)[1])


def _put_rice(out: BitWriter, values: list[int], k: int) -> None:
    out.write(k, K_BITS)
    for value in values:
        out.unary(min(value >> k, MAX_QUOTIENT))
    if k:
        for value in values:
            out.write(value, k)
    for value in values:
        if value >> k >= MAX_QUOTIENT:
            out.write((value >> k) - MAX_QUOTIENT, OVERFLOW_BITS)


def _put_width(out: BitWriter, value: int) -> None:
    width = bit_width(value)
    out.write(width, WIDTH_BITS)
    out.write(value, width - 1)   # its highest bit is 1


def _get_divisor(source: BitReader) -> tuple[int, int, int]:
    """Return (divisor, remainder, coding of the multiples)."""
    width = source.read(DIVISOR_BITS)
    divisor = source.read(width)
    remainder = source.read(width)
    mode = source.read(3)
    if divisor < 2 or remainder >= divisor or mode in (EMPTY, SCALED):
        raise FormatError("batch.column", f"multiples of {divisor} and {remainder} in coding {mode}")
    return divisor, remainder, mode


def _get_values(source: BitReader, mode: int, base: int, count: int) -> list[int]:
    if mode == CONSTANT:
        return [base] * count
    if mode == RAW:
        width = source.read(WIDTH_BITS)
        if width > OVERFLOW_BITS:
            raise FormatError("batch.column", f"values of {width} bits")
        return [base + source.read(width) for _ in range(count)]
    if mode == LEVEL:
        return [base + unzigzag(code) for code in _get_rice(source, count)]
    if mode == CLASSES:
        steps = classes.get(source, count - 1)
    else:
        codes = _get_runs(source, count - 1) if mode == RUNS else _get_rice(source, count - 1)
        steps = [unzigzag(code) for code in codes]
    values = [base]
    for step in steps:
        base += step
        values.append(base)
    return values


def _get_runs(source: BitReader, count: int) -> list[int]:
    moves = source.read(bit_width(count))
    if moves > count:
        raise FormatError("batch.column", f"{moves} steps for {count} places")
    gaps = _get_rice(source, moves)
    steps = _get_rice(source, moves)
    if sum(gaps) + moves > count:
        raise FormatError("batch.column", "runs longer than the column")
    codes = [0] * count
    at = -1
    for i in range(moves):
        at += gaps[i] + 1
        codes[at] = steps[i] + 1
    return codes


def _get_rice(source: BitReader, count: int) -> list[int]:
    k = source.read(K_BITS)
    quotients = [source.unary(MAX_QUOTIENT) for _ in range(count)]
    rests = [source.read(k) for _ in range(count)]
    for i in range(count):
        if quotients[i] == MAX_QUOTIENT:
            quotients[i] += source.read(OVERFLOW_BITS)
    return [(quotients[i] << k) | rests[i] for i in range(count)]


def _get_width(source: BitReader) -> int:
    width = source.read(WIDTH_BITS)
    if width > OVERFLOW_BITS:
        raise FormatError("batch.column", f"a base of {width} bits")
    return 1 << (width - 1) | source.read(width - 1) if width else 0
