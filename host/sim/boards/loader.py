"""A chip's serial loader, the one in its ROM and the stub that esptool uploads: bytes in, bytes out.

Pure but for the flash. Decides what the loaders answer; opens no port and waits for nothing. The stub's code is taken and never
run: once it is to be started, its dialect is spoken. Protocol: Espressif, "Serial Protocol" of esptool's documentation.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from host.sim.boards import slip
from host.sim.boards.chips import Chip, security_info
from host.sim.boards.flash import FlashFile
from host.sim.boards.registers import Registers

COMMANDS = {
    "flash-begin": 0x02, "flash-data": 0x03, "flash-end": 0x04, "mem-begin": 0x05, "mem-end": 0x06, "mem-data": 0x07,
    "sync": 0x08, "write-reg": 0x09, "read-reg": 0x0A, "spi-set-params": 0x0B, "spi-attach": 0x0D, "read-flash-slow": 0x0E,
    "change-baudrate": 0x0F, "flash-defl-begin": 0x10, "flash-defl-data": 0x11, "flash-defl-end": 0x12, "spi-flash-md5": 0x13,
    "get-security-info": 0x14, "erase-flash": 0xD0, "erase-region": 0xD1, "read-flash": 0xD2, "run-user-code": 0xD3,
}
NAMES = {code: name for name, code in COMMANDS.items()}
STUB_ONLY = {"erase-flash", "erase-region", "read-flash", "run-user-code"}
ROM_ONLY = {"read-flash-slow"}
SYNC_START = bytes.fromhex("c000082400")   # no program of a board is sent these five bytes
ROM_VERSION = 0x20120707   # the value in the ROM's answer to SYNC; 0 says that a stub answers
SYNC_ANSWERS = 8
CHECKSUM_SEED = 0xEF
OK, UNKNOWN, FAILED, BAD_CHECKSUM = b"\0\0", b"\x01\x05", b"\x01\x06", b"\x01\x07"
HELLO = b"OHAI"        # the stub's first word
SLOW_BYTES = 64        # READ_FLASH_SLOW


class RejectError(Exception):
    """The command is answered with a fault; its argument is the status."""


@dataclass
class Download:
    """A write to flash that is under way."""

    address: int
    block_bytes: int
    inflate: Any = None   # zlib's, when the data is compressed
    done: int = 0


@dataclass
class Upload:
    """A read of flash that is under way: the stub sends ahead no more than the host wants, the digest when all is acknowledged."""

    address: int
    size: int
    block_bytes: int
    ahead_bytes: int
    sent: int = 0


class Loader:
    """One conversation, from the chip's reset into its loader on.

    Args:
        ear: is told each command's name before it is done, and may raise what ends the conversation.

    Attributes:
        leaving: the host has told the chip to run what is in flash.
        stray: bytes came that are not of this protocol.
    """

    def __init__(self, chip: Chip, registers: Registers, flash: FlashFile, ear: Callable[[str], None] = lambda name: None) -> None:
        self.leaving = False
        self._chip, self._registers, self._flash, self._ear = chip, registers, flash, ear
        self._slip = slip.Decoder()
        self._stub = False
        self._download: Download | None = None
        self._upload: Upload | None = None
        self._do: dict[str, Callable[[bytes], bytes]] = {
            "flash-begin": self._begin, "flash-data": self._data, "flash-end": self._end,
            "flash-defl-begin": self._begin_compressed, "flash-defl-data": self._data, "flash-defl-end": self._end,
            "mem-data": self._check, "write-reg": self._write_registers, "spi-flash-md5": self._md5,
            "get-security-info": self._security_info, "read-flash-slow": self._read_slowly, "read-flash": self._read,
            "erase-flash": lambda _: self._erase(0, self._flash.size),
            "erase-region": lambda body: self._erase(*struct.unpack_from("<II", body)),
            "run-user-code": self._run,
        }

    @property
    def stray(self) -> bytes:
        return bytes(self._slip.stray)

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the host; gives what goes back.

        Raises:
            PowerCut: the flash's. And what the ear raises.
        """
        return b"".join(self._answer(frame) for frame in self._slip.feed(data))

    def _answer(self, frame: bytes) -> bytes:
        if self._upload is not None and len(frame) == 4:
            return self._send_ahead(int.from_bytes(frame, "little"))
        if len(frame) < 8 or frame[0] != 0:
            return b""
        code, size, self._checksum = struct.unpack_from("<xBHI", frame)
        name = NAMES.get(code, f"{code:#04x}")
        self._ear(name)
        body = frame[8:8 + size]
        value, data, status = 0, b"", OK
        try:
            if name not in COMMANDS or name in (ROM_ONLY if self._stub else STUB_ONLY):
                raise RejectError(UNKNOWN)
            if name == "sync":
                value = 0 if self._stub else ROM_VERSION
            elif name == "read-reg":
                value = self._registers.read(*struct.unpack("<I", body))
            elif name in self._do:
                data = self._do[name](body)
        except RejectError as reject:
            status = reject.args[0]
        except struct.error:
            status = FAILED
        data += status if self._stub else status + bytes(2)
        packet = slip.encode(struct.pack("<BBHI", 1, code, len(data), value) + data)
        packet *= SYNC_ANSWERS if name == "sync" else 1
        if name == "mem-end" and not self._stub and body[4:8] != bytes(4):   # it has an entry
            self._stub = True
            packet += slip.encode(HELLO)
        if self._upload is not None and name == "read-flash":
            packet += self._send_ahead(0)
        return packet

    def _begin(self, body: bytes, *, compressed: bool = False) -> bytes:
        size, _, block_bytes, address = struct.unpack_from("<IIII", body)
        self._erase(address, size)
        self._download = Download(address, block_bytes, zlib.decompressobj() if compressed else None)
        return b""

    def _begin_compressed(self, body: bytes) -> bytes:
        return self._begin(body, compressed=True)

    def _data(self, body: bytes) -> bytes:
        """A block: plain ones lie where their number says, compressed ones follow each other."""
        self._check(body)
        download = self._download
        if download is None:
            raise RejectError(FAILED)
        size, number = struct.unpack_from("<II", body)
        data, address = body[16:16 + size], download.address + number * download.block_bytes
        if download.inflate is not None:
            try:
                data, address = download.inflate.decompress(data), download.address + download.done
            except zlib.error:
                raise RejectError(FAILED) from None
        download.done += len(data)
        self._need(address, len(data))
        self._flash.program(address, data)
        return b""

    def _check(self, body: bytes) -> bytes:
        size, = struct.unpack_from("<I", body)
        if checksum(body[16:16 + size]) != self._checksum & 0xFF:
            raise RejectError(BAD_CHECKSUM)
        return b""

    def _end(self, body: bytes) -> bytes:
        self._download = None
        stay, = struct.unpack_from("<I", body)
        return b"" if stay else self._run(body)

    def _run(self, body: bytes) -> bytes:
        del body
        self.leaving = True
        return b""

    def _write_registers(self, body: bytes) -> bytes:
        for address, value, mask, _ in struct.iter_unpack("<IIII", body[:len(body) // 16 * 16]):
            self._registers.write(address, value, mask)
        return b""

    def _md5(self, body: bytes) -> bytes:
        """The ROM says it in hexadecimal digits, the stub in bytes."""
        digest = hashlib.md5(self._part(*struct.unpack_from("<II", body)), usedforsecurity=False)
        return digest.digest() if self._stub else digest.hexdigest().encode()

    def _security_info(self, body: bytes) -> bytes:
        del body
        if self._chip.chip_id is None:
            raise RejectError(UNKNOWN)
        return security_info(self._chip, self._registers.efuses)

    def _read_slowly(self, body: bytes) -> bytes:
        address, size = struct.unpack_from("<II", body)
        return self._part(address, min(size, SLOW_BYTES)).ljust(SLOW_BYTES, b"\0")

    def _read(self, body: bytes) -> bytes:
        address, size, block_bytes, ahead = struct.unpack_from("<IIII", body)
        self._need(address, size)
        if not block_bytes:
            raise RejectError(FAILED)
        self._upload = Upload(address, size, block_bytes, block_bytes * max(1, ahead))
        return b""

    def _send_ahead(self, acknowledged: int) -> bytes:
        upload, packets = self._upload, b""
        if upload is None:
            return b""
        while upload.sent < min(upload.size, acknowledged + upload.ahead_bytes):
            part = self._flash.read(upload.address + upload.sent, min(upload.block_bytes, upload.size - upload.sent))
            upload.sent += len(part)
            packets += slip.encode(part)
        if acknowledged >= upload.size:
            packets += slip.encode(hashlib.md5(self._flash.read(upload.address, upload.size), usedforsecurity=False).digest())
            self._upload = None
        return packets

    def _erase(self, address: int, size: int) -> bytes:
        self._need(address, size)
        self._flash.erase(address, size)
        return b""

    def _part(self, address: int, size: int) -> bytes:
        self._need(address, size)
        return self._flash.read(address, size)

    def _need(self, address: int, size: int) -> None:
        if not self._flash.holds(address, size):
            raise RejectError(FAILED)


def checksum(data: bytes) -> int:
    """All bytes of a block and the seed, XORed: halves of it first, since that is fast."""
    size = 1 << max(0, (len(data) - 1).bit_length())
    number = int.from_bytes(data, "little")
    while size > 1:
        size //= 2
        number = number >> 8 * size ^ number & (1 << 8 * size) - 1
    return number ^ CHECKSUM_SEED
