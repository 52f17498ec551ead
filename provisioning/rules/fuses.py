"""A board as secure boot sees it: its eFuses, the keys that it trusts, what its flash holds, and the level that makes.

Values only: read by line/efuses.py and line/signing.py, judged by rules/secure.py. Names of eFuses: Technical Reference Manuals,
"eFuse Controller".
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

LEVELS: Mapping[str, str] = {
    "none": "nothing is burned: any image starts, by the serial port everything can be read and written",
    "signed": "secure boot v2: the chip starts only a bootloader that one of the keys signed",
    "guarded": "signed, JTAG off, and by the serial port flash can be written but neither flash nor memory read",
    "locked": "signed, JTAG off, ROM download mode closed: nothing goes in or out by the serial port's loader any more",
}
BLOCKS = 6                # key blocks, on all but ESP32
RSA, ECDSA = "rsa3072", "ecdsa256"   # as espsecure names them
DIGEST_PURPOSE = 9        # KEY_PURPOSE of SECURE_BOOT_DIGEST0; 1 and 2 follow


@dataclass(frozen=True)
class Names:
    """What a chip calls the eFuses that decide.

    Attributes:
        boot: switches secure boot v2 on. jtag: each closes a way of JTAG. writes_only: ROM download mode only writes flash;
            empty where there is none. closed: there is no download mode. crypt: flash encryption, on with an odd number of bits.
        slots: of key digests. schemes: of keys that the ROM can check. least: the first revision whose ROM has secure boot v2
            (ESP-IDF, "Secure Boot v2": ESP32 v3.0, ESP32-C3 v0.3).
    """

    boot: str
    jtag: tuple[str, ...]
    writes_only: str
    closed: str
    crypt: str
    slots: int
    schemes: tuple[str, ...]
    least: int = 0


NEWER = Names("SECURE_BOOT_EN", ("DIS_PAD_JTAG", "DIS_USB_JTAG"), "ENABLE_SECURITY_DOWNLOAD", "DIS_DOWNLOAD_MODE",
              "SPI_BOOT_CRYPT_CNT", 3, (RSA,))
CHIPS: Mapping[str, Names] = {
    "esp32": Names("ABS_DONE_1", ("JTAG_DISABLE",), "", "UART_DOWNLOAD_DIS", "FLASH_CRYPT_CNT", 1, (RSA,), 300),
    "esp32s3": NEWER, "esp32c3": replace(NEWER, least=3), "esp32c6": replace(NEWER, schemes=(RSA, ECDSA)),
}


@dataclass(frozen=True)
class Fuse:
    """One eFuse field: its bits as a number, and whether it can still be read and written."""

    value: int
    readable: bool = True
    writeable: bool = True


@dataclass(frozen=True)
class Board:
    """A chip's eFuses. `mac` is as espefuse writes it, `revision` 100 × major + minor."""

    chip: str
    revision: int
    mac: str
    fuses: Mapping[str, Fuse]

    def value(self, name: str) -> int:
        return self.fuses[name].value


@dataclass(frozen=True)
class Key:
    """The public half of a signing key: where it lies, its scheme, and the SHA-256 that the chip compares."""

    path: str
    scheme: str
    digest: bytes


class Digest(NamedTuple):
    """A key's digest in the eFuses."""

    slot: int
    block: str
    sha256: bytes
    is_revoked: bool


@dataclass(frozen=True)
class Part:
    """An image in the flash.

    Attributes:
        signers: digests of the keys that signed it, among those that were asked about.
        fault: why it is no image that could be signed; empty when it is one.
        verifies: whether a bootloader checks signatures of applications; None of an application.
        secure_version: ESP-IDF's anti-rollback counter of an application.
    """

    name: str
    signers: frozenset[bytes] = frozenset()
    fault: str = ""
    verifies: bool | None = None
    secure_version: int = 0


@dataclass(frozen=True)
class Flash:
    """What a board's flash holds: bootloader and applications (empty slots are left out), and whether our files are there."""

    parts: tuple[Part, ...]
    has_files: bool


def revision(number: int) -> str:
    """A chip's revision as its maker writes it."""
    return f"{number // 100}.{number % 100}"


def held(board: Board) -> str:
    """The level whose eFuses a board has, whichever keys it trusts."""
    names = CHIPS[board.chip]
    if not board.value(names.boot):
        return "none"
    if not all(board.value(name) for name in names.jtag):
        return "signed"
    if board.value(names.closed):
        return "locked"
    return "guarded" if names.writes_only and board.value(names.writes_only) else "signed"


def digests(board: Board) -> list[Digest]:
    """Key digests that a board has, by slot."""
    if board.chip == "esp32":
        value = board.value("BLOCK2")
        return [Digest(0, "BLOCK2", value.to_bytes(32, "big"), False)] if value else []
    found = []
    for number in range(BLOCKS):
        slot = board.value(f"KEY_PURPOSE_{number}") - DIGEST_PURPOSE
        if 0 <= slot < CHIPS[board.chip].slots:
            block = f"BLOCK_KEY{number}"
            is_revoked = bool(board.value(f"SECURE_BOOT_KEY_REVOKE{slot}"))
            found.append(Digest(slot, block, board.value(block).to_bytes(32, "big"), is_revoked))
    return sorted(found)


def is_encrypted(board: Board) -> bool:
    """Whether flash encryption is on."""
    return board.value(CHIPS[board.chip].crypt).bit_count() % 2 == 1
