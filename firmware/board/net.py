"""The Net port on MicroPython's sockets and tls, the same on every board with a network. dial.py opens the connections."""

import asyncio

from node.loading import Loaded


class TlsStream:
    """The Stream port over asyncio's stream.

    Args:
        address: of the peer. route: as node.agent.route has it; the address is good once the peer has said something.
    """

    def __init__(self, secured, address, route):
        self._secured = secured
        self._address = address
        self._route = route
        self._stream = asyncio.StreamWriter(secured)
        self.read = self._first
        self.write = self._stream.write
        self.drain = self._stream.drain

    async def _first(self, n):
        data = await self._stream.read(n)
        if data:   # the handshake is over: the peer's certificate names it
            self._route[0] = self._address
            self.read = self._stream.read
        return data

    def moved(self):
        return self._route[0] != self._address

    def close(self):
        self._secured.close()


class Net:
    """Outgoing TLS connections.

    Args:
        files: for the certificates, as DER, and the last good address.
        address: of every server, connected to in place of asking for its name; "" if DNS knows the names.
        ask: gives the address of a name, in place of the chip's resolver; may block.
    """

    def __init__(self, files, address, *, ca_path, cert_path, key_path, ask=None):
        self._files = files
        self._address = address
        self._ask = ask
        self._paths = ca_path, cert_path, key_path
        self._contexts = {}   # for dial.context
        self._route = [None, None, 0]   # for node.agent.route

    async def open(self, host, port, mutual):
        with Loaded() as loaded:
            return await self._open(loaded, host, port, mutual)

    async def _open(self, loaded, host, port, mutual):
        from board import dial
        from node.agent import route
        loaded.complete()
        context = dial.context(self._contexts, self._files, self._paths, mutual)
        address = self._address or route.find(self._route, self._files, self._ask or dial.ask, host)
        return TlsStream(await dial.open(host, address, port, context), address, self._route)
