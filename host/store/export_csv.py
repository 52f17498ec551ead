"""CSV by RFC 4180, piece by piece: CRLF, quotes where a field needs them, UTF-8, a header. An absent reading is an empty field."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from host.store.channels import Channel
from host.store.readings import QUALITIES
from host.store.shape import Chunk, column_names, decimals, header, iso, wide_rows

END = "\r\n"


def write(chunks: Iterable[Chunk], known: Sequence[Channel], *, wide: bool) -> Iterator[bytes]:
    """The header, then the rows of each chunk."""
    yield (_fields(header(known, wide=wide)) + END).encode()
    columns = list(column_names(known))
    for chunk in chunks:
        yield (_wide(chunk, columns) if wide else _long(chunk)).encode()


def _long(chunk: Chunk) -> str:
    some = chunk.readings
    value = np.empty(len(some), object)
    named = np.empty(len(some), object)
    for channel, places in some.of_each():
        value[places] = decimals(channel, some.steps[places])
        named[places] = _fields([chunk.device, channel.name, channel.unit])
    quality = np.array([QUALITIES[index] for index in sorted(QUALITIES)], object)[some.quality]
    rows = zip(some.t_ms.tolist(), iso(some.t_ms), named.tolist(), value.tolist(), quality.tolist(), strict=True)
    return "".join(f"{t_ms},{at},{who},{what},{how}{END}" for t_ms, at, who, what, how in rows)


def _wide(chunk: Chunk, columns: Sequence[tuple[str, str]]) -> str:
    some, rows = chunk.readings, wide_rows(chunk.readings)
    cells = np.full((len(rows.t_ms), len(columns)), "", object)
    for channel, places in some.of_each():
        cells[rows.row[places], columns.index((channel.name, channel.unit))] = decimals(channel, some.steps[places])
    quality = [QUALITIES[index] for index in rows.quality.tolist()]
    lines = zip(rows.t_ms.tolist(), iso(rows.t_ms), quality, cells.tolist(), strict=True)
    return "".join(f"{t_ms},{at},{chunk.device},{how},{','.join(cell)}{END}" for t_ms, at, how, cell in lines)


def _fields(values: Iterable[str]) -> str:
    """Fields with quotes where they need them: a unit may hold a comma."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()
