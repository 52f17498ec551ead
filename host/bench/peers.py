"""What others would send for the same readings: each peer is a function from a batch to its bytes.

Values are written as decimals at the channel's resolution, as a careful user of each format would, never as floats with a tail.
Device name and topic are in the message where the format puts them there. None of these formats is used by the product.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import cbor2
import msgpack  # type: ignore[import-untyped]

from node.wire.bits import zigzag

DEVICE = "hall-0242ac110001"
ZLIB_LEVEL = 6   # zlib's default
HEADER_BYTES = 28   # of a hand-made binary batch: version, device, boot, seq, first time, period, counts, flags, CRC-32
# SenML's labels in CBOR, RFC 8428, table 4
_BASE_NAME, _BASE_TIME, _NAME, _UNIT, _VALUE, _TIME = -2, -3, 0, 1, 2, 6


@dataclass(frozen=True)
class Batch:
    """Readings of some channels on a time grid.

    Attributes:
        channels: (name, unit, resolution) each.
        columns: scaled integers, None where there is no reading.
        start_ms: Unix milliseconds of the first row.
    """

    channels: tuple[tuple[str, str, str], ...]
    columns: list[list[int | None]]
    start_ms: int
    period_ms: int

    def decimals(self) -> list[list[Decimal | None]]:
        """The readings in the channels' units."""
        return [[None if one is None else one * Decimal(channel[2]) for one in column]
                for channel, column in zip(self.channels, self.columns, strict=True)]


def json_reading(one: Batch) -> int:
    """A JSON message for each reading."""
    size = 0
    for (name, _, _), values in zip(one.channels, one.decimals(), strict=True):
        for row, value in enumerate(values):
            if value is not None:
                at = one.start_ms + row * one.period_ms
                size += len(f'{{"device":"{DEVICE}","ts":{at},"name":"{name}","value":{value}}}')
    return size


def json_zlib(one: Batch) -> int:
    """A JSON object of columns for the batch, compressed with zlib."""
    body = ",".join(f'"{name}":[{",".join("null" if value is None else str(value) for value in values)}]'
                    for (name, _, _), values in zip(one.channels, one.decimals(), strict=True))
    text = f'{{"device":"{DEVICE}","ts":{one.start_ms},"period":{one.period_ms},{body}}}'
    return len(zlib.compress(text.encode(), ZLIB_LEVEL))


def senml_cbor(one: Batch) -> int:
    """A SenML pack in CBOR (RFC 8428) for the batch: base name and time, values as decimal fractions or integers."""
    pack = []
    for (name, unit, _), values in zip(one.channels, one.decimals(), strict=True):
        for row, value in enumerate(values):
            if value is None:
                continue
            record: dict[int, object] = {_NAME: name, _VALUE: int(value) if value == value.to_integral_value() else value}
            if unit:
                record[_UNIT] = unit
            if row:
                offset = Decimal(row * one.period_ms) / 1000
                record[_TIME] = int(offset) if offset == offset.to_integral_value() else offset
            pack.append(record)
    pack[0] = {_BASE_NAME: DEVICE + "/", _BASE_TIME: Decimal(one.start_ms) / 1000, **pack[0]}
    return len(cbor2.dumps(pack))


def msgpack_delta_zlib(one: Batch) -> int:
    """Columns of integer steps in msgpack, compressed with zlib."""
    packed: bytes = msgpack.packb([DEVICE, one.start_ms, one.period_ms, [_steps(column) for column in one.columns]])
    return len(zlib.compress(packed, ZLIB_LEVEL))


def delta_varint(one: Batch) -> int:
    """Columns of zigzag steps in variable-length integers behind a header; a gap costs one byte."""
    size = HEADER_BYTES
    for column in one.columns:
        for step in _steps(column):
            size += 1 if step is None else max(1, -(-zigzag(step).bit_length() // 7))
    return size


def _steps(column: list[int | None]) -> list[int | None]:
    steps: list[int | None] = []
    last = 0
    for value in column:
        steps.append(None if value is None else value - last)
        last = last if value is None else value
    return steps


PEERS: dict[str, Callable[[Batch], int]] = {
    "json_per_reading": json_reading, "json_batch_zlib": json_zlib, "senml_cbor": senml_cbor,
    "msgpack_delta_zlib": msgpack_delta_zlib, "delta_varint": delta_varint,
}
