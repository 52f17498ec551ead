"""A station's journal: what happened to each board, on disk before the station goes on, each line chained to the one before.

Decides nothing: what an entry means is `provisioning.rules.tally`'s and the machine's. It holds public keys, signed birth records
and measurements, no secret. One process at a time; a line that a crash cut off at the end was never relied on and is taken away.
"""

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioning.errors import ProvisioningError

Entry = Mapping[str, Any]
GENESIS = "0" * 64


class Journal:
    """An open journal. Methods may be called from several threads.

    Attributes:
        entries: all of them, the oldest first.
    """

    def __init__(self, path: Path) -> None:
        """Open or begin it.

        Raises:
            ProvisioningError: "line.busy": another station has it open; "line.journal": it was changed behind our back.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._file)
            raise ProvisioningError("line.busy", f"{path}: another process works with this journal; end it, or take another "
                                                 "station") from None
        try:
            self.entries, self._last, size = _read(path)
        except ProvisioningError:
            os.close(self._file)
            raise
        os.ftruncate(self._file, size)
        self._lock = threading.Lock()

    def append(self, entry: Entry) -> None:
        """Write an entry; it is on the disk when this returns."""
        with self._lock:
            self._last, line = _chained(self._last, entry)
            os.write(self._file, line)
            os.fsync(self._file)
            self.entries.append(entry)

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> list[Entry]:
    """The entries of a journal that may be open elsewhere.

    Raises:
        ProvisioningError: "line.journal": there is none, or it was changed.
    """
    if not path.is_file():
        raise ProvisioningError("line.journal", f"{path}: no such journal; `tenfold line run` begins it")
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Entry], str, int]:
    """Entries, the last hash, and how many bytes of the file they are."""
    entries: list[Entry] = []
    last, size = GENESIS, 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break   # torn: the station crashed before it could rely on it
        try:
            found = json.loads(line)
            entry = found["entry"]
        except (ValueError, KeyError, TypeError):
            entry = found = {}
        last, expected = _chained(last, entry)
        if line != expected:
            raise ProvisioningError("line.journal", f"{path}:{number}: this entry or one before it was changed, removed or put in; "
                                                    "keep the file, it is evidence, and go on with another folder")
        entries.append(entry)
        size += len(line)
    return entries, last, size


def _chained(last: str, entry: Entry) -> tuple[str, bytes]:
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(f"{last}{text}".encode()).hexdigest()
    return digest, f'{{"hash":"{digest}","entry":{text}}}\n'.encode()
