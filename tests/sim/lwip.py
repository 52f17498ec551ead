"""Sockets that behave like an ESP32's, in memory, for board/net.py and for umqtt: MicroPython's modsocket.c over lwIP.

What they have that a PC's sockets have not: errno numbers of newlib; a table of 8 sockets that only close() frees; a timeout that
setblocking(True) erases; a blocking read that waits for all of its bytes; a refused connection that polls as writable without an
error and fails at the first use; a send buffer of four segments that takes part of a write, and goes on taking when the other side
is gone.

A socket that would wait for ever raises Hang. Nothing here looks at a clock: a connection is there after so many polls.
"""

import asyncio
import sys
from errno import EINPROGRESS

MICROPYTHON = sys.implementation.name == "micropython"
if MICROPYTHON:
    from io import IOBase
else:
    IOBase = object   # CPython's has a destructor that closes, which is what must be found out

SOCKETS = 8             # CONFIG_LWIP_MAX_SOCKETS of the port
SEND_BUFFER = 5744      # CONFIG_LWIP_TCP_SND_BUF_DEFAULT: four segments
RD, WR, ERR, HUP, NVAL = 1, 4, 8, 16, 32   # select.POLL*
_POLL, _CLOSE = 3, 4    # requests of MicroPython's stream protocol


class Hang(BaseException):
    """The chip would wait here for ever, and the watchdog would reset it. No Exception: nobody may catch it by the way."""


class Newlib:
    """errno numbers of the chip. EINPROGRESS, 119 there, is the interpreter's own: it makes `errno.X` a value when it compiles."""

    EBADF, ENFILE, ECONNRESET, ECONNABORTED, ETIMEDOUT, EHOSTUNREACH, ENOTCONN = 9, 23, 104, 113, 116, 118, 128


class Stack:
    """The chip's network, in place of the modules `socket` and `tls`.

    Args:
        peer: called with (socket, data) for what the other side received; it answers through say() and hang_up().

    Attributes:
        sockets: that hold a place in the table.
        made: every socket ever.
        asked: names and addresses that were looked up. dns: what a name's address is; None: DNS does not answer.
        connect_polls: looks until a connection is there. refuse: there is nobody.
        piece: bytes that a write takes at most.
        gone: the radio link is lost: writes succeed while the buffer has room, nothing arrives, nobody says so.
        fault: an exception that the next use of a connected socket raises; handshake: one that wrapping it in TLS raises.
        misuse: what nobody may do, in words: uses of a closed socket.
    """

    PROTOCOL_TLS_CLIENT, CERT_REQUIRED, SOCK_STREAM = 0, 2, 1

    def __init__(self, peer=None):
        self.peer = peer
        self.sockets, self.made, self.misuse = set(), [], []
        self.connect_polls, self.piece = 2, SEND_BUFFER
        self.asked, self.dns = [], "192.0.2.10"
        self.refuse = self.gone = False
        self.fault = self.handshake = None

    def socket(self, *_kind):
        if len(self.sockets) >= SOCKETS:
            raise OSError(Newlib.ENFILE)
        self.made.append(Socket(self))
        self.sockets.add(id(self.made[-1]))
        return self.made[-1]

    def getaddrinfo(self, host, port, *_kind):
        self.asked.append(host)
        if not host[0].isdigit():
            if self.dns is None:
                raise OSError(-202)   # EAI_FAIL of lwIP
            host = self.dns
        return [(2, 1, 0, "", (host, port))]

    def SSLContext(self, _protocol):  # noqa: N802
        return Plain(self)


class Plain:
    """In place of a TLS context: nothing is encrypted."""

    def __init__(self, stack):
        self._stack = stack

    def load_verify_locations(self, _ca):
        pass

    def load_cert_chain(self, _cert, _key):
        pass

    def wrap_socket(self, raw, **_options):
        if self._stack.handshake:
            raise self._stack.handshake
        return raw


class Socket(IOBase):
    """One socket."""

    def __init__(self, stack):
        self._stack = stack
        self._timeout_s = None   # None waits for ever, 0 not at all
        self._polls = -1         # until the connection is there; -1: not asked for
        self._unsent = 0         # bytes in the send buffer
        self._rx = b""
        self._peer_closed = self.closed = False

    # the other side's view

    def say(self, data):
        if not self._stack.gone:
            self._rx += data

    def hang_up(self):
        self._peer_closed = True

    # the chip's

    def setblocking(self, flag):
        self._timeout_s = None if flag else 0   # as settimeout(None): whatever timeout was set is forgotten

    def settimeout(self, timeout_s):
        self._timeout_s = timeout_s

    def connect(self, _address):
        self._open("connect")
        self._polls = self._stack.connect_polls
        if self._timeout_s == 0:
            raise OSError(EINPROGRESS, "")   # two: else CPython knows no errno
        if self._stack.refuse:
            raise OSError(Newlib.ECONNRESET)
        if self._stack.gone:
            raise Hang("connect")   # lwIP gives up after 19 s and more; nothing samples meanwhile
        self._polls = 0

    def read(self, n):
        """Up to n bytes, b"" at the end, None when there are none yet; a blocking one waits for all n."""
        self._open("read")
        self._use()
        whole = len(self._rx) >= n or self._peer_closed
        if self._timeout_s != 0 and not whole:
            if self._timeout_s is None:
                raise Hang("read")
            raise OSError(Newlib.ETIMEDOUT)
        if not self._rx and not self._peer_closed:
            return None
        data, self._rx = self._rx[:n], self._rx[n:]
        return data

    def write(self, data, n=None):
        """Bytes taken, or None when there is no room."""
        self._open("write")
        if self._polls > 0 and not self._stack.refuse:
            return None   # EINPROGRESS, which the port swallows
        self._use()
        data = bytes(data.encode() if isinstance(data, str) else data)
        data = data if n is None else data[:n]
        taken = data if self._timeout_s != 0 else data[:min(self._stack.piece, SEND_BUFFER - self._unsent)]
        if self._stack.gone:
            self._unsent += len(taken)
            if self._timeout_s is None and self._unsent > SEND_BUFFER:
                raise Hang("write")
        elif self._stack.peer and taken:
            self._stack.peer(self, taken)
        return len(taken) or None

    def ioctl(self, request, arg):
        if request == _CLOSE:
            self.close()
            return 0
        if request != _POLL:
            return -1
        if self.closed:
            self._stack.misuse.append("poll")
            return NVAL
        if self._polls < 0:
            return arg & WR | HUP   # a new socket
        if self._polls and not self._stack.gone:
            self._polls -= 1
        if self._polls:
            return 0
        if self._stack.refuse:
            return arg & (RD | WR)   # as if it were connected; HUP only for who asked for it
        ready = RD if self._rx or self._peer_closed else 0
        return arg & (ready | (WR if self._unsent < SEND_BUFFER else 0))

    def close(self):
        self.closed = True
        self._stack.sockets.discard(id(self))

    def _open(self, what):
        if self.closed:
            self._stack.misuse.append(what)
            raise OSError(Newlib.EBADF)

    def _use(self):
        if self._polls < 0:
            raise OSError(Newlib.ENOTCONN)
        if self._stack.refuse:
            raise OSError(Newlib.ENOTCONN)
        fault, self._stack.fault = self._stack.fault, None
        if fault:
            raise fault


class Poll:
    """select.poll on CPython, for one socket."""

    def register(self, sock, events):
        self._sock, self._events = sock, events

    def poll(self, _timeout_ms):
        ready = self._sock.ioctl(_POLL, self._events)
        return [(self._sock, ready)] if ready else []


class Select:
    """In place of the module `select` on CPython."""

    POLLOUT, POLLERR, POLLHUP = WR, ERR, HUP
    poll = Poll


class Streams:
    """In place of the module `asyncio` in board/net.py on CPython: StreamWriter as MicroPython's takes a socket."""

    sleep = staticmethod(asyncio.sleep)

    @staticmethod
    def StreamWriter(sock):  # noqa: N802
        return Stream(sock)


class Stream:
    """MicroPython's asyncio.Stream, as far as the firmware uses it."""

    def __init__(self, sock):
        self._sock = sock
        self._out = b""

    async def read(self, n):
        while True:
            await self._ready(RD)
            data = self._sock.read(n)
            if data is not None:
                return data

    def write(self, data):
        if not self._out:
            data = data[self._sock.write(data) or 0:]
        self._out += data

    async def drain(self):
        await asyncio.sleep(0)
        while self._out:
            await self._ready(WR)
            self._out = self._out[self._sock.write(self._out) or 0:]

    async def _ready(self, event):
        while not self._sock.ioctl(_POLL, event):
            await asyncio.sleep(0.001)


class Certificates:
    """The Files port, for what a TLS context is given, and the last good address."""

    def __init__(self):
        self.kept = {"ca": b"certificate", "cert": b"certificate", "key": b"key"}

    def read(self, path):
        return self.kept.get(path)

    def write_atomic(self, path, data):
        self.kept[path] = data


def net(stack):
    """A real board.net.Net on these sockets. It keeps them: nothing else in a test's process uses it."""
    if not MICROPYTHON:
        sys.modules.setdefault("tls", stack)
    from board import dial  # noqa: PLC0415  CPython has no module `tls`
    from board import net as module  # noqa: PLC0415
    if not MICROPYTHON:
        sys.modules.pop("tls")
        dial.select, module.asyncio = Select, Streams
    dial.socket = dial.tls = stack
    return module.Net(Certificates(), "", ca_path="ca", cert_path="cert", key_path="key")
