"""A SenML pack's bytes in CBOR (RFC 8949) to plain values: exactly the part of CBOR that RFC 8428, section 6, uses.

Decides what is read at all: arrays, maps, integers, text, bytes, simple values, floats, and tag 4 (decimal fractions). Every other
tag is refused, so nothing that a sender wrote can make an object, share a reference or ask for memory: a length is held against
the bytes that are there before anything is made. A general decoder (cbor2) carries out some thirty tags and cannot be told not to.
Numbers become decimals: a float of 16 or 32 bits the shortest one that names it, since 23.1 is what its sender meant.
"""

import struct
from decimal import Decimal
from typing import Any

import numpy as np

from node.errors import FormatError

MAX_DEPTH = 4        # pack, record, decimal fraction; one more for fields that we do not know
MAX_EXPONENT = 400   # of a decimal fraction: what a double can be, with room
_ARRAY, _MAP, _TAG, _SIMPLE = 4, 5, 6, 7
_SELF_DESCRIBED, _DECIMAL_FRACTION = 55799, 4
_INDEFINITE, _BREAK = 31, 0xFF


def read(raw: bytes) -> Any:
    """Read one item that fills the bytes.

    Returns:
        list, dict (keys are str or int), Decimal, str, bytes, bool or None.

    Raises:
        FormatError: `senml.cbor`; `senml.number` for a number that is none; `senml.duplicate`.
    """
    source = _Source(raw)
    item = source.item(0)
    if source.at != len(raw):
        raise FormatError("senml.cbor", f"{len(raw) - source.at} bytes behind the pack")
    return item


class _Source:
    def __init__(self, raw: bytes) -> None:
        self._raw, self.at = raw, 0

    def item(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise FormatError("senml.cbor", f"more than {MAX_DEPTH} levels")
        kind, info, value = self._head()
        if kind in (0, 1):
            return Decimal(value if kind == 0 else -1 - value)
        if kind == 2:
            return self._take(value)
        if kind == 3:
            try:
                return self._take(value).decode()
            except UnicodeDecodeError:
                raise FormatError("senml.cbor", "text that is not UTF-8") from None
        if kind == _ARRAY:
            return [self.item(depth + 1) for _ in self._each(info, value)]
        if kind == _MAP:
            return self._map(info, value, depth)
        if kind == _TAG:
            return self._tagged(value, depth)
        return _simple(info, value)

    def _head(self) -> tuple[int, int, int]:
        """Kind, additional information and its number; the lengths of text and bytes are those that follow."""
        first = self._take(1)[0]
        kind, info = first >> 5, first & 31
        if info < 24:
            return kind, info, info
        if info < 28:
            return kind, info, int.from_bytes(self._take(1 << info - 24))
        if info == _INDEFINITE and kind in (_ARRAY, _MAP):
            return kind, info, 0
        raise FormatError("senml.cbor", f"byte {first:#04x} at {self.at - 1}")

    def _take(self, count: int) -> bytes:
        start = self.at
        if count > len(self._raw) - start:
            raise FormatError("senml.cbor", f"{count} bytes wanted at {start} of {len(self._raw)}")
        self.at = start + count
        return self._raw[start:self.at]

    def _each(self, info: int, count: int) -> Any:
        """Count the items of an array or map, which need a byte each at least."""
        if info != _INDEFINITE:
            if count > len(self._raw) - self.at:
                raise FormatError("senml.cbor", f"{count} items wanted at {self.at} of {len(self._raw)}")
            yield from range(count)
            return
        while self._raw[self.at:self.at + 1] != bytes((_BREAK,)):
            yield None
        self.at += 1

    def _map(self, info: int, count: int, depth: int) -> dict[str | int, Any]:
        found: dict[str | int, Any] = {}
        for _ in self._each(info, count):
            key = self.item(depth + 1)
            if isinstance(key, Decimal):
                key = int(key)
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise FormatError("senml.cbor", f"a label that is a {type(key).__name__}")
            if key in found:
                raise FormatError("senml.duplicate", f"label {key!r} twice in a record")
            found[key] = self.item(depth + 1)
        return found

    def _tagged(self, tag: int, depth: int) -> Any:
        if tag == _SELF_DESCRIBED and depth == 0:
            return self.item(depth)
        if tag != _DECIMAL_FRACTION:
            raise FormatError("senml.cbor", f"tag {tag}")
        parts = self.item(depth + 1)
        if not (isinstance(parts, list) and len(parts) == 2 and all(isinstance(each, Decimal) for each in parts)):
            raise FormatError("senml.number", "a decimal fraction that is not two integers")
        exponent, mantissa = parts
        if exponent.as_tuple().exponent != 0 or mantissa.as_tuple().exponent != 0 or abs(exponent) > MAX_EXPONENT:
            raise FormatError("senml.number", f"a decimal fraction of exponent {exponent}")
        return Decimal((int(mantissa < 0), mantissa.as_tuple().digits, int(exponent)))


def _simple(info: int, value: int) -> Any:
    if info in (20, 21):
        return info == 21
    if info in (22, 23):
        return None
    if info == 25:
        return _decimal(np.frombuffer(value.to_bytes(2), ">f2")[0])
    if info == 26:
        return _decimal(np.frombuffer(value.to_bytes(4), ">f4")[0])
    if info == 27:
        return _decimal(np.float64(struct.unpack(">d", value.to_bytes(8))[0]))
    raise FormatError("senml.cbor", f"simple value {value}")


def _decimal(number: Any) -> Decimal:
    if not np.isfinite(number):
        raise FormatError("senml.number", str(number))
    return Decimal(str(number))
