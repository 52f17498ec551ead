"""How a pack of a device that is not ours becomes batches like those of our own devices: channels, groups, steps, time grids.

Decides from values only. A record's name and unit become a channel of a schema, numbers become integers of a decimal step without
losing a digit, and channels that first came together stay together in a group, which is one schema: packs that carry now this and
now that one of them make gaps, not schemas. What is known of a device's channels comes in as a Book; where it is kept, and how
batches are named, is host.store.foreign's.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from statistics import median_low

from host.clock import DAY_MS
from host.ingest.senml import Measured
from node.errors import CallerError, FormatError
from node.wire import batch, columns, schema
from node.wire.limits import MAX_U32

FLOOR_MS = 1_577_836_801_000   # 2020-01-01T00:00:01Z, uptime 0 of every foreign device: the wire counts from a second before
FUTURE_MS = DAY_MS         # a pack may be this far ahead of the server's clock
MAX_CHANNELS = 512             # of one device; more are names that carry values
MAX_LAYERS = 64                # values of one channel within a millisecond
SAMPLES = 512                  # of a batch at most: what a cut costs must not grow with the pack
LONE_PERIOD_MS = 1000          # of a batch with one sample, which has none
FINEST, COARSEST = 10, -11     # decimals of the steps that a schema can write: 0.0000000001 to 100000000000
_HEAD_BYTES, _ENTRY_BYTES = 15, 9 + schema.MAX_RESOLUTION   # of a schema: its frame; of a channel beside name and unit
_URN = re.compile(r"urn:dev:[a-z]+:[^:/_]+[:/_]*", re.IGNORECASE)   # RFC 9039: which device; the topic tells that already

Key = tuple[str, str, bool]    # name, unit, whether it is the sum


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a foreign device.

    Attributes:
        channel: its name among ours.
        group: schemas are made of one group's channels, in the order of `place`.
        decimals: of the finest step that was ever needed; negative for tens, hundreds …
    """

    channel: str
    unit: str
    group: int
    place: int
    decimals: int


Book = Mapping[Key, Channel]   # all that is known of a device's channels


@dataclass(frozen=True, slots=True)
class Draft:
    """A batch that has no name yet: `schema` is canonical, the rest as in node.wire.batch, from FLOOR_MS on."""

    schema: bytes
    uptime_ms: int
    period_ms: int
    columns: tuple[tuple[int | None, ...], ...]
    exceptions: tuple[tuple[int, int], ...]

    def encode(self, boot: int, seq: int) -> bytes:
        return batch.encode(
            boot, seq, schema.schema_hash(self.schema), self.uptime_ms, FLOOR_MS, batch.QUALITY_SERVER, self.period_ms,
            [list(one) for one in self.columns], list(self.exceptions))


@dataclass(frozen=True, slots=True)
class Draw:
    """What one pack comes to: the channels as they are now, those that are new or finer among them, and the batches."""

    book: Book
    changed: tuple[Key, ...]
    drafts: tuple[Draft, ...]


def draw(device: str, book: Book, measured: Sequence[Measured], now_ms: int, *, rounding: bool) -> Draw:
    """Put a pack's numbers into batches.

    Args:
        measured: of senml.parse; what has no number is passed over.
        now_ms: when the pack arrived, Unix milliseconds.
        rounding: values with more digits than 32 bits hold are rounded to as many as they do; else the pack is refused.

    Raises:
        FormatError: `senml.time`, `senml.channels`, `senml.dense` or `senml.digits`.
    """
    values: dict[Key, list[tuple[int, Decimal]]] = defaultdict(list)
    for one in measured:
        if not one.has_number:
            continue
        at_ms = one.time_ms(now_ms)
        if not FLOOR_MS <= at_ms <= now_ms + FUTURE_MS:
            raise FormatError("senml.time", f"{one.name} at {one.time_s} s, expected 2020 or later and at most a day ahead of us")
        if isinstance(one.value, Decimal | bool):
            values[one.name, one.unit, False].append((at_ms, Decimal(one.value)))
        if one.total is not None:
            values[one.name, one.unit, True].append((at_ms, one.total))
    fitted = {key: _decimals(key[0], [value for _, value in told], book.get(key), rounding=rounding)
              for key, told in values.items()}
    known = _learnt(device, book, {key: needed for key, (needed, _) in fitted.items()})
    changed = tuple(key for key in fitted if known[key] != book.get(key))
    used = {key: decimals for key, (_, decimals) in fitted.items()}
    return Draw(known, changed, tuple(_drafts(known, values, used)))


def schemas(book: Book) -> list[bytes]:
    """The schemas of all groups, in their order."""
    return [_schema(members, {}) for _, members in sorted(_groups(book).items())]


def _decimals(name: str, values: Sequence[Decimal], known: Channel | None, *, rounding: bool) -> tuple[int, int]:
    """How many decimals a channel needs to be known with, and how many this pack is written with."""
    exact = max(_exponent(value) for value in values)
    least = max(exact, 0) if known is None else max(exact, known.decimals)   # the tens of a 20 are no reason for a step of ten
    tries = [one for one in dict.fromkeys((least, max(exact, 0), exact)) if COARSEST <= one <= FINEST]
    tries += range(min(exact, FINEST), COARSEST - 1, -1) if rounding else ()
    for decimals in tries:
        if _fits(values, decimals):
            return (decimals if known is None or decimals == least else known.decimals), decimals
    raise FormatError("senml.digits", f"{name}: values as {max(values, key=abs)} with {exact} decimals do not fit 32 bits: send "
                                      "fewer digits, or set senml_round")


def _exponent(value: Decimal) -> int:
    """Decimals behind the point that a value needs; negative where it ends in zeros before it."""
    if not value:
        return COARSEST
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101  a finite number
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    return -exponent - zeros


def _steps(value: Decimal, decimals: int) -> int:
    scaled = value.as_tuple()
    assert isinstance(scaled.exponent, int)  # noqa: S101  a finite number
    return int(Decimal((scaled.sign, scaled.digits, scaled.exponent + decimals)).to_integral_value(ROUND_HALF_EVEN))


def _fits(values: Iterable[Decimal], decimals: int) -> bool:
    """Whether all are in the range of 32 bits; a number of astronomical size is not even made."""
    return all(
        not value or (value.adjusted() + decimals <= 10 and columns.VALUE_MIN <= _steps(value, decimals) <= columns.VALUE_MAX)
        for value in values)


def _learnt(device: str, book: Book, needed: Mapping[Key, int]) -> Book:
    """The book with finer steps, and with new channels in groups of their own."""
    known = dict(book)
    taken = {one.channel: key[0] for key, one in book.items()}
    group, place, size = max((one.group for one in book.values()), default=-1), schema.MAX_CHANNELS, 0
    for key, decimals in needed.items():
        if key in known:
            known[key] = replace(known[key], decimals=decimals)
            continue
        if len(known) >= MAX_CHANNELS:
            raise FormatError("senml.channels", f"more than {MAX_CHANNELS} names of one device: {key[0]}")
        unit = _sum_unit(key[1]) if key[2] else key[1]
        name = _channel_name(device, key, taken)
        taken[name] = key[0]
        entry = len(name) + len(unit.encode()) + _ENTRY_BYTES
        if place >= schema.MAX_CHANNELS or size + entry > schema.MAX_BYTES:
            group, place, size = group + 1, 0, _HEAD_BYTES
        known[key] = Channel(name, unit, group, place, decimals)
        place, size = place + 1, size + entry
    return known


def _sum_unit(unit: str) -> str:
    """A sum is over time: its unit is the value's times seconds (RFC 8428, table 1)."""
    told = f"{unit}*s" if unit else "s"
    return told if len(told.encode()) <= schema.MAX_UNIT_BYTES else "s"


def _channel_name(device: str, key: Key, taken: Mapping[str, str]) -> str:
    """A name of ours for a name of SenML, the same for ever since it is kept: without the device, in lower case, not taken.

    Where it is taken, the unit tells values of one name apart, and the whole name those of several devices behind one.

    Args:
        taken: channel -> name in SenML.
    """
    name, unit, is_sum = key
    end = ".sum" if is_sum else ""
    short = (_cleaned(_URN.sub("", name, count=1).removeprefix(device)) or "value") + end
    by_unit, whole = f"{short}.{_cleaned(unit) or 'none'}", _cleaned(name) + end
    tries = [short, *((by_unit, whole) if name in taken.values() else (whole, by_unit))]
    tries += [f"{short}.{number}" for number in range(2, MAX_CHANNELS + 2)]
    return next(each for each in map(_shortened, tries) if each not in taken)


def _cleaned(text: str) -> str:
    return re.sub(r"[^a-z0-9_.]", "_", re.sub(r"[:/]+", ".", text.lower())).strip("._")


def _shortened(name: str) -> str:
    """What is special stands at the end; the first must be a letter."""
    short = name[-schema.MAX_NAME:].lstrip("._")
    return short if "a" <= short[:1] <= "z" else "n" + short[-(schema.MAX_NAME - 1):]


def _resolution(decimals: int) -> str:
    return f"{Decimal((0, (1,), -decimals)):f}"


def _groups(book: Book) -> dict[int, list[tuple[Key, Channel]]]:
    groups: dict[int, list[tuple[Key, Channel]]] = defaultdict(list)
    for key, one in sorted(book.items(), key=lambda item: (item[1].group, item[1].place)):
        groups[one.group].append((key, one))
    return groups


def _schema(members: Sequence[tuple[Key, Channel]], used: Mapping[Key, int]) -> bytes:
    return schema.build([(one.channel, one.unit, _resolution(used.get(key, one.decimals))) for key, one in members])


def _drafts(book: Book, values: Mapping[Key, Sequence[tuple[int, Decimal]]], used: Mapping[Key, int]) -> Iterator[Draft]:
    for members in _groups(book).values():
        layers: list[dict[int, dict[int, int]]] = []    # each: time -> place -> steps
        for place, (key, _) in enumerate(members):
            seen: dict[int, int] = defaultdict(int)
            for at_ms, value in values.get(key, ()):
                layer = seen[at_ms]
                seen[at_ms] += 1
                if layer >= MAX_LAYERS:
                    raise FormatError("senml.dense", f"more than {MAX_LAYERS} values of {key[0]} within a millisecond")
                if layer == len(layers):
                    layers.append({})
                layers[layer].setdefault(at_ms, {})[place] = _steps(value, used[key])
        if layers:
            canonical = _schema(members, used)
            for cells in layers:
                yield from _cut(canonical, len(members), cells, sorted(cells))


def _cut(canonical: bytes, width: int, cells: Mapping[int, Mapping[int, int]], times: Sequence[int]) -> Iterator[Draft]:
    """Batches of the samples at these times: as many as the limits of a record ask for."""
    at, limit = 0, SAMPLES
    while at < len(times):
        draft = _draft(canonical, width, cells, times[at:at + limit])
        n = len(draft.columns[0])
        try:
            draft.encode(MAX_U32, MAX_U32)   # the longest name
        except CallerError as error:
            if error.code != "batch.large":
                raise
            limit = max(1, n // 2)   # one sample of 64 channels takes some 300 bytes: it fits
        else:
            yield draft
            at, limit = at + n, min(SAMPLES, 2 * limit)


def _draft(canonical: bytes, width: int, cells: Mapping[int, Mapping[int, int]], times: Sequence[int]) -> Draft:
    """A batch of the first of these samples: those whose times lie within a day of an even grid."""
    steps = [after - before for before, after in pairwise(times)]
    period = min(median_low(steps), batch.MAX_PERIOD_MS) if steps else LONE_PERIOD_MS
    offsets = [at - times[0] - index * period for index, at in enumerate(times)]
    n = next((index for index, offset in enumerate(offsets) if abs(offset) > batch.MAX_OFFSET_MS), len(offsets))
    table = tuple(tuple(cells[at].get(place) for at in times[:n]) for place in range(width))
    return Draft(canonical, times[0] - FLOOR_MS, period, table,
                 tuple((index, offset) for index, offset in enumerate(offsets[:n]) if offset))
