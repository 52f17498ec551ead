"""The simulated board: what is silicon, mask ROM, bootloader and _boot.py on an ESP32, under the unix port of MicroPython.

    micropython -X heapsize=160k rom.py --flash FILE --mac 0242ac110001 --bench DIR [--dns 127.0.0.1:5300] [--repl friendly|raw]

The flash is one file with NOR rules: programming only clears bits, erasing sets 4096 bytes. Writes are not buffered, so killing
the process at any instant is a power cut. The partition table is JSON in the file's first sector, or an ESP32's
(provisioning/line/image.py writes both). The module `simchip` stands for the chip; the firmware sees nothing else of this file.
DIR is the world outside the board: the watchdog's pulse, the few bytes of RTC memory that survive a reset, how strong its access
point comes in (a file MAC.rssi, dBm; without one the board hangs on a cable), and, at /bench, sensor signals. --dns is the DNS
server of the board's network; without it names are the host's business.

Exit codes: 75 the board reset itself, the power supply restarts it; 3 nothing to run: no usable partition table or file system, or
boot.py came back to what would be the prompt, since the line has not written site.json yet; any other is a crash of the simulation.

With --repl the prompt is there, on standard input and output, and a file system that is not there is made, as stock MicroPython
does it. boot.py and main.py run as on a chip, main.py not in raw mode. Run as `-c "import rom"`, so that the prompt's names are its
own. Exit codes then: 3 no usable partition table, 75 as above; any other is a soft reset.
"""

import json
import os
import select
import socket
import struct
import sys
import time

SECTOR_BYTES = 4096
EXIT_RESET = 75
EXIT_UNBOOTABLE = 3
PULSE_MS = 1000   # the watchdog's file is touched at most this often
ESP_TABLE, ESP_ROW = 0x8000, 32   # an ESP32's partition table in flash: where, and bytes of a row
DNS_TRIES, DNS_WAIT_MS = 4, 1000   # as lwIP's DNS_MAX_RETRIES and DNS_TMR_INTERVAL


class NorFlash:
    """A flash chip on a file."""

    def __init__(self, path):
        self._file = open(path, "r+b")
        self.size = self._file.seek(0, 2)

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
    """The world at the board's edge."""

    def __init__(self, mac, fs):
        self._mac = mac
        self._fs = fs
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
        name = "/" + self._mac + ".rtc"
        try:
            with self._fs.open(name, "r") as file:
                word = file.read(16)
            self._fs.remove(name)
            return word or "power"
        except OSError:
            return "power"

    def rssi(self):
        try:
            with self._fs.open("/" + self._mac + ".rssi", "r") as file:
                return int(file.read(8))
        except (OSError, ValueError):   # the bench is writing it
            return None

    def leave_cause(self, word):
        self.write("/" + self._mac + ".rtc", word)

    def write(self, name, text):
        with self._fs.open(name, "w") as file:
            file.write(text)


class Watchdog:
    """A pulse for the power supply, which kills a board whose file has been still for longer than it says."""

    def __init__(self, timeout=5000):
        self._name = "/" + bench.name() + ".wdt"
        self._text = str(timeout)
        self._fed_ms = 0
        self._pulse()

    def feed(self):
        if time.ticks_diff(time.ticks_ms(), self._fed_ms) >= PULSE_MS:
            self._pulse()

    def _pulse(self):
        self._fed_ms = time.ticks_ms()
        bench.write(self._name, self._text)


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
    def rssi():
        """Of the access point, dBm; None on a cable."""
        return bench.rssi()

    @staticmethod
    def world_ms():
        """The physical world's time, Unix ms. For sensor drivers only: the board itself does not know the time."""
        return time.time_ns() // 1_000_000


def absolute(path):
    return path if path.startswith("/") else os.getcwd() + "/" + path


class Machine:
    """What the prompt imports as `machine`: what mpremote asks of it, and what stock MicroPython on unix has."""

    unique_id = Chip.unique_id
    reset = Chip.reset

    @staticmethod
    def soft_reset():
        sys.exit(0)


class Network:
    """What the prompt imports as `network`: a radio. How many networks it hears says the bench's file `radio`; without it, one."""

    STA_IF = 0

    class WLAN:
        on = False

        def __init__(self, interface):
            pass

        def active(self, *on):
            if on:
                Network.WLAN.on = bool(on[0]) and self._heard() >= 0   # fewer than none: broken
            return Network.WLAN.on

        def config(self, name):
            return Chip.unique_id() if name == "mac" else None

        def scan(self):
            if not self.on:
                raise OSError(0x3002)   # ESP_ERR_WIFI_NOT_STARTED
            return [(b"bench", b"", 1, -40, 3, False)] * self._heard()

        @staticmethod
        def _heard():
            try:
                with world.open("/radio", "r") as file:
                    return int(file.read())
            except OSError:
                return 1


def read_table():
    """{label: (offset, size)} from the flash's first sector, or from an ESP32's table. Raises ValueError if there is neither."""
    raw = bytearray(SECTOR_BYTES)
    flash.read(0, raw)
    if raw[:1] == b"{":
        return json.loads(bytes(raw[:raw.find(b"\xff")]))
    flash.read(ESP_TABLE, raw)
    found = {}
    for at in range(0, SECTOR_BYTES, ESP_ROW):
        magic, _, _, offset, size, label = struct.unpack_from("<2sBBLL16s", raw, at)
        if magic != b"\xaa\x50":
            break
        found[label.rstrip(b"\0").decode()] = (offset, size)
    if "vfs" not in found and found:   # as MicroPython has it since 1.26: the rest of the flash
        end = max(offset + size for offset, size in found.values())
        found["vfs"] = (end, flash.size - end)
    return found


def mount():
    """The file system of the partition `vfs`. Raises OSError if there is none, or no partition."""
    device = Chip.partition("vfs")
    if device is None:
        raise OSError(19)   # ENODEV
    try:
        return os.VfsLfs2(device, readsize=32, progsize=32, lookahead=32)   # ESP32's sizes
    except OSError:
        if not repl:
            raise
    os.VfsLfs2.mkfs(device, readsize=32, progsize=32, lookahead=32)
    return os.VfsLfs2(device, readsize=32, progsize=32, lookahead=32)


def run(name):
    """A program in the root of the file system, if it is there, with the prompt's names. One that fails leads to the prompt."""
    import __main__
    try:
        with open(name) as file:
            program = file.read()
    except OSError:
        return
    try:
        exec(compile(program, name, "exec"), __main__.__dict__)  # noqa: S102
    except SystemExit:
        raise
    except BaseException as error:
        sys.print_exception(error)


options = {sys.argv[i]: sys.argv[i + 1] for i in range(1, len(sys.argv) - 1, 2)}
mac = options["--mac"]
repl = options.get("--repl")
bench_path = absolute(options["--bench"])
try:
    flash = NorFlash(absolute(options["--flash"]))
    table = read_table()
    vfs = mount()
except (OSError, ValueError):
    sys.exit(EXIT_UNBOOTABLE)
world = os.VfsPosix(bench_path)
mounted = not repl or any(entry[0] == "signals" for entry in os.ilistdir(bench_path))   # who is at the prompt finds it in the way
os.umount("/")
os.mount(vfs, "/")
if mounted:
    os.mount(world, "/bench")
os.chdir("/")
bench = Bench(mac, world)
if "--dns" in options:
    Chip.ask = Dns(options["--dns"])
sys.modules["simchip"] = Chip
sys.path[:] = ["", ".frozen"]
del sys.argv[1:]
if not repl:
    __import__("boot")
    sys.exit(EXIT_UNBOOTABLE)
sys.path.append("/lib")
sys.modules["machine"] = Machine
sys.modules["network"] = Network
run("boot.py")
if repl != "raw":
    run("main.py")
os.putenv("MICROPYINSPECT", "1")   # the interpreter goes on to its prompt
