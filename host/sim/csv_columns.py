"""Reads a CSV of readings into columns of numbers, whatever program wrote it.

Decides encoding, delimiter, decimal sign and header from the file's beginning, and refuses what is no table in one line that
says where and what to do. A cell that is no number is a missing reading, never zero. Memory is bounded: 8 bytes a cell, and
the text of the first two columns, which may be times. Does not decide what becomes a channel: replay.py does.
"""

import codecs
import csv
import itertools
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TextIO

from host.sim.errors import DemoError
from host.sim.timestamps import is_time

MAX_FILE_BYTES = 200_000_000   # three months at 1 Hz of 20 columns; reading it takes a minute
MAX_ROWS = 200_000             # 14 hours at 250 ms a row: longer than anybody watches
MAX_COLUMNS = 256              # an instrument with more is written in several files; bounds memory to 400 MB
MAX_LINE = 1 << 17             # characters; a line of MAX_COLUMNS cells has about 4,000
SAMPLE_BYTES = 1 << 16         # encoding and delimiter are decided from so much
SAMPLE_LINES = 24              # lines that delimiter and decimal sign are decided from
TIME_COLUMNS = 2               # leading columns that may be times: one, or date and time apart
DELIMITERS = "\t;,"            # in order of preference: a comma may be a decimal sign where ; or tab separates
_NOTHING = "\n"
_NAMES = {"\t": "tab", ";": "semicolon", ",": "comma"}
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+([eE][+-]?\d+)?")

Row = tuple[int, list[str]]   # number of its line in the file, its cells


class ReplayError(DemoError):
    """A CSV cannot be replayed; the user can mend it.

    Attributes:
        code: what kind of fault, e.g. "csv.ragged"; callers branch on this.
        path: the file.
        where: line or column, empty when the whole file is meant.
        what: what is wrong.
        hint: what to do.
    """

    def __init__(self, code: str, path: Path, where: str, what: str, hint: str) -> None:
        super().__init__(f"{path}{', ' if where else ''}{where}: {what}; {hint}")
        self.code, self.path, self.where, self.what, self.hint = code, path, where, what, hint


@dataclass
class Column:
    """One column as it stands in the file.

    Attributes:
        header: its title, as written.
        values: one number a row, NaN where the cell was no number.
        decimals: most digits after the decimal sign that any cell needs; trailing zeros are not counted.
        words: cells that were neither empty nor a number.
        texts: the cells themselves, of the first TIME_COLUMNS columns only.
    """

    header: str
    keeps_text: bool = False
    values: "array[float]" = field(default_factory=lambda: array("d"))
    decimals: int = 0
    numbers: int = 0
    words: int = 0
    texts: list[str] = field(default_factory=list)

    def add(self, cell: str, *, decimal_comma: bool) -> None:
        """Take the next row's cell."""
        if self.keeps_text:
            self.texts.append(cell)
        number = to_number(cell, decimal_comma=decimal_comma)
        self.values.append(number)
        if math.isnan(number):
            self.words += bool(cell)
            return
        self.numbers += 1
        if "." in cell or "," in cell or "e" in cell or "E" in cell:
            digits = _decimals(cell.replace(",", ".") if decimal_comma else cell)
            self.decimals = max(self.decimals, digits)


@dataclass
class CsvTable:
    """A whole file. `notes` tells what was decided or passed over, for people."""

    columns: list[Column]
    notes: list[str]

    @property
    def rows(self) -> int:
        return len(self.columns[0].values)


def to_number(cell: str, *, decimal_comma: bool = False) -> float:
    """The finite number that a cell spells, else NaN."""
    if decimal_comma:
        cell = cell.replace(",", ".")
    try:
        number = float(cell)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) and "_" not in cell else math.nan


def read(path: Path, delimiter: str | None = None) -> CsvTable:
    """Read a CSV.

    Args:
        delimiter: one of comma, semicolon, tab; None finds out.

    Raises:
        ReplayError: code csv.missing, csv.unreadable, csv.large, csv.empty, csv.binary, csv.line, csv.quotes, csv.ragged,
            csv.columns or csv.rows.
    """
    notes: list[str] = []
    encoding = _encoding(path, notes)
    try:
        with path.open(encoding=encoding, errors="replace", newline="") as file:
            lines = _lines(path, file)
            head = list(itertools.islice(lines, SAMPLE_LINES))
            if head[0].lower().startswith("sep=") and len(head[0].strip()) == 5:   # Excel's own word on it
                delimiter, head[0] = delimiter or head[0].strip()[4], _NOTHING
            filled = [line for line in head if line.strip()]
            delimiter = delimiter or _delimiter(filled)
            return _table(path, itertools.chain(head, lines), delimiter, _decimal_comma(filled, delimiter), notes)
    except OSError as error:
        raise ReplayError("csv.unreadable", path, "", f"cannot be read ({error.strerror})", "check its permissions") from None


def _encoding(path: Path, notes: list[str]) -> str:
    try:
        if not path.exists():
            raise ReplayError("csv.missing", path, "", "there is no such file", "check the path")
        if not path.is_file():
            raise ReplayError("csv.unreadable", path, "", "is not a file", "name one CSV file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ReplayError("csv.large", path, "", f"has {size / 1e6:.0f} MB, at most {MAX_FILE_BYTES / 1e6:.0f} are read",
                              "cut it, for example: head -n 200000 FILE > part.csv")
        with path.open("rb") as file:
            sample = file.read(SAMPLE_BYTES)
    except OSError as error:
        raise ReplayError("csv.unreadable", path, "", f"cannot be read ({error.strerror})", "check its permissions") from None
    if not sample.strip():
        raise ReplayError("csv.empty", path, "", "is empty", "a header line and at least two rows are needed")
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if any(byte < 9 or 13 < byte < 32 for byte in sample):   # no text has these; tab, line ends and form feed are 9 to 13
        raise ReplayError("csv.binary", path, "", "is not a text file", "export it as CSV first")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)   # incremental: the sample may end within a character
    except UnicodeDecodeError:
        notes.append("not UTF-8, read as Windows-1252")
        return "cp1252"
    return "utf-8-sig"


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """All lines, so that csv.reader counts right; blank ones and comments (#) before the first row have nothing on them."""
    number, begun = 0, False
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise ReplayError("csv.line", path, f"line {number}", f"is longer than {MAX_LINE} characters", "export it as CSV")
        if "\0" in line:
            raise ReplayError("csv.binary", path, f"line {number}", "holds a NUL byte: no text file", "export it as CSV again")
        begun = begun or (bool(line.strip()) and not line.startswith("#"))
        yield line if begun and line.strip() else _NOTHING


def _delimiter(head: Sequence[str]) -> str:
    """The first delimiter that cuts all the first lines into the same number of cells, more than one."""
    for candidate in DELIMITERS:
        try:
            widths = {len(row) for row in csv.reader(head, delimiter=candidate)}
        except csv.Error:
            continue
        if len(widths) == 1 and widths != {1}:
            return candidate
    return max(",;\t", key=head[0].count) if head else ","


def _decimal_comma(head: Sequence[str], delimiter: str) -> bool:
    if delimiter == ",":
        return False
    cells = [cell.strip() for line in head for cell in line.split(delimiter)]
    return any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells) and not any(
        "." in cell and not math.isnan(to_number(cell)) for cell in cells
    )


def _table(path: Path, lines: Iterator[str], delimiter: str, decimal_comma: bool, notes: list[str]) -> CsvTable:
    rows = _rows(path, lines, delimiter)
    try:
        _, first = next(rows)
    except StopIteration:
        raise ReplayError("csv.empty", path, "", "holds only comments", "a header and at least two rows are needed") from None
    if len(first) > MAX_COLUMNS:
        raise ReplayError("csv.columns", path, "", f"has {len(first)} columns, at most {MAX_COLUMNS} are read", "cut it")
    named = not all(not cell or _is_value(cell, decimal_comma) for cell in first)
    titles = first if named else [f"column_{number + 1}" for number in range(len(first))]
    if not named:
        notes.append("no header line: the columns are called column_1 …")
        rows = itertools.chain([(1, first)], rows)
    while len(titles) > 1 and not titles[-1]:   # a delimiter at the end of each line
        titles = titles[:-1]
    columns = [Column(title, keeps_text=number < TIME_COLUMNS) for number, title in enumerate(titles)]
    _fill(path, columns, rows, decimal_comma, notes)
    if len(columns[0].values) < 2:
        count = len(columns[0].values)
        raise ReplayError("csv.rows", path, "", f"has {count or 'no'} row{'' if count == 1 else 's'} below its header",
                          "at least two rows are needed")
    if delimiter != ",":
        notes.append(f"columns are separated by {_NAMES.get(delimiter, repr(delimiter))}"
                     + (", the decimal sign is a comma" if decimal_comma else ""))
    return CsvTable(columns, notes)


def _fill(path: Path, columns: list[Column], rows: Iterator[Row], decimal_comma: bool, notes: list[str]) -> None:
    ragged: ReplayError | None = None
    for line, row in rows:
        if ragged is not None:
            raise ragged
        if len(columns[0].values) == MAX_ROWS:
            notes.append(f"only the first {MAX_ROWS} rows are played")
            return
        if len(row) < len(columns) or any(row[len(columns):]):
            ragged = ReplayError("csv.ragged", path, f"line {line}", f"has {len(row)} cells, the header has {len(columns)}",
                                 "each row needs as many cells as the header; quote cells that hold the delimiter")
            continue   # the last line of a logger that was switched off may be cut; any other is a fault
        for column, cell in zip(columns, row, strict=False):
            column.add(cell, decimal_comma=decimal_comma)
    if ragged is not None:
        if len(columns[0].values) < 2:
            raise ragged
        notes.append(f"the last line {ragged.what}: left out")


def _rows(path: Path, lines: Iterator[str], delimiter: str) -> Iterator[Row]:
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ReplayError("csv.quotes", path, f"line {reader.line_num}", f"does not parse ({error})",
                              "check the quotation marks") from None
        if row:
            yield reader.line_num, [cell.strip() for cell in row]


def _is_value(cell: str, decimal_comma: bool) -> bool:
    return not math.isnan(to_number(cell, decimal_comma=decimal_comma)) or is_time(cell)


def _decimals(cell: str) -> int:
    if "e" in cell or "E" in cell:
        exponent = Decimal(cell).normalize().as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0
    return len(cell.rpartition(".")[2].rstrip("0"))
