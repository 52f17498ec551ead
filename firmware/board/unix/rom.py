"""The simulated board: what is silicon, mask ROM, bootloader and _boot.py on an ESP32, under the unix port of MicroPython.

    micropython -X heapsize=160k rom.py --flash FILE --mac 0242ac110001 --bench DIR [--dns 127.0.0.1:5300]

The flash is one file with NOR rules: programming only clears bits, erasing sets 4096 bytes. Writes are not buffered, so killing
the process at any instant is a power cut. The file's first sector holds the partition table (provisioning/line/image.py
writes it). The module `simchip` stands for the chip; the firmware sees nothing else of this file. DIR, mounted at /bench, is
the world outside the board: sensor signals, the watchdog's pulse, and the few bytes of RTC memory that survive a reset. --dns is
the DNS server of the board's network; without it names are the host's business.

Exit codes: 75 the board reset itself, the power supply restarts it; 3 nothing to run: no usable partition table or file system, or
boot.py came back to what would be the prompt, since the line has not written site.json yet; any other is a crash of the simulation.
"""

import json
import os
import select
import socket
import sys
import time

SECTOR_BYTES = 4096
EXIT_RESET = 75
EXIT_UNBOOTABLE = 3
PULSE_MS = 1000   # the watchdog's file is touched at most this often
DNS_TRIES, DNS_WAIT_MS = 4, 1000   # as lwIP's DNS_MAX_RETRIES and DNS_TMR_INTERVAL


class NorFlash:
    """A flash chip on a file."""

    def __init__(self, path):
        self._file = open(path, "r+b")

    def read(self, address, buf):
        self._file.seek(address)
        self._file.readinto(buf)

    def program(self, address, data):
        old = bytearray(len(data))
        self.read(address, old)
        for i, byte in enumerate(data):
            old[i] &= byte
        self._file.seek(address)
        self._file.write(old)

    def erase(self, address):
        self._file.seek(address)
        self._file.write(b"\xff" * SECTOR_BYTES)


class Partition:
    """MicroPython's block device protocol on a part of the flash, as esp32.Partition has it."""

    def __init__(self, flash, offset, size):
        self._flash = flash
        self._offset = offset
        self._size = size

    def _address(self, block, offset, length):
        start = block * SECTOR_BYTES + offset
        if not 0 <= start <= start + length <= self._size:
            raise OSError(22)   # EINVAL, as esp_partition_read gives
        return self._offset + start

    def readblocks(self, block, buf, offset=0):
        self._flash.read(self._address(block, offset, len(buf)), buf)

    def writeblocks(self, block, buf, offset=None):
        address = self._address(block, offset or 0, len(buf))
        if offset is None:   # the simple form of the protocol: whole blocks, erased first
            for sector in range(0, len(buf), SECTOR_BYTES):
                self._flash.erase(address + sector)
        self._flash.program(address, buf)

    def ioctl(self, op, arg):
        if op == 4:
            return self._size // SECTOR_BYTES
        if op == 5:
            return SECTOR_BYTES
        if op == 6:
            self._flash.erase(self._address(arg, 0, SECTOR_BYTES))
        return 0


class Bench:
    """The world at the board's edge, under /bench."""

    def __init__(self, mac):
        self._mac = mac
        self.cause = self._take_cause()

    def name(self):
        """The file name of this board on the bench: its device id once the line has made it one, else its MAC."""
        try:
            with open("/state/site.json") as file:
                return json.load(file)["product"] + "-" + self._mac
        except (OSError, ValueError, KeyError):
            return self._mac

    def _take_cause(self):
        """Why this start: the word which reset() or the power supply's watchdog left, else a cold start."""
        path = "/bench/" + self._mac + ".rtc"
        try:
            with open(path) as file:
                word = file.read(16)
            os.remove(path)
            return word or "power"
        except OSError:
            return "power"

    def leave_cause(self, word):
        with open("/bench/" + self._mac + ".rtc", "w") as file:
            file.write(word)


class Watchdog:
    """A pulse for the power supply, which kills a board whose file has been still for longer than it says."""

    def __init__(self, timeout=5000):
        self._path = "/bench/" + bench.name() + ".wdt"
        self._text = str(timeout)
        self._fed_ms = 0
        self._pulse()

    def feed(self):
        if time.ticks_diff(time.ticks_ms(), self._fed_ms) >= PULSE_MS:
            self._pulse()

    def _pulse(self):
        self._fed_ms = time.ticks_ms()
        with open(self._path, "w") as file:
            file.write(self._text)


class Rtc:
    """RTC memory, of which this board needs none: the bench says why it starts."""

    def memory(self, *data):
        return b""


class Dns:
    """What lwIP asks: the first address of a name, by UDP, from the server that DHCP would have told; nothing is kept."""

    def __init__(self, where):
        host, _, port = where.partition(":")
        self._server = socket.getaddrinfo(host, int(port))[0][-1]

    def __call__(self, host):
        labels = b"".join(bytes((len(label),)) + label.encode() for label in host.split("."))
        query = os.urandom(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"   # type A, class IN
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.connect(self._server)
            poll = select.poll()
            poll.register(udp, select.POLLIN)
            for _ in range(DNS_TRIES):
                udp.send(query)
                while poll.poll(DNS_WAIT_MS):
                    answer = udp.recv(512)
                    if answer[:2] == query[:2]:
                        return self._address(answer, len(query))
        finally:
            udp.close()
        raise OSError(110)

    @staticmethod
    def _address(answer, at):
        """The first A record behind the question, whatever name it is of: a CNAME's is."""
        for _ in range(answer[6] << 8 | answer[7]):
            while answer[at] and answer[at] < 0xC0:
                at += 1 + answer[at]
            at += 1 if not answer[at] else 2
            size = answer[at + 8] << 8 | answer[at + 9]
            if answer[at:at + 2] == b"\x00\x01":
                return ".".join(str(byte) for byte in answer[at + 10:at + 10 + size])
            at += 10 + size
        raise OSError(-2)   # there is no such name, or no address of it


class Chip:
    """What the firmware imports as `simchip`."""

    RTC = Rtc

    @staticmethod
    def ask(host):
        """The address of a name, as text, from the host's resolver."""
        family, address, _ = socket.sockaddr(socket.getaddrinfo(host, 1, 0, socket.SOCK_STREAM)[0][-1])
        return socket.inet_ntop(family, address)
    Watchdog = Watchdog

    @staticmethod
    def partition(label):
        """The block device of a partition, or None."""
        where = table.get(label)
        return Partition(flash, where[0], where[1]) if where else None

    @staticmethod
    def unique_id():
        return bytes(int(mac[i:i + 2], 16) for i in range(0, 12, 2))

    @staticmethod
    def reset():
        bench.leave_cause("soft")
        sys.exit(EXIT_RESET)

    @staticmethod
    def reset_cause():
        """"power", "soft", or what the power supply left, such as "watchdog"."""
        return bench.cause

    @staticmethod
    def world_ms():
        """The physical world's time, Unix ms. For sensor drivers only: the board itself does not know the time."""
        return time.time_ns() // 1_000_000


def absolute(path):
    return path if path.startswith("/") else os.getcwd() + "/" + path


def read_table():
    """{label: (offset, size)} from the flash's first sector."""
    raw = bytearray(SECTOR_BYTES)
    flash.read(0, raw)
    return json.loads(bytes(raw[:raw.find(b"\xff")]))


options = {sys.argv[i]: sys.argv[i + 1] for i in range(1, len(sys.argv) - 1, 2)}
mac = options["--mac"]
bench_path = absolute(options["--bench"])
try:
    flash = NorFlash(absolute(options["--flash"]))
    table = read_table()
    vfs = os.VfsLfs2(Chip.partition("vfs"), readsize=32, progsize=32, lookahead=32)   # ESP32's sizes
except (OSError, ValueError):
    sys.exit(EXIT_UNBOOTABLE)
os.umount("/")
os.mount(vfs, "/")
os.mount(os.VfsPosix(bench_path), "/bench")
os.chdir("/")
bench = Bench(mac)
if "--dns" in options:
    Chip.ask = Dns(options["--dns"])
sys.modules["simchip"] = Chip
sys.path[:] = ["", ".frozen"]
del sys.argv[1:]
__import__("boot")
sys.exit(EXIT_UNBOOTABLE)
