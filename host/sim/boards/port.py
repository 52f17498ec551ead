"""A board's end of its serial port: a pseudo-terminal whose other end users open, by a name that is there while the cable is in.

Decides nothing. What is written while nobody has the port open is lost, as on a board. Linux only.
"""

import os
import select
import termios
import tty
from pathlib import Path

READ_BYTES = 1 << 16


class Port:
    """An open pseudo-terminal. `fd` is to be watched edge-triggered: one that nobody has open would report a hang-up for ever."""

    EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET

    def __init__(self, name: Path) -> None:
        """`name`: the symbolic link that users open; mpremote waits for ever at a silent /dev/pts/N, not at a link to it."""
        self.name = name
        self.fd, other = os.openpty()
        tty.setraw(other)
        self._other = os.ttyname(other)
        os.close(other)
        os.set_blocking(self.fd, False)
        self._unsent = bytearray()
        self._unread = False   # something was sent that `forget` could throw away
        name.unlink(missing_ok=True)
        name.symlink_to(self._other)

    @property
    def is_open(self) -> bool:
        """Whether somebody has it open."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return not any(events & select.POLLHUP for _, events in poll.poll(0))

    @property
    def unsent_bytes(self) -> int:
        return len(self._unsent)

    def read(self) -> bytes:
        """What has come."""
        data = b""
        try:
            while part := os.read(self.fd, READ_BYTES):
                data += part
        except OSError:   # EAGAIN: no more; EIO: nobody has it open, and no more
            pass
        return data

    def write(self, data: bytes) -> None:
        """Send, or keep what does not go out now for `flush`."""
        if self.is_open:
            self._unsent += data
        self.flush()

    def flush(self) -> None:
        """Send what could not be sent before."""
        if not self.is_open:
            self._unsent.clear()
        try:
            while self._unsent:
                del self._unsent[:os.write(self.fd, self._unsent)]
                self._unread = True
        except OSError:   # EAGAIN: it is full
            pass

    def forget(self) -> None:
        """Throw away what was sent and not read: who opens the port next must not hear it. Does nothing the second time."""
        if not self._unread:
            return
        self._unread = False
        self._unsent.clear()
        termios.tcflush(self.fd, termios.TCOFLUSH)
        other = os.open(self._other, os.O_RDWR | os.O_NOCTTY)
        termios.tcflush(other, termios.TCIFLUSH)
        os.close(other)

    def close(self) -> None:
        """Pull the cable: who has the port open gets an end of file, or an error, and its name is gone."""
        self.name.unlink(missing_ok=True)
        os.close(self.fd)
