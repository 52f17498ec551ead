"""The Deltas port on MicroPython: what its interpreter inflates, and what its file system has free."""

import os

from deflate import RAW, DeflateIO

_DIR = 0x4000       # os.ilistdir's type of a folder
INLINE_BYTES = 128  # a file of so many lies in its folder's blocks: four times the bytes that are programmed at once
POINTER_BYTES = 8   # of each block of a file, on average


def inflate(file, window_bits):
    return DeflateIO(file, RAW, window_bits)


def free_bytes(root="/"):
    """Of littlefs, by what lies there: its own count (statvfs) has each folder twice, half a release on a board of 4 MiB."""
    _, block, blocks = os.statvfs(root)[:3]
    return block * (blocks - _used(root.rstrip("/"), block - POINTER_BYTES))


def _used(folder, block):
    blocks = 2   # a folder's pair
    for entry in os.ilistdir(folder or "/"):
        if len(entry) < 4:   # not in this file system: the bundle that runs is mounted beside it
            continue
        if entry[1] == _DIR:
            blocks += _used(folder + "/" + entry[0], block)
        elif entry[3] > INLINE_BYTES:
            blocks += -(-entry[3] // block)
    return blocks
