"""Flash images: the partition table, the file system that the line writes, and reading both back.

Turns values into bytes and bytes into values; flashes nothing and reads only the table's CSV. Which files a device starts its
life with is decided here (`device_files`); how they are laid out on the wire or compiled is not.
"""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from littlefs import LittleFS, LittleFSError, UserContext

from node.wire import bundle as bundle_format
from ota.release.bundle import boot_files

SECTOR_BYTES = 4096   # smallest erase unit, and littlefs block
IO_BYTES = 32         # read and program size of littlefs as MicroPython on ESP32 mounts it
CACHE_BYTES = 128     # min(4096, 4 * IO_BYTES): as MicroPython computes it; files up to this are stored inline
BLOCK_CYCLES = 100    # as MicroPython sets it
DISK_VERSION = 0x00020001
NOTHING = b"\xff"     # erased flash
UNIX_2020_S = 1_577_836_800

# ESP-IDF's partition table (ESP-IDF Programming Guide, "Partition Tables"; gen_esp32part.py)
TABLE_OFFSET = 0x8000
TABLE_BYTES = 0xC00        # the rest of its sector stays erased
ROW = struct.Struct("<2sBBLL16sL")   # magic, type, subtype, offset, size, label, flags
ROW_MAGIC = b"\xaa\x50"
MD5_MAGIC = b"\xeb\xeb" + NOTHING * 14   # then the MD5 of all rows before
APP_ALIGN = 0x10000        # pages of the flash's memory mapping
TYPES = {"app": 0, "data": 1}
SUBTYPES = {
    0: {"factory": 0x00, "ota_0": 0x10, "ota_1": 0x11},
    1: {"ota": 0x00, "phy": 0x01, "nvs": 0x02, "fat": 0x81, "spiffs": 0x82, "littlefs": 0x83},
}


class ImageError(Exception):
    """A partition table, file or flash image that can't be used; says what it got and expected."""


@dataclass(frozen=True)
class Partition:
    """One row of an ESP-IDF partition table. Offset and size in bytes."""

    label: str
    type: str
    subtype: str
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


class FlashPartition:
    """MicroPython's block device protocol over a part of an image held in memory, with NOR rules; for node.ring on a host."""

    def __init__(self, image: bytearray, partition: Partition) -> None:
        self._view = memoryview(image)[partition.offset:partition.end]

    def readblocks(self, block: int, buf: bytearray | memoryview, offset: int = 0) -> None:
        start = block * SECTOR_BYTES + offset
        buf[:] = self._view[start:start + len(buf)]

    def writeblocks(self, block: int, buf: bytes | bytearray | memoryview, offset: int = 0) -> None:
        start = block * SECTOR_BYTES + offset
        for i, byte in enumerate(buf):
            self._view[start + i] &= byte

    def ioctl(self, op: int, arg: int) -> int:
        if op == 4:
            return len(self._view) // SECTOR_BYTES
        if op == 5:
            return SECTOR_BYTES
        if op == 6:
            self._view[arg * SECTOR_BYTES:(arg + 1) * SECTOR_BYTES] = NOTHING * SECTOR_BYTES
        return 0


def read_partitions(csv: Path) -> list[Partition]:
    """The rows of a partition table in ESP-IDF's CSV form, checked.

    Raises:
        ImageError: a malformed row, sizes that are no whole sectors, or partitions that overlap.
    """
    partitions: list[Partition] = []
    for number, line in enumerate(csv.read_text(encoding="utf-8").splitlines(), 1):
        row = [cell.strip() for cell in line.split("#")[0].split(",")]
        if row == [""]:
            continue
        where = f"{csv.name}:{number}"
        if len(row) < 5:
            raise ImageError(f"{where}: got {len(row)} columns, expected name, type, subtype, offset, size")
        try:
            offset, size = int(row[3], 0), int(row[4], 0)
        except ValueError:
            raise ImageError(f"{where}: got offset {row[3]!r} and size {row[4]!r}, expected numbers") from None
        if size <= 0 or offset % SECTOR_BYTES or size % SECTOR_BYTES:
            raise ImageError(f"{where}: got {offset:#x} + {size:#x}, expected multiples of {SECTOR_BYTES:#x}")
        if partitions and offset < partitions[-1].end:
            raise ImageError(f"{where}: got offset {offset:#x}, expected {partitions[-1].end:#x} or more")
        partitions.append(Partition(row[0], row[1], row[2], offset, size))
    return partitions


def encode_table(partitions: Sequence[Partition]) -> bytes:
    """The table as ESP-IDF's bootloader reads it, TABLE_BYTES long.

    Raises:
        ImageError: an unknown type or subtype, a label over 16 bytes, an application off its alignment, or too many rows.
    """
    rows = b""
    for one in partitions:
        label, kind = one.label.encode(), _code(one.label, one.type, TYPES)
        if not 0 < len(label) <= 16:
            raise ImageError(f"partition {one.label!r}: got a label of {len(label)} bytes, expected 1..16")
        if kind == TYPES["app"] and one.offset % APP_ALIGN:
            raise ImageError(f"partition {one.label!r}: got offset {one.offset:#x}, expected a multiple of {APP_ALIGN:#x}")
        subtype = _code(one.label, one.subtype, SUBTYPES.get(kind, {}))
        rows += ROW.pack(ROW_MAGIC, kind, subtype, one.offset, one.size, label, 0)
    table = rows + MD5_MAGIC + hashlib.md5(rows, usedforsecurity=False).digest()
    if len(table) >= TABLE_BYTES:
        raise ImageError(f"partition table: got {len(partitions)} rows, expected at most {TABLE_BYTES // ROW.size - 2}")
    return table.ljust(TABLE_BYTES, NOTHING)


def decode_table(raw: bytes) -> list[Partition]:
    """The rows of a binary partition table; types and subtypes without a name here are told in hex.

    Raises:
        ImageError: it is none, is cut off, or its MD5 is wrong.
    """
    partitions: list[Partition] = []
    for at in range(0, min(len(raw), TABLE_BYTES) - ROW.size + 1, ROW.size):
        row = raw[at:at + ROW.size]
        if row.startswith(MD5_MAGIC):
            if row[len(MD5_MAGIC):] != hashlib.md5(raw[:at], usedforsecurity=False).digest():
                raise ImageError("partition table: its MD5 is wrong: damaged")
            return partitions
        magic, kind, subtype, offset, size, label, _ = ROW.unpack(row)
        if magic != ROW_MAGIC:
            raise ImageError(f"partition table: got {magic.hex()} in row {at // ROW.size}, expected {ROW_MAGIC.hex()} or an MD5")
        partitions.append(Partition(label.split(b"\0", 1)[0].decode(errors="replace"), _name(kind, TYPES),
                                    _name(subtype, SUBTYPES.get(kind, {})), offset, size))
    raise ImageError(f"partition table: no MD5 within {min(len(raw), TABLE_BYTES)} bytes: cut off")


def base_files(
    firmware: Path, bundle: Mapping[str, bytes] | None, release: Mapping[str, Any], *, boots: int = 0,
) -> dict[str, bytes]:
    """The files that are the same in every plant: code, but neither trust nor site. Arguments as `device_files`.

    Without a bundle the agent that is frozen into the image is the factory release, and says itself what it is.
    """
    files = {f"/{name}": code for name, code in boot_files(firmware).items()}
    if bundle is not None:
        files["/factory/bundle"] = bundle_format.build(dict(bundle))
        files["/factory/release.json"] = compact(release)
    files["/state/boot_count"] = str(boots).encode()
    return files


def device_files(firmware: Path, bundle: Mapping[str, bytes], release: Mapping[str, Any], *, ca_der: bytes, root: bytes,
                 site: Mapping[str, Any], boots: int = 0) -> dict[str, bytes]:
    """The files a device leaves the line with. They name no device: one image serves a whole lot.

    Args:
        firmware: the folder with boot.py, choose.py and stub.py.
        bundle: path -> .mpy of the factory release, from ota.release.bundle; laid out as the one file that a slot has.
        release: its release.json (release, counter, manifest, model, mpy).
        ca_der: the root CA's certificate. root: the signed root, version 1. site: the contents of site.json.
        boots: boot numbers start above this. A board that is flashed again must never use one twice, since batches bear
            it: give `boots_at(now)`.
    """
    return base_files(firmware, bundle, release) | plant_files(ca_der, root, site, boots)


def plant_files(ca_der: bytes, root: bytes, site: Mapping[str, Any], boots: int) -> dict[str, bytes]:
    """What makes a board that has its code one of a plant: trust, site and boot count. Arguments as `device_files`."""
    return {"/trust/ca.der": ca_der, "/trust/root.bin": root, "/state/boot_count": str(boots).encode(),
            "/state/site.json": compact(site)}


def boots_at(now_s: int) -> int:
    """A boot count that grows by itself: minutes since 2020, more than a board can boot in the meantime."""
    return max(0, now_s - UNIX_2020_S) // 60


def compact(value: Mapping[str, Any]) -> bytes:
    """JSON without spaces: a file up to 128 bytes costs no block of its own on the device."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def build_flash(csv: Path, vfs_files: Mapping[str, bytes]) -> bytes:
    """A whole flash for the simulated board: the table as JSON in the first sector, the files in `vfs`, the rest erased.

    Raises:
        ImageError: the table is unusable, or the files do not fit.
    """
    partitions = read_partitions(csv)
    table = json.dumps({one.label: [one.offset, one.size] for one in partitions}).encode()
    if not partitions or partitions[0].offset < SECTOR_BYTES or len(table) >= SECTOR_BYTES:
        raise ImageError(f"{csv.name}: the first sector is the table's own")
    flash = bytearray(NOTHING * max(one.end for one in partitions))
    flash[:len(table)] = table
    vfs = _named(partitions, "vfs")
    flash[vfs.offset:vfs.end] = build_vfs(vfs.size, vfs_files)
    return bytes(flash)


def build_vfs(size: int, files: Mapping[str, bytes]) -> bytes:
    """A littlefs image with these files (absolute paths), as MicroPython's VfsLfs2 mounts it."""
    context = UserContext(buffer=bytearray(NOTHING * size))
    fs = littlefs(context, size)
    fs.format()
    fs.mount()
    try:
        for path in sorted(files):
            fs.makedirs(path.rsplit("/", 1)[0] or "/", exist_ok=True)
            with fs.open(path, "wb") as file:
                file.write(files[path])
    except LittleFSError as error:
        raise ImageError(f"{path}: {error}; the files have {sum(map(len, files.values()))} of {size} bytes") from error
    fs.unmount()
    return bytes(context.buffer)


def read_vfs(flash: bytes) -> dict[str, bytes]:
    """Every file of the flash's file system, by absolute path.

    Raises:
        ImageError: there is no table or no file system.
    """
    vfs = _named(read_table(flash), "vfs")
    fs = littlefs(UserContext(buffer=bytearray(flash[vfs.offset:vfs.end])), vfs.size)
    try:
        fs.mount()
        return dict(_walk(fs))
    except LittleFSError as error:
        raise ImageError(f"vfs: no littlefs: {error}") from error


def vfs_used(flash: bytes) -> int:
    """Bytes of the blocks that the flash's file system takes, its own among them."""
    vfs = _named(read_table(flash), "vfs")
    fs = littlefs(UserContext(buffer=bytearray(flash[vfs.offset:vfs.end])), vfs.size)
    try:
        fs.mount()
        return fs.used_block_count * SECTOR_BYTES
    except LittleFSError as error:
        raise ImageError(f"vfs: no littlefs: {error}") from error


def ring_partition(flash: bytes | bytearray) -> FlashPartition:
    """The ring's block device, for node.ring; writes go to the image when it is a bytearray, else to a copy."""
    return FlashPartition(flash if isinstance(flash, bytearray) else bytearray(flash), _named(read_table(flash), "ring"))


def read_table(flash: bytes | bytearray) -> list[Partition]:
    """The partition table of a flash: an ESP32's, binary at TABLE_OFFSET, or a simulated board's, JSON in the first sector.

    Raises:
        ImageError: there is neither, or it is damaged.
    """
    if not flash.startswith(b"{"):
        if not flash.startswith(ROW_MAGIC, TABLE_OFFSET):
            raise ImageError(f"no partition table, neither in the first sector nor at {TABLE_OFFSET:#x}")
        return decode_table(bytes(flash[TABLE_OFFSET:TABLE_OFFSET + TABLE_BYTES]))
    try:
        rows = json.loads(bytes(flash[:SECTOR_BYTES]).split(NOTHING, 1)[0])
        return [Partition(label, "data", "", offset, size) for label, (offset, size) in rows.items()]
    except (ValueError, AttributeError, TypeError) as error:
        raise ImageError("the first sector holds no partition table") from error


def _named(partitions: list[Partition], label: str) -> Partition:
    for one in partitions:
        if one.label == label:
            return one
    raise ImageError(f"no partition {label!r}, got {[one.label for one in partitions]}")


def _code(label: str, text: str, names: Mapping[str, int]) -> int:
    """A type's or subtype's number, from its name or a number in the CSV."""
    try:
        code = names[text] if text in names else int(text, 0)
    except ValueError:
        code = -1
    if not 0 <= code <= 0xFE:
        raise ImageError(f"partition {label!r}: got {text!r}, expected one of {', '.join(names)} or a number up to 0xfe")
    return code


def _name(code: int, names: Mapping[str, int]) -> str:
    return next((name for name, number in names.items() if number == code), f"{code:#x}")


def littlefs(context: UserContext, size: int) -> LittleFS:
    """The file system as MicroPython sets it up, not mounted."""
    return LittleFS(context, mount=False, block_size=SECTOR_BYTES, block_count=size // SECTOR_BYTES, read_size=IO_BYTES,
                    prog_size=IO_BYTES, cache_size=CACHE_BYTES, lookahead_size=IO_BYTES, block_cycles=BLOCK_CYCLES,
                    disk_version=DISK_VERSION)


def _walk(fs: LittleFS) -> Iterator[tuple[str, bytes]]:
    for folder, _, names in fs.walk("/"):
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            with fs.open(path, "rb") as file:
                yield path, bytes(file.read())
