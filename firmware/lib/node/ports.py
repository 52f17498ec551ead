"""What the firmware's decisions need from a machine: clock, files, chance, network, system.

Each class documents one port: adapters in firmware/board, and on a host in host/gateway and host/sim, provide objects with
these methods. They match by structure (PEP 544), so nobody subclasses them and no device ever loads this module. Decides
nothing.
"""

TYPE_CHECKING = False   # mypy reads it as true; nothing below loads typing at run time
if TYPE_CHECKING:
    from node.hints import NoReturn, Protocol, Sequence
else:
    Protocol = object


class Clock(Protocol):
    """Time as the firmware sees it.

    Attributes:
        epoch_ms: Unix milliseconds at tick 0 of this boot, at the knowledge of `quality`; 0 when unknown.
        quality: node.wire.batch.QUALITY_*.
    """

    epoch_ms: int
    quality: int

    def ticks_ms(self) -> int:
        """Milliseconds since boot; never wraps, never jumps."""

    def unix_ms(self) -> int:
        """Unix milliseconds, or 0 while the time of day is unknown."""


class OpenFile(Protocol):
    """A file being written. Nothing is durable before close()."""

    def write(self, data: bytes | memoryview) -> int:
        ...

    def close(self) -> None:
        ...


class ReadFile(Protocol):
    """A file being read piece by piece."""

    def readinto(self, buf: bytearray | memoryview) -> int | None:
        """Bytes read, 0 at the end."""

    def close(self) -> None:
        ...


class RandomFile(ReadFile, Protocol):
    """A file being read from anywhere."""

    def seek(self, at: int, whence: int = 0) -> int:
        ...


class Files(Protocol):
    """The device's file system. Paths are absolute; a missing file is a value, not an exception."""

    def read(self, path: str) -> bytes | None:
        """The whole file; None when it is absent or, as after a cut between open and close, empty."""

    def write_atomic(self, path: str, data: bytes) -> None:
        """Replace a file so that a power cut leaves the old or the new content: temp file, close, rename, read back.

        Raises:
            FlashError: `files.readback` when what was read is not what was written, `files.io` when the flash refused.
        """

    def remove(self, path: str) -> None:
        """Remove a file or an empty folder; absent is fine."""

    def list(self, path: str) -> list[str]:
        """Names in a folder; empty when the folder is absent."""

    def mkdirs(self, path: str) -> None:
        """Make a folder and its parents; present is fine."""

    def open(self, path: str) -> RandomFile | None:
        """Open a file for reading; None when it is absent."""

    def append(self, path: str) -> OpenFile:
        """Open a file for writing at its end; made, with its parents, when it is absent."""


class Store(Protocol):
    """Where a download goes: the slots, or a partition, which has but one place and takes any name for it.

    prepare, drop and append raise FlashError when the flash refuses.
    """

    def prepare(self, slot: str, sha256: str) -> None:
        """Keep what is there if it is the beginning of this content; else nothing is there."""

    def drop(self, slot: str) -> None:
        """Nothing is there: the next download starts over."""

    def open(self, slot: str) -> ReadFile | None:
        """What is there, for reading; None when nothing is."""

    def append(self, slot: str) -> OpenFile:
        """Open for writing behind what is there."""


class Images(Protocol):
    """The application partition that does not run, and how the running image stands with the bootloader.

    The bootloader starts an image that was chosen by set_boot() once; unless it is confirmed in that boot, the next reset of any
    kind goes back to the image before it.

    Attributes:
        label: of the other partition. size: its bytes, whole blocks of 4096.
    """

    label: str
    size: int

    def read(self, at: int, buf: bytearray | memoryview) -> None:
        """Fill `buf` from byte `at` of the other partition. OSError: the flash refused, as in the others."""

    def read_running(self, at: int, buf: bytearray | memoryview) -> None:
        """Fill `buf` from byte `at` of the partition that runs."""

    def erase(self, at: int) -> None:
        """Erase a block of 4096 bytes of the other partition; `at` is a multiple of that."""

    def write(self, at: int, data: bytes | memoryview) -> None:
        """Program bytes of the other partition, erased before, within one block."""

    def pending(self) -> bool:
        """Whether the running image is not confirmed: in its first boot, or of a state that a power cut tore, which this mends."""

    def set_boot(self) -> None:
        """Start the other partition's image at the next reset.

        Raises:
            OSError: it is no whole image; nothing changed.
        """

    def confirm(self) -> None:
        """Keep the running image."""


class Deltas(Protocol):
    """What a board needs to make a release out of a delta."""

    def inflate(self, file: ReadFile, window_bits: int) -> ReadFile:
        """The raw deflate stream that begins where the file stands. Its readinto() raises OSError, EOFError or ValueError when the
        stream is damaged or ends early; nothing behind the stream is read.
        """

    def free_bytes(self) -> int:
        """Of the file system."""


class Random(Protocol):
    """Chance. On ESP32 it is true randomness only while the radio is on."""

    def urandom(self, n: int) -> bytes:
        ...


class Stream(Protocol):
    """One connection. Reads and drains wait; the caller sets every deadline with asyncio.wait_for."""

    async def read(self, n: int) -> bytes:
        """1..n bytes, or b"" when the peer has closed. A cancelled read loses nothing."""

    def write(self, data: bytes) -> None:
        """Take the data, as one packet when the connection has room; drain() pushes out the rest."""

    async def drain(self) -> None:
        ...

    def moved(self) -> bool:
        """Whether the servers are elsewhere by now: a later connection was answered at another address. After a read only."""

    def close(self) -> None:
        """Release the socket at once; safe to call twice."""


class Net(Protocol):
    """Outgoing TLS connections, the peer always verified by chain and name."""

    async def open(self, host: str, port: int, mutual: bool) -> Stream:
        """Connect; the handshake goes on in the first reads and writes, without blocking other tasks.

        Args:
            mutual: show our certificate. False only for the first enrolment, which has none.

        Raises:
            OSError: no route, refused, reset. ValueError: the certificate was refused (mbedTLS raises it).
        """


class System(Protocol):
    """The board itself."""

    def reset(self, reason: str, fault: bool) -> "NoReturn":
        """Restart the board; does not return.

        Args:
            fault: the firmware failed: the boot stub remembers the reason and counts it against the slot.
        """

    def reset_cause(self) -> str:
        """Why the board started: "soft" after reset(), else "power", "watchdog" or what the chip says."""

    def feed_watchdog(self) -> None:
        ...

    def mem_free(self) -> int:
        """Free bytes of the Python heap, after a collection."""

    def idf_block(self) -> int:
        """The largest piece, bytes, that the chip's own heap can still give: TLS needs 17 KB. 0 where there is none."""

    def log(self, event: str, detail: str) -> None:
        """Tell the console, rarely. Never the only record of anything."""

    def tell(self, word: str, body: dict[str, str]) -> None:
        """One line on the console for the line station: a word and JSON."""


class Source(Protocol):
    """What is read together and fails together: a chip, a Modbus unit, a pin.

    Any exception of start() or read() is a failure of this source alone.

    Attributes:
        channels: places in the configuration's list, in the order of read().
        lead_ms: start() is called so long before read(); 0: right before it.
    """

    channels: tuple[int, ...]
    lead_ms: int

    def start(self) -> None:
        """Begin a measurement. Does not wait for it."""

    def read(self) -> "Sequence[int | None]":
        """What was measured since start(), in steps of each channel's resolution; None where a channel has no reading."""

    def recover(self) -> None:
        """Free a stuck bus and begin anew with the chip. Called after repeated failures; may raise."""
