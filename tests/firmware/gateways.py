"""Addresses at which a device finds its servers: TCP relays that count, and can be cut."""

import contextlib
import socket
import threading


class Gateway:
    """One address of the loopback net; `targets`: the port there, and the one on 127.0.0.1 that it leads to."""

    def __init__(self, address, targets):
        self.address, self.targets = address, targets
        self._accepted = dict.fromkeys(targets, 0)
        self._pairs = []   # (port, near, far) of connections that live
        self._lock = threading.Lock()
        self._listeners = {port: socket.create_server((address, port)) for port in targets}
        self._threads = [threading.Thread(target=self._accept, args=(port,)) for port in targets]
        for thread in self._threads:
            thread.start()

    def count(self, port):
        """Connections ever."""
        return self._accepted[port]

    def open(self, port):
        """Connections now."""
        with self._lock:
            return sum(pair[0] == port for pair in self._pairs)

    def cut(self):
        """End every connection."""
        with self._lock:
            for _, *ends in self._pairs:
                for end in ends:
                    _shut(end)

    def close(self):
        for listener in self._listeners.values():
            _shut(listener)
            listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def _accept(self, port):
        while True:
            try:
                near, _ = self._listeners[port].accept()
            except OSError:
                return
            self._accepted[port] += 1
            thread = threading.Thread(target=self._relay, args=(port, near))
            self._threads.append(thread)
            thread.start()

    def _relay(self, port, near):
        try:
            far = socket.create_connection(("127.0.0.1", self.targets[port]))
        except OSError:
            near.close()
            return
        with near, far:
            pair = port, near, far
            with self._lock:
                self._pairs.append(pair)
            back = threading.Thread(target=_pass, args=(far, near))
            back.start()
            _pass(near, far)
            back.join()
            with self._lock:
                self._pairs.remove(pair)


def _pass(source, sink):
    """Until either side ends; then both do."""
    with contextlib.suppress(OSError):
        while data := source.recv(16384):
            sink.sendall(data)
    _shut(source)
    _shut(sink)


def _shut(sock):
    with contextlib.suppress(OSError):   # it has ended already
        sock.shutdown(socket.SHUT_RDWR)
