"""The ports of an ESP32 board under stock MicroPython, 1.23 or later."""

import asyncio
import gc
import json
import os
import sys
import time

import esp32
import machine

from board.esp32.interface import JoinedNet
from board.esp32.reset import Causes
from board.esp32.room import PSRAM_BYTES
from board.esp32.rtc import Rtc
from board.esp32.wifi import Wifi
from board.files import VfsFiles
from board.net import Net
from board.ntp import Ntp
from node.agent.supervisor import SILENCE
from node.errors import CallerError
from node.loading import Loaded

TICKS_WRAP_MS = 1 << 30   # time.ticks_ms on this port
DOUBT_EVERY = 4   # boots in a row that heard no server: each fourth, after 8 hours, does without the remembered time
WIFI_PATH = "/state/wifi.json"   # {"ssid", "password"}; flash is not encrypted: give the fleet a network of its own

raw_ticks_ms = time.ticks_ms


def celsius():
    """The chip's own temperature."""
    if hasattr(esp32, "mcu_temperature"):   # all but the classic ESP32
        return esp32.mcu_temperature()
    return (esp32.raw_temperature() - 32) / 1.8


def one_wire(pin):
    from onewire import OneWire  # frozen in stock images
    return OneWire(machine.Pin(pin))


class Chance:
    """The Random port: the hardware's noise, true only while the radio is on."""

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
        self._causes = Causes()
        self.silent = self._causes.silent

    def reset(self, reason, fault):
        self.log("reset", reason)
        if fault:
            self._ended(reason)
        self._causes.intend(reason == SILENCE)
        machine.reset()

    def reset_cause(self):
        return self._causes.cause

    def mem_free(self):
        gc.collect()
        return gc.mem_free() - self.idf_block()   # MicroPython counts as free what the heap could still take from TLS

    def idf_block(self):
        return max(region[2] for region in esp32.idf_heap_info(esp32.HEAP_DATA))

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
        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label="ring")
        if not found:
            raise CallerError("board.ring", "the flash has no partition `ring`: see image/partitions.csv")
        self.ring_device = found[0]
        self.tls_sessions = 2 if self.system.idf_block() > PSRAM_BYTES else 1

    def rtc(self, floor_s):
        """The chip's clock, set so that TLS can judge dates."""
        return Rtc(self.files, floor_s, self.system.silent % DOUBT_EVERY == DOUBT_EVERY - 1)

    def net(self, paths, config, clock, device):
        """Bring up the board's network; connections wait for it by themselves.

        Args:
            paths: of our CA, certificate and key.
        """
        inner = Net(self.files, config.address, ca_path=paths[0], cert_path=paths[1], key_path=paths[2])
        interface = self._interface(device)
        self.rssi = interface.rssi
        return JoinedNet(interface, Ntp(config.ntp, clock, self.chance.urandom), inner)

    def images(self):
        """The Images port, or None where the flash has no second application; its code is loaded when it is asked for."""
        from board.esp32 import images
        return images.find(esp32.Partition)

    def sources(self, device, config):
        """The configuration's sources; the code that builds them is loaded when it is asked for."""
        del device
        if not config.sensors:
            from board.sensors import own
            return own.sources(config, machine, celsius)
        from board.esp32 import profile
        from board.sensors import build
        profile.numbered(config, self.files, self.system.log)
        return build.sources(config, machine, celsius=celsius, one_wire=one_wire, time=time,
                             wait_ms=asyncio.sleep_ms)

    def _interface(self, device):
        """As the board's profile says; without one, Wi-Fi."""
        with Loaded():
            from board.esp32 import profile
            found = profile.interface(self.files, device, self.system.log)
        if found is None:
            ssid, password = self._credentials()
            found = Wifi(ssid, password, device)
        return found

    def _credentials(self):
        """Name and password of the network; empty when the line wrote none: the device samples all the same."""
        try:
            said = json.loads(self.files.read(WIFI_PATH) or b"{}")
            return str(said["ssid"]), str(said.get("password", ""))
        except (ValueError, TypeError, KeyError, AttributeError):
            self.system.log("wifi", "no ssid in " + WIFI_PATH)
            return "", ""
