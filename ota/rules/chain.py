"""The chain through the audit log: each row's hash covers the row and the hash before it, so that a changed or missing row shows.

Decides how a row becomes bytes. What the chain cannot show: that its newest rows were cut off, or that somebody who holds the
database has written all of it anew. Both show against a head that was noted elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

GENESIS = "0" * 64   # the hash before the first row
FIELDS = ("n", "at_s", "who", "certificate", "role", "method", "path", "about", "outcome", "reason")


class ChainError(Exception):
    """A row does not fit its neighbours: it was changed, removed or put in; the message names it."""


def link(before: str, row: Mapping[str, Any]) -> str:
    """Compute a row's hash, hex, from the one before it and the row's fields."""
    text = json.dumps([before, *(row[name] for name in FIELDS)], ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def verify(newest_first: Iterable[Mapping[str, Any]], noted: tuple[int, str] = (0, GENESIS)) -> tuple[int, str]:
    """Follow the chain from its newest row to its first.

    Args:
        noted: a head that was kept elsewhere: number and hash of a row that must be there.

    Returns:
        Number and hash of the newest row; (0, GENESIS) for an empty log.

    Raises:
        ChainError: the first row, from the newest on, that does not fit, or the noted one is not there.
    """
    head, after, is_met = (0, GENESIS), None, noted == (0, GENESIS)
    for row in newest_first:
        is_met = is_met or (row["n"], row["hash"]) == noted
        if after is None:
            head = int(row["n"]), str(row["hash"])
        else:
            _fits(row["n"] + 1, row["hash"], after)
        after = row
    if after is not None:
        _fits(1, GENESIS, after)
    if not is_met:
        raise ChainError(f"row {noted[0]} with the hash that was noted is not there: the log was cut at its end or written anew")
    return head


def _fits(n: int, before: str, row: Mapping[str, Any]) -> None:
    if row["n"] != n or row["hash"] != link(before, row):
        raise ChainError(f"row {row['n']} of {row['who']} ({row['method']} {row['path']}): it or the one before it was changed, "
                         f"removed or put in")
