"""What is in a board's flash: nothing, plain MicroPython, our firmware with its release and device id, and whether it has a key.

Decides it from as few reads as possible: a loader gives some tens of kilobytes a second. The file system is mounted with the blocks
that littlefs asks for, fetched when it does. Nothing is written. Where the bytes come from is the caller's business.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from littlefs import LittleFS, LittleFSError, UserContext

from node.agent.paths import KEY_PATH
from provisioning.line.esp_image import APP_DESCRIPTOR, APP_DESCRIPTOR_MAGIC, IMAGE_MAGIC
from provisioning.line.image import (
    NOTHING,
    SECTOR_BYTES,
    TABLE_BYTES,
    TABLE_OFFSET,
    ImageError,
    Partition,
    decode_table,
    littlefs,
)

HEAD_BYTES = 0x9000      # from the table on: it, and the beginning of an application at 0x10000, where most have it
HEADERS_BYTES = 32       # of an application and its first segment, before its descriptor
FETCH_BYTES = 4 * SECTOR_BYTES   # of the file system at once
SITE, FACTORY = "/state/site.json", "/factory/release.json"
RELEASES = {"factory": FACTORY, "a": "/slots/a/release.json", "b": "/slots/b/release.json"}

Read = Callable[[int, int], bytes]   # address, size


@dataclass(frozen=True)
class Contents:
    """What a flash holds.

    Attributes:
        runs: "tenfold", "micropython", "unknown" or "nothing".
        version: the application's own word, e.g. "v1.26.1"; may be empty.
        release: of our firmware, the confirmed one. device: its id, "" while it is on the line, without a site.
        has_identity: whether there is a device key, which erasing would destroy.
    """

    runs: str
    version: str = ""
    release: str = ""
    device: str = ""
    has_identity: bool = False

    @property
    def text(self) -> str:
        """For people."""
        if self.runs == "tenfold":
            where = self.device or ("on the line" if not self.has_identity else "has a key, no site")
            return f"Tenfold {self.release or '?'}, {where}"
        words = {"micropython": "MicroPython", "unknown": "something else", "nothing": "nothing"}
        return f"{words[self.runs]} {self.version}".strip()


def look(read: Read, mac: str, flash_bytes: int) -> Contents:
    """Tell what a flash holds.

    Args:
        read: gives a part of the flash; what it raises goes through.
        flash_bytes: of the flash chip, 0 when it is not known.
    """
    head = read(TABLE_OFFSET, HEAD_BYTES)
    try:
        table = decode_table(head[:TABLE_BYTES])
    except ImageError:
        return Contents("nothing" if not head[:TABLE_BYTES].strip(NOTHING) else "unknown")
    project, version = _application(table, head, read)
    vfs = _vfs(table, flash_bytes)
    files = _Files(vfs, read) if vfs is not None else None
    if files is None or not files.is_there:
        return Contents("micropython" if project == "micropython" else "unknown" if project is not None else "nothing", version)
    has_identity = files.holds(KEY_PATH)
    if not has_identity and not files.holds(FACTORY):
        return Contents("micropython" if project == "micropython" else "unknown", version)
    slot = _field(files.json("/boot.json"), "slot") or "factory"
    release = _field(files.json(RELEASES.get(slot, FACTORY)), "release")
    product = _field(files.json(SITE), "product")
    device = f"{product}-{mac.replace(':', '')}" if product else ""
    return Contents("tenfold", version, release, device, has_identity)


class _Files(UserContext):
    """A file system in a flash that is read when littlefs asks."""

    def __init__(self, partition: Partition, read: Read) -> None:
        super().__init__(buffer=bytearray())
        self._partition, self._read = partition, read
        self._parts: dict[int, bytes] = {}
        self._fault: BaseException | None = None
        self._fs: LittleFS = littlefs(self, partition.size)
        self.is_there = partition.size >= 2 * SECTOR_BYTES and self._try(self._fs.mount) is not None

    def read(self, cfg: Any, block: int, off: int, size: int) -> bytearray:
        """As littlefs asks it. What the flash's reader raises is kept for `_try`: it cannot pass through littlefs."""
        del cfg
        start = block * SECTOR_BYTES + off
        number = start // FETCH_BYTES
        if number not in self._parts and self._fault is None:
            room = min(FETCH_BYTES, self._partition.size - number * FETCH_BYTES)
            try:
                self._parts[number] = self._read(self._partition.offset + number * FETCH_BYTES, room)
            except BaseException as error:
                self._fault = error
        part = self._parts.get(number, b"").ljust(FETCH_BYTES, NOTHING)
        return bytearray(part[start % FETCH_BYTES:][:size])

    def holds(self, path: str) -> bool:
        return self._try(lambda: self._fs.stat(path)) is not None

    def json(self, path: str) -> dict[str, Any]:
        """A file's object; empty when it is not there or says nothing."""
        def get() -> bytes:
            with self._fs.open(path, "rb") as file:
                return bytes(file.read())
        try:
            found = json.loads(self._try(get) or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            found = action()
        except (LittleFSError, FileNotFoundError):
            found = None
        if self._fault is not None:
            raise self._fault
        return found


def _application(table: list[Partition], head: bytes, read: Read) -> tuple[str | None, str]:
    """Project and version of the application that the chip starts; None when there is none."""
    size = HEADERS_BYTES + APP_DESCRIPTOR.size
    for one in table:
        if one.type == "app" and one.subtype in ("factory", "ota_0"):
            at = one.offset - TABLE_OFFSET
            raw = head[at:at + size] if 0 <= at <= len(head) - size else read(one.offset, SECTOR_BYTES)[:size]
            if not raw.startswith(IMAGE_MAGIC):
                return None, ""
            magic, version, project, _ = APP_DESCRIPTOR.unpack_from(raw, HEADERS_BYTES)
            if magic != APP_DESCRIPTOR_MAGIC:
                return "", ""
            return _text(project), _text(version)
    return None, ""


def _vfs(table: list[Partition], flash_bytes: int) -> Partition | None:
    """The partition of the file system; where the table has none it is the rest of the flash, as in MicroPython since 1.26."""
    for one in table:
        if one.label == "vfs":
            return one
    end = max((one.end for one in table), default=flash_bytes)
    return Partition("vfs", "data", "littlefs", end, flash_bytes - end) if flash_bytes > end else None


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode(errors="replace")


def _field(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
