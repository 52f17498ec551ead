"""The Net port on MicroPython's sockets and tls, the same on every board with a network. dial.py opens the connections."""

import asyncio
import socket

from node.loading import Loaded


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
        self._paths = ca_path, cert_path, key_path
        self._contexts = {}   # for dial.context

    async def open(self, host, port, mutual):
        with Loaded() as loaded:
            return await self._open(loaded, host, port, mutual)

    async def _open(self, loaded, host, port, mutual):
        from board import dial
        loaded.complete()
        context = dial.context(self._contexts, self._files, self._paths, mutual)
        return TlsStream(await dial.open(host, self._resolve(host, port), context))


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
