"""A cable with a meter: a TCP proxy that counts what a board's connections cost, TLS records and TCP segments told apart."""

import select
import socket
import struct
import threading

HEADER_BYTES = 5       # of a TLS record
TCP_INFO_BYTES = 232
SEGS_OUT, SEGS_IN = 136, 140   # offsets in struct tcp_info (linux/tcp.h): tcpi_segs_out, tcpi_segs_in


class Connection:
    """Counts of one connection, [up, down]: bytes, TLS records as (type, size), and TCP segments both ways together."""

    def __init__(self):
        self.bytes, self.records, self.segments = [0, 0], [[], []], 0
        self.open, self.ended = True, False
        self._rest = [b"", b""]

    def take(self, way, data):
        self.bytes[way] += len(data)
        rest = self._rest[way] + data
        while len(rest) >= HEADER_BYTES and len(rest) >= HEADER_BYTES + (size := int.from_bytes(rest[3:5], "big")):
            self.records[way].append((rest[0], size))
            rest = rest[HEADER_BYTES + size:]
        self._rest[way] = rest


class Meter:
    """Listens on `port`, passes everything on to `target`, remembers every connection."""

    def __init__(self, target):
        self.connections = []
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._pass_on, args=(near,))
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, near):
        connection = Connection()
        self.connections.append(connection)
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while connection.open:
                    for one in select.select([near, far], [], [], 0.2)[0]:
                        data = one.recv(16384)
                        (far if one is near else near).sendall(data)
                        connection.take(one is far, data)
                        if not data:
                            connection.open, connection.ended = False, True
                    info = near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
                    connection.segments = sum(struct.unpack_from("=2I", info, SEGS_OUT))
            except OSError:
                connection.open = False

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.open = False
        for thread in self._threads:
            thread.join(5)
