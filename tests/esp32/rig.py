"""An emulated board with the power switch in the test's hand: the face of tests/firmware/boards.py, on QEMU."""

import asyncio
import os
import queue
import socket
import struct
import sys
import threading
import time
import zlib
from dataclasses import replace

from host.sim.esp32 import line
from host.sim.esp32.board import Emulated
from node.ring import Ring
from ota.release import delta
from provisioning.line.image import SECTOR_BYTES, read_table, read_vfs, ring_partition

STEADY = bool(os.environ.get("TENFOLD_STEADY"))   # on a loaded machine the chip is slow then, but not late; a third as fast at best
# How long is waited on a machine that is so loaded that the chip gets done a fifth of what it should. Nothing depends on them.
WAIT_S = 900   # for the slowest thing of an ordinary day: a boot until the first acknowledged batch, 60 s
UPDATE_S = 3600   # 110 KB into a flash of 5 ms an operation, a reset, a trial until a batch is acknowledged and a check-in answered
IMAGE_S = 3600   # 1.7 MB at 76 ms a block of 4 KiB, hashed twice
SITE = {
    "host": "localhost", "mqtt_port": 1, "ota_port": 1, "est_port": 1, "product": "hall", "model": "hall", "lot": "demo",
    "period_ms": 200, "batch_samples": 120, "uplink_s": 10, "checkin_s": 45, "ack_timeout_s": 10, "trial_s": 600,
    "backoff_max_s": 2, "keepalive_s": 20,
}


def until(condition, timeout_s=WAIT_S, every_s=0.3):
    """Wait for what must come; gives the condition's first true value."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(every_s)
    return value


def roll_out(field, files, release, counter, image=None, bases=None):
    """Sign, publish and roll out to everybody; gives the bundle.

    Args:
        bases: {"artifact" or "image": [older ones from which deltas lead]}; they must be in the server's archive.
    """
    targets = {"artifact": field.sign_release(files, release, counter, image)[1], "image": image}
    deltas = {part: delta.to(targets[part], olds) for part, olds in (bases or {}).items()}
    raw, artifact, name = field.sign_release(files, release, counter, image, deltas)
    field.publish(raw, artifact, image, [each.content for found in deltas.values() for each in found])
    until(field.devices)   # it has checked in
    field.operate("/admin/rollouts", {"manifest": name, "stages": [100], "soak_s": [1], "min_reports": 1})
    return artifact


def runs(field, release):
    """Whether the device told the update server that it runs this release, not on trial."""
    return any(one["release"] == release and not one["trial"] for one in field.devices())


def show(text):
    """A figure, for people; pytest -s lets it through."""
    sys.stdout.write(text + "\n")


class Loop:
    """An event loop in a thread: boards live in it."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, coroutine, timeout_s=2 * WAIT_S):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Board:
    """One board: its flash file, what it said, and its switch."""

    def __init__(self, folder, loop, parts, flash, number, watchdog):
        self.device = line.device(number)
        self.path = folder / f"{self.device}.bin"
        self.path.write_bytes(flash)
        self._loop, self._parts = loop, parts
        self._heard = queue.Queue()
        self.lines = []   # (seconds since the power came on, text)
        self.emulated = Emulated(self.device, self.device[-12:], self.path, folder / f"{self.device}.log",
                                 lambda _device, word, values: self._heard.put((word, values)),
                                 emulator=replace(parts.emulator, watchdog=watchdog, steady=STEADY), on_line=self._line)

    def _line(self, text):
        self.lines.append((self.seconds(), text))

    def seconds(self):
        """Since the power came on."""
        return time.monotonic() - self.emulated.started_s

    def power_on(self):
        async def on():
            self.emulated.power_on()
        self._loop.run(on())

    def power_off(self):
        """At any instant, as a plug is pulled: SIGKILL."""
        self._loop.run(self.emulated.unplug())

    def provision(self, trust, **site):
        """On the line: over its serial port, as a board is."""
        ca_der, root = trust
        now_s = int(time.time())
        said = {**line.site({**SITE, **site}, self._parts.stock.chip, "demo", site.get("time_floor_s", now_s)), **SITE, **site}
        self._loop.run(line.provision(self.emulated, line.files(self._parts.wifi, said, ca_der, root, now_s)))

    def console(self, word, timeout_s=WAIT_S, **wanted):
        """The values of the next console line that begins with this word and says all of `wanted`."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                said, values = self._heard.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                raise AssertionError(f"no {word} {wanted}; last words:\n{self.emulated.last_words(30)}") from None
            if said == word and wanted.items() <= values.items():
                return values

    def ring(self):
        """The ring in the flash file, as it is at this instant; a board that writes to it may be amid a record."""
        ring = Ring(ring_partition(self.path.read_bytes()))
        ring.mount()
        return ring

    def files(self):
        return read_vfs(self.path.read_bytes())

    def images(self):
        """The bootloader's record: (sequence number, state) of each sector of otadata that holds one."""
        flash = self.path.read_bytes()
        offset = next(part.offset for part in read_table(flash) if part.label == "otadata")
        entries = (struct.unpack_from("<I20sII", flash, offset + sector * SECTOR_BYTES) for sector in (0, 1))
        return {number: state for number, _label, state, crc in entries
                if zlib.crc32(number.to_bytes(4, "little"), 0xFFFFFFFF) == crc}


class Relay:
    """Passes TCP connections on to a server and keeps what the device says before it encrypts."""

    def __init__(self, port):
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._said = []
        threading.Thread(target=self._accept, daemon=True).start()

    def alerts(self):
        """Descriptions of the fatal alerts that the device sent in the clear, one a connection that it gave up."""
        fatal = b"\x15\x03\x03\x00\x02\x02"   # alert, TLS 1.2, two bytes: fatal, description
        return [said[said.index(fatal) + len(fatal)] for said in map(bytes, self._said) if fatal in said[:-1]]

    def _accept(self):
        while True:
            try:
                near = self._listener.accept()[0]
            except OSError:
                return
            said = bytearray()
            self._said.append(said)
            far = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._pump, args=(near, far, said), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, bytearray()), daemon=True).start()

    @staticmethod
    def _pump(source, sink, said):
        try:
            while got := source.recv(65536):
                said += got
                sink.sendall(got)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        finally:
            source.close()

    def close(self):
        self._listener.close()
