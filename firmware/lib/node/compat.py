"""The differences between MicroPython and CPython that the node modules meet, in one place.

Handles names that exist on one side only and two conversions that are spelled differently. Has no clock, no network and no
randomness: those are ports, passed in as arguments.
"""

import binascii
import hashlib
import sys

TYPE_CHECKING = False   # type checkers read it as True; the branch runs on no interpreter
if TYPE_CHECKING:
    from node import hints

    Any = hints.Any
else:
    Any = object   # annotations are not evaluated on MicroPython; CPython only needs the name

IS_MICROPYTHON = sys.implementation.name == "micropython"


def const(value: int) -> int:
    """Mark a compile-time constant: mpy-cross knows the name and folds the call; what is left is the identity."""
    return value


def sha256(data: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte SHA-256 of the data."""
    return hashlib.sha256(data).digest()


def hexstr(data: bytes | bytearray | memoryview) -> str:
    """Return the data as lower-case hexadecimal text."""
    return binascii.hexlify(data).decode()
