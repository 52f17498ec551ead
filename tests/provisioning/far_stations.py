"""Stations that are not beside the ledger: their folders as a partner has them, and a wire to the server that can be cut."""

import datetime as dt
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from host.ecdsa import point, sign_digest
from node.wire import identity, signed
from provisioning import ca, pki
from provisioning.ledger import Ledger
from provisioning.line.https_books import HttpsBooks
from provisioning.pki import FleetPki

APPLICATION_DATA = 23   # type of a TLS record; in TLS 1.2 the handshake has another
DAY = dt.timedelta(days=1)


def certificate(
    ledger: Ledger, fleet: FleetPki, key: ec.EllipticCurvePrivateKey, name: str = "st.bench-1", *,
    start: dt.datetime | None = None, days: int = 90,
) -> x509.Certificate:
    """As `tenfold ca issue` gives it: in the ledger first."""
    issuing = pki.load_authority(fleet.cert("issuing"), fleet.key("issuing"))
    start = start or dt.datetime.now(dt.UTC)
    made = ca.issue_client(issuing, key.public_key(), name, start, days=days)
    ledger.record_named(ca.serial_hex(made), name, "client", int(made.not_valid_after_utc.timestamp()), int(start.timestamp()),
                        who="anna", why="a partner's bench")
    return made


def folder(place: Path, fleet: FleetPki, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate | None) -> Path:
    """A station's folder: its key, and what the plant sent."""
    place.mkdir(exist_ok=True)
    (place / "station.key").unlink(missing_ok=True)
    pki.write_key(place / "station.key", key)
    pki.write_pem(place / "root.pem", pki.load_certificates(fleet.cert("root"))[0])
    if certificate is not None:
        pki.write_pem(place / "station.pem", certificate)
    return place


def unproved(key: ec.EllipticCurvePrivateKey, lot: str, device: str, public: str) -> bytes:
    """What only a thief's own program makes: a birth record of a key that nobody has proved to hold."""
    payload = identity.birth_payload(device, public, "hall", lot, "bench-1", 1, "11" * identity.SIGNATURE_BYTES)
    signature = sign_digest(key, signed.signing_digest(signed.BIRTH, payload))
    return signed.join(signed.BIRTH, [(signed.key_id(point(key.public_key())), signature)], payload)


@contextmanager
def books_of(place: Path, port: int) -> Iterator[HttpsBooks]:
    """The ledger as a station sees it that has this folder."""
    made = HttpsBooks.connect(f"https://localhost:{port}", place / "root.pem", place / "station.pem", place / "station.key")
    try:
        yield made
    finally:
        made.close()


class Wire:
    """A wire to a server; with `cut` set, a connection is cut in the moment when something is said over TLS 1.2.

    Attributes:
        cut: None; "request": before a request reaches the server; "answer": after it was worked on, before its answer is back.
        cuts: connections that were.
    """

    def __init__(self, port: int) -> None:
        self._server, self.cut, self.cuts = port, "", 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._server))
                for thread in (threading.Thread(target=self._carry, args=(near, far, "request")),
                               threading.Thread(target=self._carry, args=(far, near, "answer"))):
                    self._threads.append(thread)
                    thread.start()

    def _carry(self, source: socket.socket, sink: socket.socket, what: str) -> None:
        with suppress(OSError, struct.error), source.makefile("rb") as records:
            while head := records.read(5):
                kind, _, length = struct.unpack(">BHH", head)
                if kind == APPLICATION_DATA and what == self.cut:
                    self.cuts += 1
                    break
                sink.sendall(head + records.read(length))
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    made = Wire(port)
    try:
        yield made
    finally:
        made.close()
