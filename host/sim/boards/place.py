"""Whose a board's folder is: one process has it at a time, and it stays the board that it was made as; what lies where in it."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from host.sim.boards.errors import BoardError

KEPT, FLASH, BENCH = "board.json", "flash", "bench"   # in a board's folder


@dataclass(frozen=True)
class Place:
    """Where a board is and what it is. `flash`: a file. `bench`: the world at its edge, which its program sees as /bench."""

    flash: Path
    bench: Path
    chip: str
    flash_bytes: int


def folder(boards: Path, number: int) -> Path:
    """One board's own, beside its port."""
    return boards / str(number)


def port(boards: Path, number: int) -> Path:
    """The name of its port."""
    return boards / f"tty{number}"


def behind(name: Path) -> Place:
    """The simulated board behind a port.

    Raises:
        BoardError: there is none; what else it is, nobody looks.
    """
    number = name.name.removeprefix("tty")
    try:
        place = folder(name.parent, int(number))
        kept = json.loads((place / KEPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BoardError(f"{name}: got a port of something else, expected a simulated board's: tenfold sim board") from None
    return Place(place / FLASH, place / BENCH, kept["chip"], kept["flash_bytes"])


def take(place: Path, what: Mapping[str, object]) -> int:
    """Take a board's folder, and note in a new one what the board is.

    Returns:
        A file descriptor that holds it, until it is closed or this process ends.

    Raises:
        BoardError: somebody else has it, or it is another board's.
    """
    lock = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path, text = place / KEPT, json.dumps(what)
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise BoardError(f"{place}: got a board with {path.read_text(encoding='utf-8')}, expected {text}; "
                             f"take another folder, or remove this one")
        path.write_text(text, encoding="utf-8")
    except BlockingIOError:
        os.close(lock)
        raise BoardError(f"{place}: this board is switched on already; stop who has it, or take another folder") from None
    except BaseException:
        os.close(lock)
        raise
    return lock
