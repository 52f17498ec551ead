"""Applying a delta on a host: with the device's own code, so that a delta which is published works there.

Finds no deltas (delta.py) and believes none: who calls compares what came of it with a hash that was signed.
"""

import hashlib
import io
import zlib
from dataclasses import dataclass
from typing import Self

from node.errors import FormatError
from node.wire import delta as delta_format

_READ_BYTES = 256


@dataclass(frozen=True)
class Delta:
    """What turns one artifact into another.

    Attributes:
        base: SHA-256 in hex of the older one. base_bytes: its size.
        content: the delta itself.
    """

    base: str
    base_bytes: int
    content: bytes

    @classmethod
    def of(cls, base: bytes, content: bytes) -> Self:
        """The delta with this content from a base."""
        return cls(hashlib.sha256(base).hexdigest(), len(base), content)

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def apply(base: bytes, delta: bytes, size: int) -> bytes:
    """Make a target of so many bytes, with the device's code.

    Raises:
        FormatError: `delta.*`.
    """
    view = memoryview(base)
    sizes = delta_format.head(delta)
    if sizes != (len(base), size):
        raise FormatError("delta.size", f"made from {sizes[0]} bytes for {sizes[1]}, expected {len(base)} and {size}")

    def read(at: int, out: memoryview) -> None:
        out[:] = view[at:at + len(out)]

    file = io.BytesIO(delta)
    file.seek(delta_format.HEAD_BYTES)
    patch = delta_format.Patch(Inflated(file), read, len(base), size)
    pieces = []
    while piece := bytes(patch.piece()):
        pieces.append(piece)
    if file.read(1):
        raise FormatError("delta.trailing", "bytes behind the deflated stream")
    return b"".join(pieces)


class Inflated(io.RawIOBase):
    """A raw deflate stream in a file, inflated while it is read: what deflate.DeflateIO is to a device. Reads nothing behind it."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file
        self._inflater = zlib.decompressobj(-delta_format.WINDOW_BITS)

    def readable(self) -> bool:
        return True

    def readinto(self, out: memoryview) -> int:   # type: ignore[override]
        """Fill `out` as far as there is something. EOFError: the stream ends early. ValueError: it is damaged."""
        found = b""
        while not found and not self._inflater.eof:
            more = self._inflater.unconsumed_tail or self._file.read(_READ_BYTES)
            try:
                found = self._inflater.decompress(more, len(out))
            except zlib.error as error:
                raise ValueError(str(error)) from None
            if not more and not found and not self._inflater.eof:
                raise EOFError
            if self._inflater.eof:
                self._file.seek(-len(self._inflater.unused_data), io.SEEK_CUR)
        out[:len(found)] = found
        return len(found)
