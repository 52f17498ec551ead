"""What runs on a board: real MicroPython on the board's flash file, at its own console.

Decides when a Ctrl-C interrupts: when the program can be interrupted, else it is a byte of the input, as on a chip. Input that
comes before the prompt waits for it. How the chip is set up for a program is firmware/board/unix/rom.py's.
"""

import os
import re
import select
import signal
import subprocess
import tty
from pathlib import Path

from host.sim.boards.port import READ_BYTES
from host.sim.fleet import HEAP, RESET_EXIT, ROM, micropython

RESET = RESET_EXIT
NOTHING_TO_RUN = 3          # rom.py's other code
RAW = b"raw REPL; CTRL-B to exit"
FRIENDLY = b'Type "help()" for more information.'
PROMPT = b">>> "
CTRL_A, CTRL_C = b"\x01", b"\x03"
MAX_HELD_BYTES = 4096       # a UART's driver keeps less
END_S = 5.0                 # from closing its console to its end; that is milliseconds
_TAIL_BYTES = 64            # enough for RAW or FRIENDLY cut in two
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")


class Interpreter:
    """One start of MicroPython.

    Attributes:
        fd: readable when it says something.
        raw: whether its prompt is the raw one, for programs; it outlives a soft reset.
        at_prompt: whether it has come to a prompt.
    """

    def __init__(self, flash: Path, mac: bytes, bench: Path, *, raw: bool = False) -> None:
        self.raw, self.at_prompt = raw, False
        self._held = bytearray(CTRL_A if raw else b"")
        self._tail = b""
        self.fd, console = os.openpty()
        tty.setraw(console)
        # Its console is its controlling terminal: if this process is killed, the kernel hangs up and MicroPython ends too.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", micropython(), "-X", f"heapsize={HEAP}", "-c", "import rom", "--flash", flash.resolve(),
             "--mac", mac.hex(), "--bench", bench.resolve(), "--repl", "raw" if raw else "friendly"],
            stdin=console, stdout=console, stderr=console, env={**os.environ, "MICROPYPATH": str(ROM.parent)})
        os.close(console)
        os.set_blocking(self.fd, False)

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> bytes | None:
        """What it says; None when it has ended."""
        try:
            said = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError:   # EIO
            return None
        seen = self._tail + said
        self._tail = seen[-_TAIL_BYTES:]
        self.raw = seen.rfind(RAW) > seen.rfind(FRIENDLY) if RAW in seen or FRIENDLY in seen else self.raw
        if not self.at_prompt:
            # a chip's console ends lines so; at the prompt programs may send bytes that mean themselves
            said = _BARE_NEWLINE.sub(b"\r\n", said)
            if seen.endswith(PROMPT):
                self.at_prompt = True
                self.write(b"")
        return said or None

    def write(self, data: bytes) -> None:
        """Input."""
        for number, part in enumerate(data.split(CTRL_C)):
            if number and self._interruptible():
                self._send()
                os.kill(self.pid, signal.SIGINT)
            elif number:
                self._held += CTRL_C
            self._held += part
        if not self.at_prompt:
            del self._held[MAX_HELD_BYTES:]
        self._send()

    @property
    def wants_room(self) -> bool:
        """Whether input waits for the console to have room for it."""
        return self.at_prompt and bool(self._held)

    def _send(self) -> None:
        try:
            while self.wants_room:
                del self._held[:os.write(self.fd, self._held)]
        except OSError:   # EAGAIN, or it has ended
            pass

    def _interruptible(self) -> bool:
        """Whether it catches SIGINT now; at its prompt, or when it has said that nothing must interrupt it, SIGINT would end it."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        except OSError:
            return False
        caught = int(re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]   # Linux has it
        return bool(caught >> signal.SIGINT - 1 & 1)

    def end(self) -> int:
        """Its exit code; kills it if it lives."""
        if not self._hung_up():
            self._process.kill()
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        os.close(self.fd)
        return code

    def _hung_up(self) -> bool:
        """Whether it has let go of its console, and so is about to end."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return any(events & select.POLLHUP for _, events in poll.poll(0))
