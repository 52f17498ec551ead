"""A content-addressed folder: objects are named by their SHA-256, written once and never changed or removed.

Decides how an object becomes durable (temporary file, fsync, rename, fsync of the folder) and that no byte leaves it unchecked:
every read is hashed. Old releases stay for good: a device back from years of sleep may need one as a stepping stone, and what
may be installed is decided by manifests, not by what happens to be kept. Knows no manifests and no roots.
"""

import hashlib
import os
import re
import tempfile
from pathlib import Path

SHA256_HEX = re.compile(r"[0-9a-f]{64}")


class ArchiveError(Exception):
    """The archive's folder cannot be used, or an object in it is damaged; the message names the object and what is wrong."""


class MissingError(ArchiveError):
    """There is no object of this name."""


class Archive:
    """Objects by their SHA-256 under one folder.

    Args:
        folder: made when missing. Several processes may use it at once.

    Raises:
        ArchiveError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArchiveError(f"archive {folder}: {error.strerror}") from None

    def put(self, data: bytes) -> str:
        """Keep an object; durable when this returns.

        Returns:
            Its SHA-256 in hex. An object that is there already is left alone; a damaged one is replaced by the good bytes.

        Raises:
            ArchiveError: it cannot be written.
        """
        name = hashlib.sha256(data).hexdigest()
        target = self._path(name)
        try:
            if target.exists() and target.read_bytes() == data:
                return name
            target.parent.mkdir(exist_ok=True)
            self._write(target, data)
        except OSError as error:
            raise ArchiveError(f"object {name}: {error.strerror}") from None
        return name

    def get(self, name: str) -> bytes:
        """Read an object.

        Raises:
            MissingError: there is none, or `name` is not a SHA-256 in lower-case hex.
            ArchiveError: its bytes do not match its name.
        """
        if not SHA256_HEX.fullmatch(name):
            raise MissingError(f"object {name[:80]!r}: not a SHA-256 in hex")
        try:
            data = self._path(name).read_bytes()
        except FileNotFoundError:
            raise MissingError(f"object {name}: not in the archive") from None
        except OSError as error:
            raise ArchiveError(f"object {name}: {error.strerror}") from None
        found = hashlib.sha256(data).hexdigest()
        if found != name:
            raise ArchiveError(f"object {name}: damaged, its bytes hash to {found}")
        return data

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name[2:]

    @staticmethod
    def _write(target: Path, data: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
            Path(temporary).replace(target)
        except OSError:
            Path(temporary).unlink(missing_ok=True)
            raise
        for folder in (target.parent, target.parent.parent):   # a new sub-folder's own entry must last too
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
