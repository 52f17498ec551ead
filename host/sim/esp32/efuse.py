"""The eFuses of an emulated chip: its MAC address and revision, as bytes of the file that the emulator keeps them in.

Pure. Fields: ESP32 and ESP32-C3 Technical Reference Manuals, "eFuse Controller"; the files hold the blocks' words one after the
other from block 0 on.
"""

from collections.abc import Callable

MAC_PREFIX = bytes.fromhex("0242ac12")   # locally administered (IEEE 802, second bit of the first octet); simulated boards: …11
_CRC8_POLYNOMIAL = 0x8C                  # x^8 + x^5 + x^4 + 1, reflected; over the MAC, in ESP32's block 0


def mac(number: int) -> bytes:
    """MAC address of the emulated board with this number, 1..65535."""
    return MAC_PREFIX + number.to_bytes(2, "big")


def image(chip: str, mac: bytes) -> bytes:
    """A chip's eFuses.

    Args:
        chip: a key of LAYOUTS.
    """
    return LAYOUTS[chip](mac)


def _esp32(mac: bytes) -> bytes:
    words = bytearray(124)      # blocks 0..3
    words[4:10] = mac[::-1]     # block 0, words 1 and 2
    words[10] = crc8(mac)
    words[13] = 0x80            # word 3, bit 15: chip revision 1, the least that stock images run on
    return bytes(words)


def _esp32c3(mac: bytes) -> bytes:
    words = bytearray(1024)
    words[0x18:0x1E] = mac[::-1]                            # block 1, words 0 and 1
    words[0x24:0x28] = (3 << 18).to_bytes(4, "little")      # block 1, word 3: revision 0.3, the least that stock images run on
    words[0x40] = 1                                         # block 2, bit 128: the ADC has a calibration, of nought
    return bytes(words)


LAYOUTS: dict[str, Callable[[bytes], bytes]] = {"esp32": _esp32, "esp32c3": _esp32c3}


def crc8(data: bytes) -> int:
    """CRC-8 of Maxim's one-wire bus, which the chip's ROM checks the MAC with."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ _CRC8_POLYNOMIAL if crc & 1 else crc >> 1
    return crc
