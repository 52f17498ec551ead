"""The Net port on MicroPython's sockets and tls, the same on every board with a network.

asyncio.open_connection leaks the socket when it is cancelled and its connect has no error of its own; so the socket is opened
here. The peer's chain and name are always verified (tls.SSLContext, not ssl.SSLContext, which verifies nothing).
"""

import asyncio
import errno
import gc
import hashlib
import select
import socket

import tls

CONNECT_POLL_MS = 20   # a connection takes longer than this on any radio


class TlsStream:
    """The Stream port over asyncio's stream."""

    def __init__(self, secured):
        self._secured = secured
        self._stream = asyncio.StreamWriter(secured)
        self.read = self._stream.read
        self.write = self._stream.write
        self.drain = self._stream.drain

    def close(self):
        self._secured.close()


class Net:
    """Outgoing TLS connections.

    Args:
        files: for the certificates, as DER.
        resolve: gives the socket address of (host, port); may block.
    """

    def __init__(self, files, resolve, *, ca_path, cert_path, key_path):
        self._files = files
        self._resolve = resolve
        self._ca_path = ca_path
        self._cert_path = cert_path
        self._key_path = key_path

        self._contexts = {}   # hash of our certificate or None -> context; a renewed certificate takes a new one

    async def open(self, host, port, mutual):
        gc.collect()   # TLS takes buffers of 17 KB and 4 KB in one piece each
        context = self._context(self._files.read(self._cert_path) if mutual else None)
        raw = socket.socket()
        try:
            raw.setblocking(False)
            await _connect(raw, self._resolve(host, port))
            return TlsStream(context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False))
        except BaseException:   # a cancelled connection too must not keep its socket
            raw.close()
            raise

    def _context(self, cert):
        name = cert and hashlib.sha256(cert).digest()
        if name not in self._contexts:
            context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
            context.verify_mode = tls.CERT_REQUIRED
            context.load_verify_locations(self._files.read(self._ca_path) or b"")
            if cert is not None:
                context.load_cert_chain(cert, self._files.read(self._key_path) or b"")
            self._contexts.clear()   # one at a time: each holds its keys in memory
            self._contexts[name] = context
        return self._contexts[name]


async def _connect(raw, address):
    """Wait for a non-blocking connect; the caller holds the deadline."""
    try:
        raw.connect(address)
    except OSError as error:
        if error.errno != errno.EINPROGRESS:
            raise
    poll = select.poll()
    poll.register(raw, select.POLLOUT)
    while True:
        events = poll.poll(0)
        if events:
            if events[0][1] & (select.POLLERR | select.POLLHUP):
                raise OSError(errno.ECONNREFUSED)
            return
        await asyncio.sleep(CONNECT_POLL_MS / 1000)


class SystemResolver:
    """Addresses from the system's resolver, the last good one when it fails.

    Args:
        address: of every server, asked for in place of its name; "" if DNS knows the names.
    """

    def __init__(self, address=""):
        self._address = address
        self._last = {}

    def __call__(self, host, port):
        host = self._address or host
        try:
            self._last[host, port] = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0][-1]
        except OSError:
            if (host, port) not in self._last:
                raise
        return self._last[host, port]
