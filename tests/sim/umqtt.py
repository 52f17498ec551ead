"""The unedited umqtt.simple 1.3.4, fetched by `make umqtt`, on MicroPython and on CPython."""

import binascii
import struct
import sys

ROOT = __file__.rsplit("/", 3)[0] if __file__.count("/") > 2 else "."


class Forbidden:
    """Stands for the socket module: the link must never reach it."""

    def socket(self):
        raise AssertionError("umqtt opened a socket of its own")


def load():
    """The module umqtt.simple, or None when it was not fetched."""
    if sys.implementation.name != "micropython":
        for name, module in (("usocket", Forbidden()), ("ustruct", struct), ("ubinascii", binascii)):
            sys.modules.setdefault(name, module)
    if ROOT + "/build" not in sys.path:
        sys.path.append(ROOT + "/build")
    try:
        __import__("umqtt.simple")
    except ImportError:
        return None
    return sys.modules["umqtt.simple"]
