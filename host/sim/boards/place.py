"""Whose a board's folder is: one process has it at a time, and it stays the board that it was made as."""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from host.sim.boards.errors import BoardError


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
        path, text = place / "board.json", json.dumps(what)
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
