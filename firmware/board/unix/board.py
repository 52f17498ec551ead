"""The ports of the simulated board, from rom.py's `simchip` and the unix port's own modules."""

import gc
import json
import os
import sys
import time

import simchip

from board.files import VfsFiles
from board.net import Net
from board.unix.signal import SignalTable

TICKS_WRAP_MS = 1 << 30   # as on ESP32, so that what wraps there wraps here


def raw_ticks_ms():
    return time.ticks_ms() & (TICKS_WRAP_MS - 1)


class Chance:
    """The Random port."""

    urandom = staticmethod(os.urandom)


class System:
    """The System port.

    Args:
        watchdog: armed by boot.py.
        ended: told (reason) when the firmware failed, before the reset.
    """

    def __init__(self, watchdog, ended):
        self.feed_watchdog = watchdog.feed
        self._ended = ended

    def reset(self, reason, fault):
        self.log("reset", reason)
        if fault:
            self._ended(reason)
        simchip.reset()

    def reset_cause(self):
        return simchip.reset_cause()

    def mem_free(self):
        gc.collect()
        return gc.mem_free()

    def idf_block(self):
        return 0   # there is no second heap

    def log(self, event, detail):
        self.tell("LOG", {"event": event, "detail": detail})

    def tell(self, word, body):
        sys.stdout.write(word + " " + json.dumps(body) + "\n")


class NoRtc:
    """TLS on this board judges dates by the host's clock, which is none of the board's business."""

    seen_s = 0

    def told(self, unix_ms, vouched):
        pass


class Board:
    """What main.py composes the firmware from."""

    def __init__(self, watchdog, ended):
        self.mac = simchip.unique_id()
        self.files = VfsFiles()
        self.tls_sessions = 2   # a PC has room; at least two, so that nobody waits
        self.chance = Chance()
        self.system = System(watchdog, ended)
        self.raw_ticks_ms = raw_ticks_ms
        self.ring_device = simchip.partition("ring")
        self.rssi = simchip.rssi

    def rtc(self, floor_s):
        del floor_s
        return NoRtc()

    def net(self, paths, config, clock, device):
        del clock, device   # the host has no radio to switch on, and a simulated fleet must not ask the world's time servers
        return Net(self.files, config.address, ca_path=paths[0], cert_path=paths[1], key_path=paths[2], ask=simchip.ask)

    def images(self):
        return None   # the interpreter is the host's program

    def sources(self, device, config):
        return [SignalTable(device, [channel.name for channel in config.channels], simchip.world_ms)]
