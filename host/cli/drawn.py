"""What commands draw alike: progress on the error stream, columns of numbers, plots out of blocks."""

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

BLOCKS = " ▁▂▃▄▅▆▇█"


def progress(quiet: bool) -> Progress:
    """Make a bar that only a terminal gets to see, and none for machines."""
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), transient=True,
                    console=Console(stderr=True), disable=quiet or not sys.stderr.isatty())


def right(name: str) -> Column:
    """Make a column of numbers."""
    return Column(name, justify="right")
