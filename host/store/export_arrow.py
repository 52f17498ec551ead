"""Parquet and Arrow IPC (the file format, which pandas calls Feather), piece by piece, by pyarrow.

Decides the columns' types: time as a timestamp of milliseconds in UTC, names as dictionaries, values as the float64 nearest to the
exact decimal, so that rounding to the channel's resolution gives the stored value back. Units and resolutions are in the metadata.
pyarrow is an extra of the installation, `analysis`.
"""

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from host.store.channels import Channel
from host.store.readings import QUALITIES
from host.store.shape import Chunk, Order, column_names, wide_rows

COMPRESSION = "zstd"
NAMES = [QUALITIES[index] for index in sorted(QUALITIES)]


class ExportError(Exception):
    """An export that cannot be made here; the message says what to do."""


class _Sink:
    """A file for pyarrow that hands over what was written since."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0
        self.closed = False

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._parts.append(content)
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def need() -> Any:
    """Give pyarrow.

    Raises:
        ExportError: it is not installed.
    """
    try:
        import_module("pyarrow.parquet")   # it is no attribute of pyarrow otherwise
        return import_module("pyarrow")
    except ImportError:
        raise ExportError("export.pyarrow: Parquet and Arrow need pyarrow, which is not installed; install it with "
                          "`pip install 'tenfold[analysis]'`, or export CSV") from None


def write(chunks: Iterable[Chunk], order: Order, known: Sequence[Channel], form: str, *, wide: bool) -> Iterator[bytes]:
    """The file's bytes, some at a time; `form` is "parquet" or "arrow".

    Raises:
        ExportError: pyarrow is not installed.
    """
    pa = need()
    rows = _Wide(pa, order, known) if wide else _Long(pa, order, known)
    sink = _Sink()
    if form == "parquet":
        writer = pa.parquet.ParquetWriter(sink, rows.schema, compression=COMPRESSION)
    else:
        writer = pa.ipc.new_file(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression=COMPRESSION))
    with writer:
        for chunk in chunks:
            writer.write_batch(rows.batch(chunk))
            yield sink.taken()
    yield sink.taken()


class _Long:
    """A row a reading."""

    def __init__(self, pa: Any, order: Order, known: Sequence[Channel]) -> None:
        self._pa = pa
        self._devices = list(order.devices)
        self._names = list(dict.fromkeys(one.name for one in known))
        self._units = list(dict.fromkeys(one.unit for one in known))
        word = pa.dictionary(pa.int32(), pa.string())
        resolutions = {f"resolution.{one.name}": str(one.resolution) for one in reversed(known)}   # the one of now, if many
        self.schema = pa.schema([
            pa.field("time", pa.timestamp("ms", tz="UTC"), nullable=False), ("device", word), ("channel", word), ("unit", word),
            pa.field("value", pa.float64(), nullable=False), ("quality", word)], metadata=resolutions)

    def batch(self, chunk: Chunk) -> Any:
        some, pa = chunk.readings, self._pa
        names = np.array([self._names.index(one.name) for one in some.channels], np.int32)
        units = np.array([self._units.index(one.unit) for one in some.channels], np.int32)
        value = np.empty(len(some), np.float64)
        for channel, places in some.of_each():
            value[places] = channel.scale(some.steps[places])
        device = np.full(len(some), self._devices.index(chunk.device), np.int32)
        columns = [
            pa.array(some.t_ms).cast(self.schema.field("time").type), _words(pa, device, self._devices),
            _words(pa, names[some.which], self._names), _words(pa, units[some.which], self._units), pa.array(value),
            _words(pa, some.quality.astype(np.int32), NAMES)]
        return pa.record_batch(columns, schema=self.schema)


class _Wide:
    """A row a time, a column a channel."""

    def __init__(self, pa: Any, order: Order, known: Sequence[Channel]) -> None:
        self._pa = pa
        self._devices = list(order.devices)
        self._columns = column_names(known)
        resolutions = {(one.name, one.unit): str(one.resolution) for one in reversed(known)}
        word = pa.dictionary(pa.int32(), pa.string())
        self.schema = pa.schema([
            pa.field("time", pa.timestamp("ms", tz="UTC"), nullable=False), ("device", word), ("quality", word),
            *(pa.field(name, pa.float64(), metadata={"unit": pair[1], "resolution": resolutions[pair]})
              for pair, name in self._columns.items())])

    def batch(self, chunk: Chunk) -> Any:
        some, pa, rows = chunk.readings, self._pa, wide_rows(chunk.readings)
        shape = len(self._columns), len(rows.t_ms)
        values, there = np.zeros(shape, np.float64), np.zeros(shape, np.bool_)
        at = {pair: index for index, pair in enumerate(self._columns)}
        for channel, places in some.of_each():
            column, row = at[channel.name, channel.unit], rows.row[places]
            values[column, row] = channel.scale(some.steps[places])
            there[column, row] = True
        device = np.full(len(rows.t_ms), self._devices.index(chunk.device), np.int32)
        columns = [
            pa.array(rows.t_ms).cast(self.schema.field("time").type), _words(pa, device, self._devices),
            _words(pa, rows.quality.astype(np.int32), NAMES),
            *(pa.array(value, mask=~known) for value, known in zip(values, there, strict=True))]
        return pa.record_batch(columns, schema=self.schema)


def _words(pa: Any, index: Any, words: Sequence[str]) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(index), pa.array(words, pa.string()))
