"""The two 8-bit checks that sensors put behind their bytes."""


def sensirion(data):
    """CRC-8/NRSC-5 of SHT3x, SHT4x and AHT20: x^8+x^5+x^4+1, from 0xFF, high bit first (SHT4x datasheet, 4.4)."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def maxim(data):
    """CRC-8/MAXIM of 1-Wire: the same polynomial, from 0, low bit first; 0 over data that end with their own check."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
    return crc
