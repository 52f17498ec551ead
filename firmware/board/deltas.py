"""The Deltas port on MicroPython: what its interpreter inflates, and what its file system has free."""

import os

from deflate import RAW, DeflateIO


def inflate(file, window_bits):
    return DeflateIO(file, RAW, window_bits)


def free_bytes():
    stat = os.statvfs("/")
    return stat[0] * stat[3]
