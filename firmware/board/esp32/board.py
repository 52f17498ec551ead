"""The ports of an ESP32 board under stock MicroPython (1.23 or later). Compiled here, never yet run on hardware."""

import gc
import json
import os
import sys
import time

import machine
from esp32 import Partition

from board.esp32.adc import AdcSensors
from board.esp32.wifi import Wifi, WifiNet
from board.files import VfsFiles
from board.net import Net, SystemResolver
from node.errors import CallerError

TICKS_WRAP_MS = 1 << 30   # time.ticks_ms on this port
WIFI_PATH = "/state/wifi.json"   # {"ssid", "password"}; flash is not encrypted: give the fleet a network of its own

raw_ticks_ms = time.ticks_ms


class Chance:
    """The Random port: the hardware's noise, true only while the radio is on."""

    urandom = staticmethod(os.urandom)


class System:
    """The System port.

    Args:
        watchdog: armed by boot.py.
        ended: told (reason) when the firmware failed, before the reset.
    """

    # machine.reset() cannot be told from a panic by the chip (both HARD_RESET); the stub's record tells the rest
    _CAUSES = {machine.PWRON_RESET: "power", machine.HARD_RESET: "soft", machine.WDT_RESET: "watchdog",
               machine.DEEPSLEEP_RESET: "sleep", machine.SOFT_RESET: "soft"}

    def __init__(self, watchdog, ended):
        self.feed_watchdog = watchdog.feed
        self._ended = ended

    def reset(self, reason, fault):
        if fault:
            self._ended(reason)
        machine.reset()

    def reset_cause(self):
        return self._CAUSES.get(machine.reset_cause(), "power")

    def mem_free(self):
        gc.collect()
        return gc.mem_free()

    def log(self, event, detail):
        self.tell("LOG", {"event": event, "detail": detail})

    def tell(self, word, body):
        sys.stdout.write(word + " " + json.dumps(body) + "\n")


class Board:
    """What main.py composes the firmware from."""

    def __init__(self, watchdog, ended):
        self.mac = machine.unique_id()
        self.files = VfsFiles()
        self.chance = Chance()
        self.system = System(watchdog, ended)
        self.raw_ticks_ms = raw_ticks_ms
        found = Partition.find(Partition.TYPE_DATA, label="ring")
        if not found:
            raise CallerError("board.ring", "the flash has no partition `ring`: see image/partitions.csv")
        self.ring_device = found[0]

    def net(self, ca_path, cert_path, key_path, learn):
        """Switch the radio on; connections wait for the network by themselves."""
        credentials = json.loads(self.files.read(WIFI_PATH) or b"{}")
        wifi = Wifi(credentials.get("ssid", ""), credentials.get("password", ""), learn)
        inner = Net(self.files, SystemResolver(), ca_path=ca_path, cert_path=cert_path, key_path=key_path)
        return WifiNet(wifi, inner)

    def sensors(self, device, config):
        del device
        return AdcSensors([(channel.name, channel.resolution) for channel in config.channels])
