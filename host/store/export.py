"""An export as a stream of bytes, in bounded memory: CSV, Parquet or Arrow, long or wide.

Decides which writer makes a format. The caller decides where the bytes go: to a file that is there whole or not at all, a pipe, an
answer.
"""

from collections.abc import Iterator

from host.store import export_arrow, export_csv
from host.store.queries import Queries
from host.store.shape import Order, Progress, chunks, known_channels

# Format -> media type. Arrow's and Parquet's are registered with IANA.
FORMATS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet",
           "arrow": "application/vnd.apache.arrow.file"}


def _untold(_share: float) -> None:
    """Nobody wants to know."""


def export(queries: Queries, order: Order, form: str, *, wide: bool = False, progress: Progress = _untold) -> Iterator[bytes]:
    """Begin an export.

    Args:
        form: one of FORMATS.
        wide: a row a time with a column a channel, in place of a row a reading.
        progress: told the share that is done.

    Raises:
        ExportError: what writes this format is not installed; told now, before the first byte.
    """
    if form != "csv":
        export_arrow.need()
    known = known_channels(queries, order)
    found = chunks(queries, order, known, progress)
    return export_csv.write(found, known, wide=wide) if form == "csv" else export_arrow.write(found, order, known, form, wide=wide)
