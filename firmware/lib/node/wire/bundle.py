"""The bundle: the files of one release in one artifact, an index in front. The artifact's bytes are what a slot holds.

Builds and reads whole bundles in memory: for hosts and tests. A device never loads this module, it imports straight out of the
bundle in flash (stub.py). Nothing here is signed: the manifest names the bundle by its SHA-256.
"""

from node.compat import Any, const
from node.errors import CallerError, FormatError
from node.wire.fields import DIGITS, LOWER, only

MAGIC = b"TFB1 "
HEAD_BYTES = const(12)   # magic, the index's length in six digits, newline
MAX_INDEX_BYTES = const(8192)   # a device holds it in RAM; ours has 1.7 KB
MAX_FILES = const(128)
MAX_FILE_BYTES = const(32768)   # a device reads a file whole to import it; ours are below 10 KB
MAX_PATH = const(64)   # characters
_STEM = LOWER + DIGITS + "_"


def build(files: dict[str, bytes]) -> bytes:
    """Lay out {path: content} as a bundle: the same files give the same bytes.

    Raises:
        CallerError: `bundle.invalid`: what parse would refuse.
    """
    rows = sorted(files.items())
    length = HEAD_BYTES + 1   # the length of the index is written in the index: repeat until it agrees
    while True:
        lines, at = [], length
        for path, data in rows:
            lines.append("%s %d %d\n" % (path, at, len(data)))
            at += len(data)
        index = ("TFB1 %06d\n" % length + "".join(lines) + "\n").encode()
        if len(index) == length:
            break
        length = len(index)
    raw = b"".join([index] + [data for _, data in rows])
    try:
        parse(raw)
    except FormatError as error:
        raise CallerError("bundle.invalid", str(error))
    return raw


def parse(raw: bytes) -> dict[str, bytes]:
    """The files of a whole bundle, by path.

    Raises:
        FormatError: as index(), or `bundle.short`, `bundle.long`: it does not end where its index does.
    """
    rows = index(raw)
    _, last, size = rows[-1]
    if len(raw) != last + size:
        raise FormatError("bundle.short" if len(raw) < last + size else "bundle.long",
                          f"got {len(raw)} bytes, the index ends at {last + size}")
    return {path: raw[at:at + size] for path, at, size in rows}


def index(raw: bytes) -> list[tuple[str, int, int]]:
    """The (path, offset, size) of each file, from a bundle or its beginning.

    Raises:
        FormatError: `bundle.magic`, `bundle.index`, `bundle.files`, `bundle.path`, `bundle.size`.
    """
    length = raw[len(MAGIC):HEAD_BYTES - 1]
    if raw[:len(MAGIC)] != MAGIC or raw[HEAD_BYTES - 1:HEAD_BYTES] != b"\n" or not _is_number(length):
        raise FormatError("bundle.magic", f"got {bytes(raw[:HEAD_BYTES])!r}")
    end = int(length)
    if not HEAD_BYTES < end <= min(MAX_INDEX_BYTES, len(raw)) or raw[end - 2:end] != b"\n\n":
        raise FormatError("bundle.index", f"{end} bytes, at most {MAX_INDEX_BYTES}, ended by an empty line")
    lines = bytes(raw[HEAD_BYTES:end - 2]).split(b"\n")
    if len(lines) > MAX_FILES or lines == [b""]:
        raise FormatError("bundle.files", f"got {len(lines)}, expected 1..{MAX_FILES}")
    rows: list[tuple[str, int, int]] = []
    at, before = end, ""
    for line in lines:
        parts = line.split(b" ")
        if len(parts) != 3 or not _is_number(parts[1]) or not _is_number(parts[2]) or int(parts[1]) != at:
            raise FormatError("bundle.index", f"got {line[:MAX_PATH]!r}, expected a path, {at} and a size")
        path, size = _text(parts[0]), int(parts[2])
        if not is_path(path) or path <= before:
            raise FormatError("bundle.path", f"got {path[:MAX_PATH]!r} after {before!r}")
        if not 0 < size <= MAX_FILE_BYTES:
            raise FormatError("bundle.size", f"{path}: got {size} bytes, expected 1..{MAX_FILE_BYTES}")
        rows.append((path, at, size))
        at, before = at + size, path
    return rows


def is_path(path: Any) -> bool:
    """Say whether a file's name is `[a-z0-9_]+(/[a-z0-9_]+)*.(mpy|json)`."""
    if type(path) is not str or len(path) > MAX_PATH:
        return False
    stem, dot, suffix = path.partition(".")
    return dot == "." and suffix in ("mpy", "json") and all(part and only(part, _STEM) for part in stem.split("/"))


def _is_number(text: bytes) -> bool:
    """Whether these are one to seven decimal digits."""
    return 0 < len(text) <= 7 and all(48 <= byte <= 57 for byte in text)


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeError:
        return ""
