"""SenML (RFC 8428) in JSON and CBOR: what devices that are not ours send, to resolved records.

Decides what a pack says: base fields are added, times told apart into absolute and relative ones, numbers kept as the decimals that
were written. Decides nothing of where a record goes. Any bytes give records or a FormatError, in time linear in their number;
records are refused as a whole pack, since later ones stand on the base fields of earlier ones.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from host.ingest import senml_cbor
from node.errors import FormatError

MAX_PACK_BYTES = 16 << 10   # some 300 records of JSON, 1,000 of CBOR; a message of ours has at most 2 KB
MAX_RECORDS = 2048          # `{2: 1}` has three bytes, `{"v":1},` eight
MAX_NAME = 256              # RFC 8428 sets no limit; a URN of RFC 9039 with a name has about 60
MAX_UNIT_BYTES = 16         # as node.wire.schema
MAX_TEXT = 64               # characters of a number
MAX_EXPONENT = 400          # a double's is 308
RELATIVE_BELOW_S = 1 << 28  # RFC 8428, 4.5.3: smaller times are from now on
VERSIONS = frozenset((*range(1, 11), 26))   # RFC 9100: 10, and with "secondary units", which only means more names of units
JSON, CBOR = "senml", "senmlc"   # last part of the topic; the media types are application/senml+json and +cbor

_LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs", 0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t",
           7: "ut", 8: "vd"}   # RFC 8428, table 4
_NUMBERS = ("bver", "bt", "bv", "bs", "v", "s", "t", "ut")
_TEXTS = ("bn", "bu", "n", "u", "vs")
_VALUES = ("v", "vs", "vb", "vd")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")   # RFC 8428, 4.5.1
_EXACT = Context(prec=2 * MAX_EXPONENT + 2 * MAX_TEXT)   # sums of two numbers lose no digit


@dataclass(frozen=True, slots=True)
class Measured:
    """One resolved record.

    Attributes:
        value: a number, a boolean, text, data (bytes; JSON's base64 as its text), or None when there is a sum only.
        total: the sum, the value integrated over time; None without.
        time_s: Unix seconds, or seconds from the arrival on where `is_relative`.
    """

    name: str
    unit: str
    value: Decimal | bool | str | bytes | None
    total: Decimal | None
    time_s: Decimal

    @property
    def is_relative(self) -> bool:
        return self.time_s < RELATIVE_BELOW_S

    @property
    def has_number(self) -> bool:
        """Whether there is anything in it that can be a reading."""
        return isinstance(self.value, Decimal | bool) or self.total is not None

    def time_ms(self, now_ms: int) -> int:
        """Unix milliseconds; finer parts are rounded."""
        told = _EXACT.scaleb(self.time_s, 3).to_integral_value()
        return int(told) + (now_ms if self.is_relative else 0)


def parse(raw: bytes, kind: str) -> tuple[Measured, ...]:
    """Read and resolve a pack.

    Args:
        kind: JSON or CBOR.

    Raises:
        FormatError: `senml.size`, `senml.json`, `senml.cbor`, `senml.records`, `senml.duplicate`, `senml.must_understand`,
            `senml.field`, `senml.number`, `senml.version`, `senml.name`, `senml.unit` or `senml.value`.
    """
    if len(raw) > MAX_PACK_BYTES:
        raise FormatError("senml.size", f"{len(raw)} bytes, at most {MAX_PACK_BYTES}: send several packs")
    listed = _read_json(raw) if kind == JSON else senml_cbor.read(raw)
    if not isinstance(listed, list) or not 0 < len(listed) <= MAX_RECORDS or not all(isinstance(one, dict) for one in listed):
        raise FormatError("senml.records", f"expected an array of 1 to {MAX_RECORDS} records")
    return tuple(_resolved([_fields(one, kind) for one in listed]))


def _read_json(raw: bytes) -> Any:
    try:
        return json.loads(
            raw.decode(), parse_float=_number, parse_int=_number, parse_constant=_no_number, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise FormatError("senml.json", f"{type(error).__name__}: not JSON in UTF-8") from None


def _number(text: str) -> Decimal:
    try:
        if len(text) > MAX_TEXT:
            raise InvalidOperation
        number = Decimal(text)
    except InvalidOperation:
        raise FormatError("senml.number", f"got {text[:MAX_TEXT]}") from None
    return number or Decimal(0)   # `0e999999999` is a zero that no integer should be made of


def _no_number(text: str) -> Decimal:
    raise FormatError("senml.number", f"got {text}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise FormatError("senml.duplicate", "a label twice in a record")
    return found


def _fields(record: dict[Any, Any], kind: str) -> dict[str, Any]:
    """A record's fields by their names in JSON, those that we know, each of its type."""
    named: dict[str, Any] = {}
    for label, value in record.items():
        name = _LABELS.get(label, "") if isinstance(label, int) else label
        if name.endswith("_"):
            raise FormatError("senml.must_understand", f"label {name[:MAX_NAME]!r}")
        if name in named:
            raise FormatError("senml.duplicate", f"label {name[:MAX_NAME]!r} twice in a record")
        if name in _LABELS.values():
            named[name] = value
    data = str if kind == JSON else bytes
    for name, value in named.items():
        expected = Decimal if name in _NUMBERS else str if name in _TEXTS else bool if name == "vb" else data
        if not isinstance(value, expected):
            raise FormatError("senml.field", f"{name}: got {type(value).__name__}, expected {expected.__name__}")
        if isinstance(value, Decimal) and value and abs(value.adjusted()) > MAX_EXPONENT:
            raise FormatError("senml.number", f"{name}: got {value}")
    return named


def _resolved(records: list[dict[str, Any]]) -> Iterator[Measured]:
    zero = Decimal(0)
    base: dict[str, Any] = {"bn": "", "bt": zero, "bu": "", "bv": zero, "bs": zero}
    version: Decimal | None = None
    for one in records:
        base.update((label, value) for label, value in one.items() if label in base)
        if "bver" in one:
            if one["bver"] not in VERSIONS or version not in (None, one["bver"]):
                raise FormatError("senml.version", f"got {one['bver']}, expected one of {sorted(VERSIONS)} in the whole pack")
            version = one["bver"]
        values = [label for label in _VALUES if label in one]
        if not values and "s" not in one and any(label.startswith("b") for label in one):
            continue   # only base fields for those that follow
        if len(values) != 1 and not (not values and "s" in one):
            raise FormatError("senml.value", f"{len(values)} values in a record, expected one")
        first, second = base["bn"], one.get("n", "")
        if len(first) + len(second) > MAX_NAME or not _NAME.fullmatch(name := first + second):
            raise FormatError("senml.name", f"got {first[:MAX_NAME]!r} and {second[:MAX_NAME]!r}")
        value = one[values[0]] if values else None
        if isinstance(value, Decimal):
            value = _EXACT.add(value, base["bv"])
        total = _EXACT.add(one["s"], base["bs"]) if "s" in one else None
        yield Measured(name, _unit(one.get("u", base["bu"])), value, total, _EXACT.add(one.get("t", zero), base["bt"]))


def _unit(unit: str) -> str:
    """A unit that a schema of ours can carry."""
    if any(char < " " or char in '"\\\x7f' or "\ud800" <= char < "\ue000" for char in unit) \
            or len(unit.encode()) > MAX_UNIT_BYTES:
        raise FormatError("senml.unit", f"got {unit[:MAX_NAME]!a}, expected at most {MAX_UNIT_BYTES} bytes")
    return unit
