"""A content-addressed folder: objects are named by their SHA-256, written once and never changed or removed.

Decides how an object becomes durable (temporary file, hash, fsync, rename, fsync of the folder) and that no byte leaves it
unchecked: every read is hashed. Old releases stay for good: a device back from years of sleep may need one as a stepping stone,
and what may be installed is decided by manifests, not by what happens to be kept. Knows no manifests and no roots.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

SHA256_HEX = re.compile(r"[0-9a-f]{64}")


class ArchiveError(Exception):
    """The archive's folder cannot be used, or an object in it is damaged; the message names the object and what is wrong."""


class MissingError(ArchiveError):
    """There is no object of this name."""


class MismatchError(ArchiveError):
    """What arrived is not the object that was announced: its bytes have another hash. Nothing of it is kept."""


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
        with _told(name):
            if target.exists() and target.read_bytes() == data:
                return name
        with self.receive(name) as incoming:
            incoming.write(data)
            incoming.keep()
        return name

    def receive(self, name: str) -> "Incoming":
        """Begin to take an object that arrives in pieces; a context manager.

        Args:
            name: the SHA-256 in hex that its bytes will have.

        Raises:
            MissingError: `name` is no SHA-256 in lower-case hex.
            ArchiveError: it cannot be written.
        """
        return Incoming(self._path(name), name)

    def get(self, name: str) -> bytes:
        """Read an object.

        Raises:
            MissingError: there is none, or `name` is not a SHA-256 in lower-case hex.
            ArchiveError: its bytes do not match its name.
        """
        path = self._path(name)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise MissingError(f"object {name}: not in the archive") from None
        except OSError as error:
            raise ArchiveError(f"object {name}: {error.strerror}") from None
        found = hashlib.sha256(data).hexdigest()
        if found != name:
            raise ArchiveError(f"object {name}: damaged, its bytes hash to {found}")
        return data

    def size(self, name: str) -> int | None:
        """Tell the size of an object in bytes, as the file system does; None when there is none. Its bytes are not looked at."""
        try:
            path = self._path(name)
            return path.stat().st_size if _is_object(path) else None
        except (MissingError, FileNotFoundError):
            return None

    def objects(self, after: str = "") -> Iterator[tuple[str, int]]:
        """Go through the objects in order of their names: name and size in bytes.

        Args:
            after: start behind this name.
        """
        for path in self._files(after[:2]):
            if _is_object(path) and path.parent.name + path.name > after:
                yield path.parent.name + path.name, path.stat().st_size

    def foreign(self) -> Iterator[Path]:
        """Go through what lies here and is no object: files of other names, links, what a process that was killed left."""
        for path in self._files():
            if not _is_object(path):
                yield path

    def _files(self, start: str = "") -> Iterator[Path]:
        for folder in sorted(self._folder.iterdir()):
            if folder.is_dir() and not folder.is_symlink() and folder.name >= start:
                yield from sorted(folder.iterdir())
            elif not folder.is_dir() or folder.is_symlink():
                yield folder

    def _path(self, name: str) -> Path:
        if not SHA256_HEX.fullmatch(name):
            raise MissingError(f"object {name[:80]!r}: not a SHA-256 in hex")
        return self._folder / name[:2] / name[2:]


class Incoming:
    """An object on its way into the archive; `Archive.receive` makes it. Leaving its `with` block drops what was not kept.

    Attributes:
        size_bytes: how much has arrived.
    """

    def __init__(self, target: Path, name: str) -> None:
        self._target, self._name = target, name
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        with _told(name):
            target.parent.mkdir(exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".new-")
        self._file, self._temporary = os.fdopen(descriptor, "wb"), Path(temporary)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with _told(self._name):
            self._temporary.unlink(missing_ok=True)
            self._file.close()

    def write(self, piece: bytes) -> None:
        """Take the next piece.

        Raises:
            ArchiveError: it cannot be written.
        """
        with _told(self._name):
            self._file.write(piece)
        self._hash.update(piece)
        self.size_bytes += len(piece)

    def keep(self) -> None:
        """Put the object in its place, also over one that is there; durable when this returns.

        Raises:
            MismatchError: its bytes have another hash than its name says.
            ArchiveError: it cannot be written.
        """
        found = self._hash.hexdigest()
        if found != self._name:
            raise MismatchError(f"got {self.size_bytes} bytes with SHA-256 {found}, expected {self._name}")
        with _told(self._name):
            self._file.flush()
            os.fchmod(self._file.fileno(), 0o444)
            os.fsync(self._file.fileno())
            self._temporary.replace(self._target)
            for folder in (self._target.parent, self._target.parent.parent):   # a new sub-folder's own entry must last too
                handle = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)


def _is_object(path: Path) -> bool:
    """Tell whether a file is one by name and kind; its bytes are not looked at."""
    return bool(SHA256_HEX.fullmatch(path.parent.name + path.name)) and path.is_file() and not path.is_symlink()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Tell the file system's faults as the archive's."""
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"object {name}: {error.strerror}") from None
