"""What commands draw alike: progress on the error stream, columns of numbers, plots out of blocks."""

import sys
from collections.abc import Sequence
from itertools import compress

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

BLOCKS = " ▁▂▃▄▅▆▇█"


def progress(quiet: bool) -> Progress:
    """Make a bar that only a terminal gets to see, and none for machines."""
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), transient=True,
                    console=Console(stderr=True), disable=quiet or not sys.stderr.isatty())


def whole(name: str) -> Column:
    """Make a column whose words are not cut off in a narrow terminal: names that people copy."""
    return Column(name, no_wrap=True)


def filled(columns: Sequence[Column | str], rows: Sequence[Sequence[str]]) -> Table:
    """Make a table without the columns that say nothing in any row: a terminal is narrow."""
    said = [not rows or any(row[at] for row in rows) for at in range(len(columns))]
    table = Table(*compress(columns, said))
    for row in rows:
        table.add_row(*compress(row, said))
    return table


def right(name: str) -> Column:
    """Make a column of numbers."""
    return Column(name, justify="right")
