"""One simulated board: power, cable, reset, and which of loader and program has the serial port.

A pseudo-terminal carries no DTR and RTS, so the reset circuit is guessed from what its lines are used for: a SYNC at a running
board resets it into its loader, and a board in its loader is reset and runs when the port is closed, or when it is sent what is not
the loader's. A thread of its own serves the board and sleeps while nothing happens; methods may be called from any other thread.
"""

import contextlib
import os
import queue
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from host.sim.boards import chips, place, startup
from host.sim.boards.errors import BoardError
from host.sim.boards.faults import CablePulled, Fault, Faults, Kind
from host.sim.boards.flash import FlashFile
from host.sim.boards.interpreter import NOTHING_TO_RUN, RESET, Interpreter
from host.sim.boards.loader import SYNC_START, Loader
from host.sim.boards.port import Port
from host.sim.boards.registers import Registers
from host.sim.flash import SECTOR_BYTES, PowerCut
from host.sim.powered import REBOOT_S
from provisioning.line.image import read_vfs

FLASH_BYTES = 4 << 20
CALL_S = 30.0              # for what a method asks of the board's thread; it takes milliseconds
SOFT_REBOOT = b"MPY: soft reboot\r\n"   # mpremote waits for it
MAX_UNSENT_BYTES = 1 << 16  # of a console that is open and not read


class Board:
    """A board, with power and cable from the beginning.

    Attributes:
        port: what users open; it is there while power and cable are.
        chip: as it is; with Kind.WRONG_CHIP another one than was asked for.
        mac: as tools write it.
        commands: the loader's, since the power came on.
        resets: by any cause.
    """

    def __init__(self, folder: Path, number: int, chip: str = "esp32", flash_bytes: int = FLASH_BYTES) -> None:
        """Take a board up where it was left in `folder`, or make a new one.

        Args:
            number: 1..65535, for its MAC address and its port's name.

        Raises:
            BoardError: an unknown chip, or another than this board's; a flash of no such size; somebody else has the board.
        """
        if chip not in chips.CHIPS:
            raise BoardError(f"chip: got {chip!r}, expected one of {', '.join(chips.CHIPS)}")
        if flash_bytes < SECTOR_BYTES or flash_bytes & flash_bytes - 1:
            raise BoardError(f"flash: got {flash_bytes} bytes, expected a power of two, {SECTOR_BYTES} or more")
        own = place.folder(folder, number)
        self._bench = own / place.BENCH
        self._bench.mkdir(parents=True, exist_ok=True)
        self._lock = place.take(own, {"chip": chip, "flash_bytes": flash_bytes})
        self.number, self.chip, self.port = number, chip, place.port(folder, number)
        self._mac = chips.mac(number)
        self.mac = self._mac.hex(":")
        self.commands: dict[str, int] = {}
        self.resets = 0
        self._kind = chips.CHIPS[chip]
        self._flash = FlashFile(own / place.FLASH, flash_bytes)
        self._faults = Faults()
        self._powered = self._cabled = True
        self._port: Port | None = None
        self._loader: Loader | None = None
        self._program: Interpreter | None = None
        self._start_at_s: float | None = None
        self._begun = b""   # of what could become a SYNC
        self._poll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._poll.register(self._bell, select.EPOLLIN)
        self._asked: queue.SimpleQueue[tuple[Callable[[], object], Future[object]]] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name=f"board {number}", daemon=True)
        self._thread.start()
        self._ask(self._connect)

    # What is asked of a board.

    def power_off(self) -> None:
        """At this instant; its port goes too, since USB feeds both."""
        self._ask(self._lose_power)

    def power_on(self) -> None:
        """With the cable in."""
        self._ask(self._give_power)

    def pull(self) -> None:
        """Take the cable out of the port; the board keeps its power and goes on."""
        self._ask(self._disconnect)

    def plug(self) -> None:
        """Put the cable in."""
        self._ask(self._connect)

    def reset(self) -> None:
        """Press its button."""
        self._ask(self._reset)

    def inject(self, fault: Fault) -> None:
        """From now on. Kind.WRONG_CHIP makes it another chip for good."""
        self._ask(lambda: self._inject(fault))

    def heal(self) -> None:
        """Forget all faults that have not struck."""
        self._ask(self._heal)

    def flash(self) -> bytes:
        """The whole flash as it is."""
        data: bytes = self._ask(lambda: self._flash.read(0, self._flash.size))   # type: ignore[assignment]
        return data

    def files(self) -> dict[str, bytes]:
        """The files of its file system, by absolute path.

        Raises:
            ImageError: there is no table or no file system.
        """
        return read_vfs(self.flash())

    def load(self, image: bytes) -> None:
        """Put an image into its flash from address 0, as if it had been flashed, and reset it."""
        self._ask(lambda: self._load(image))

    @property
    def alive(self) -> bool:
        """Whether it has power and its cable is in."""
        return self._powered and self._cabled

    @property
    def pid(self) -> int | None:
        """Process id of what runs on it, else None."""
        program = self._program
        return program.pid if program else None

    @property
    def is_heard(self) -> bool:
        """Whether somebody has its port open."""
        return bool(self._ask(self._is_heard))

    @property
    def at_prompt(self) -> bool:
        """Whether what runs on it has come to MicroPython's prompt."""
        program = self._program
        return program is not None and program.at_prompt

    def close(self) -> None:
        """Power off, and no more of it; its state stays in its folder."""
        if self._closed:
            return
        self._ask(self._lose_power)
        self._closed = True
        os.eventfd_write(self._bell, 1)
        self._thread.join(CALL_S)
        self._poll.close()
        os.close(self._bell)
        self._flash.close()
        os.close(self._lock)

    def _ask(self, action: Callable[[], object]) -> object:
        done: Future[object] = Future()
        self._asked.put((action, done))
        os.eventfd_write(self._bell, 1)
        return done.result(CALL_S)

    # What its thread does.

    def _serve(self) -> None:
        while not self._closed:
            wait_s = None if self._start_at_s is None else max(0.0, self._start_at_s - time.monotonic())
            for fd, _ in self._poll.poll(wait_s):
                try:
                    self._attend(fd)
                except CablePulled:
                    self._disconnect()
                except PowerCut:
                    self._lose_power()
            if self._start_at_s is not None and time.monotonic() >= self._start_at_s:
                self._start()

    def _attend(self, fd: int) -> None:
        if fd == self._bell:
            self._answer()
        elif self._port is not None and fd == self._port.fd:
            self._port.flush()
            self._hear(self._port)
        elif self._program is not None and fd == self._program.fd:
            self._listen(self._program)
        self._watch()

    def _answer(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        while not self._asked.empty():
            action, done = self._asked.get()
            try:
                done.set_result(action())
            except Exception as error:   # the caller's
                done.set_exception(error)

    def _hear(self, port: Port) -> None:
        """Bytes have come, or the port was opened or closed."""
        data, pulled = self._faults.heard(port.read())
        if data and not self._faults.silent:
            self._take(data)
        if pulled:
            raise CablePulled
        self._is_heard()

    def _is_heard(self) -> bool:
        """Whether somebody has the port open. If not, what they left is over."""
        if self._port is None or self._port.is_open:
            return self._port is not None
        self._port.forget()
        if self._loader is not None:
            self._reset()
        return False

    def _take(self, data: bytes) -> None:
        if self._loader is None:
            data = self._begun + data
            before, sync, rest = data.partition(SYNC_START)
            self._begun = b"" if sync else _beginning(before)
            self._type(before[:len(before) - len(self._begun)])
            if not sync:
                return
            self._enter_loader()
            data = sync + rest
        self._load_on(data)

    def _load_on(self, data: bytes) -> None:
        loader = self._loader
        assert loader is not None  # noqa: S101  both callers made it
        answer = self._faults.answered(loader.feed(data))
        self._say(answer)
        stray = loader.stray
        if loader.leaving or stray:
            self._reset()
            self._type(stray)

    def _type(self, data: bytes) -> None:
        if data and self._program is not None:
            self._program.write(data)

    def _listen(self, program: Interpreter) -> None:
        """The program says something, or has ended."""
        said = program.read()
        if said:
            self._say(said)
        elif said is None:
            self._ended(program)

    def _ended(self, program: Interpreter) -> None:
        was_raw, at_prompt = program.raw, program.at_prompt
        code = self._stop()
        if code == RESET or not at_prompt:
            if code != NOTHING_TO_RUN:
                self._start_at_s = time.monotonic() + REBOOT_S   # also what keeps one that fails at once from spinning
        else:
            self._say(SOFT_REBOOT)
            self._run(raw=was_raw)

    def _say(self, data: bytes) -> None:
        """To whoever has the port open. A reader who is slow holds up a program at its prompt, and no other: see `_watch`."""
        if self._port is None or not data or self._faults.silent:
            return
        if self._faults.slow_s:
            time.sleep(self._faults.slow_s)   # the fault itself; this thread serves this board alone
        waits = self._loader is not None or (self._program is not None and self._program.at_prompt)
        if waits or self._port.unsent_bytes < MAX_UNSENT_BYTES:
            self._port.write(data)

    def _watch(self) -> None:
        """Listen to the program as long as there is room for what it says."""
        if self._program is not None:
            full = self._port is not None and self._port.unsent_bytes >= MAX_UNSENT_BYTES and self._program.at_prompt
            wanted = (0 if full else select.EPOLLIN) | (select.EPOLLOUT if self._program.wants_room else 0)
            self._poll.modify(self._program.fd, wanted)

    # Power, cable, reset.

    def _connect(self) -> None:
        self._cabled = True
        if self._powered and self._port is None:
            self._port = Port(self.port)
            self._poll.register(self._port.fd, Port.EVENTS)
            if self._program is None and self._loader is None:
                self._start()

    def _disconnect(self) -> None:
        self._cabled = False
        self._begun = b""
        if self._port is not None:
            self._poll.unregister(self._port.fd)
            self._port.close()
            self._port = None
        if self._loader is not None:   # nobody will end its conversation
            self._reset()

    def _lose_power(self) -> None:
        self._powered = False
        self._loader, self._start_at_s = None, None
        self._stop()
        self._disconnect()

    def _give_power(self) -> None:
        if not self._powered:
            self._powered = True
            self._flash.power_on()
            self.commands.clear()
        self._connect()

    def _reset(self) -> None:
        self._loader = None
        self._stop()
        if self._powered:
            self._start()

    def _start(self) -> None:
        """As a chip's ROM does it: find something to run."""
        self._start_at_s = None
        self.resets += 1
        self._say(startup.BANNER.encode())
        try:
            startup.find(self.chip, self._flash.read)
        except startup.NothingToRunError as error:
            self._say(f"{error}\r\n".encode())
            return
        self._run(raw=False)

    def _run(self, *, raw: bool) -> None:
        self._program = Interpreter(self._flash.path, self._mac, self._bench, raw=raw)
        self._poll.register(self._program.fd, select.EPOLLIN)

    def _stop(self) -> int:
        if self._program is None:
            return 0
        program, self._program = self._program, None
        self._poll.unregister(program.fd)
        return program.end()

    def _enter_loader(self) -> None:
        self._stop()
        self._start_at_s = None
        self.resets += 1
        registers = Registers(self._kind, chips.born(self._kind, self._mac), self._flash.size)
        self._loader = Loader(self._kind, registers, self._flash, self._heard_command)

    def _heard_command(self, name: str) -> None:
        self._faults.command(name)
        self.commands[name] = self.commands.get(name, 0) + 1

    def _inject(self, fault: Fault) -> None:
        if fault.kind is Kind.POWER:
            self._flash.cut_power_at(fault.at)
        elif fault.kind is Kind.CORRUPT:
            self._flash.bad.add(fault.at // SECTOR_BYTES)
        elif fault.kind is Kind.WRONG_CHIP:
            self.chip = next(name for name in chips.CHIPS if name != self.chip)
            self._kind = chips.CHIPS[self.chip]
        else:
            self._faults.add(fault)

    def _heal(self) -> None:
        self._faults.clear()
        self._flash.bad.clear()
        self._flash.power_on()

    def _load(self, image: bytes) -> None:
        if len(image) > self._flash.size:
            raise BoardError(f"image: got {len(image)} bytes, expected at most {self._flash.size}, the board's flash")
        self._stop()
        self._flash.replace(image)
        self._reset()


def _beginning(data: bytes) -> bytes:
    """The end of some bytes that could be the beginning of a SYNC."""
    return next((data[-size:] for size in range(len(SYNC_START) - 1, 0, -1) if data.endswith(SYNC_START[:size])), b"")
