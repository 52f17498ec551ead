"""A simulated board under real MicroPython, with the power switch in the test's hand."""

import json
import math
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from node.ring import Ring
from provisioning.line.image import read_vfs, ring_partition

ROOT = Path(__file__).parents[2]
FIRMWARE = ROOT / "firmware"
CSV = FIRMWARE / "image/partitions-unix.csv"
ROM = FIRMWARE / "board/unix/rom.py"
MICROPYTHON = Path(sys.executable).parent / "micropython"
HEAP = "256k"   # an update over the air needs 208k on this 64-bit port; what an ESP32 needs: firmware/DESIGN.md, "Memory"
RESET = 75
CHANNELS = [("temp", "Cel", "0.01"), ("vib", "mm/s", "0.001")]
ROW_MS = 50
ROWS = 200
SITE = {
    "host": "localhost", "mqtt_port": 1, "ota_port": 1, "est_port": 1, "product": "hall", "model": "hall", "lot": "demo",
    "period_ms": 50, "batch_samples": 5, "uplink_s": 1, "checkin_s": 1, "ack_timeout_s": 2, "trial_s": 30, "backoff_max_s": 2,
    "channels": [{"name": name, "unit": unit, "resolution": step} for name, unit, step in CHANNELS],
}


def append_to_new_ring(flash):
    """The ring of an image that was just built is empty, and takes a record."""
    ring = Ring(ring_partition(flash))
    ring.mount()
    ring.append(1, 0, b"record", 1)
    again = Ring(ring_partition(bytes(flash)))
    again.mount()
    assert [data for _, _, data in again.records(0)] == [b"record"]


def keep_powered(board):
    """What a power supply does: a board that reset itself starts again."""
    if board.process.poll() == RESET:
        board.power_on()
    assert board.process.poll() is None
    return board


def until(condition, timeout_s=20):
    """Wait for what must come; gives the condition's first true value."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


class Board:
    """One board: its flash file, its bench folder, its process while the power is on."""

    def __init__(self, folder, image, mac="0242ac110001"):
        self.mac, self.device = mac, f"hall-{mac}"
        self.flash = folder / f"{mac}.flash"
        self.bench = folder / "bench"
        self.flash.write_bytes(image)
        signals = self.bench / "signals"
        signals.mkdir(parents=True, exist_ok=True)
        columns = [{"name": name, "unit": unit, "resolution": step} for name, unit, step in CHANNELS]
        (signals / "channels.json").write_text(json.dumps({"row_ms": ROW_MS, "rows": ROWS, "channels": columns}))
        rows = (struct.pack("<2i", round(2000 + 300 * math.sin(i / 9)), round(500 + 90 * math.cos(i / 5))) for i in range(ROWS))
        (signals / f"{self.device}.bin").write_bytes(b"".join(rows))
        self.process = None

    def power_on(self, heap=HEAP, dns=None):
        """dns: the DNS server of the board's network, host:port; else names are this machine's business."""
        command = [MICROPYTHON, "-X", f"heapsize={heap}", ROM, "--flash", self.flash, "--mac", self.mac, "--bench", self.bench]
        command += ["--dns", dns] if dns else []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.said = queue.Queue(), []
        threading.Thread(target=self._listen, args=(self.process.stdout, self.lines), daemon=True).start()

    @staticmethod
    def _listen(stream, lines):
        for line in stream:
            lines.put(line)
        stream.close()

    def console(self, word, timeout_s=20):
        """The JSON of the next console line that begins with this word."""
        end = time.monotonic() + timeout_s
        while True:
            try:
                line = self.lines.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                raise AssertionError(f"no {word} line, exit {self.process.poll()}: {''.join(self.said)}") from None
            self.said.append(line)
            if line.startswith(word + " "):
                return json.loads(line[len(word):])

    def power_off(self):
        """At any instant, as a plug is pulled."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        return self.process.wait(5) if self.process else None

    def ring(self):
        ring = Ring(ring_partition(self.flash.read_bytes()))
        ring.mount()
        return ring

    def files(self):
        return read_vfs(self.flash.read_bytes())
