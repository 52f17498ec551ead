"""Who has the update server's TLS key: passes on what device and real server say, or says what an attacker likes.

Speaks HTTP byte by byte, so that it can lie about lengths, never end, or trickle. What it does with a request is its `rule`.
"""

import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from host import tls
from node.wire import checkin, direction, signed
from ota.release import keys, sign
from ota.release.verify import manifest_name
from provisioning import pki
from tests.ota.support import Keys, as_device

LINK_S = 10   # a connection that neither side uses ends; a hang, not a slow machine


@dataclass
class Request:
    """What a device asked."""

    method: str
    path: str
    body: bytes
    offset: int   # of its Range


@dataclass
class Answer:
    """What it is told. `body` may be endless; `headers` replaces the honest ones if it is given."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: dict[str, str] | None = None


Rule = Callable[[Request], Answer]


class Middle:
    """A TLS server under the update server's name: a thread a connection.

    Attributes:
        rule: gives the answer to each request; may block. asked: every request so far.
    """

    def __init__(self, certificates: pki.FleetPki) -> None:
        self.rule: Rule = lambda _request: Answer(status=503)
        self.asked: list[Request] = []
        self._context = tls.server_context(tls.TlsSettings(
            cert_file=certificates.cert("svc.ota"), key_file=certificates.key("svc.ota"), ca_file=certificates.ca_file))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> "Middle":
        self._threads[0].start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)   # ends accept()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def paths(self, start: str) -> list[str]:
        """What was asked under a path."""
        return [request.path for request in self.asked if request.path.startswith(start)]

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            link.settimeout(LINK_S)
            self._threads.append(threading.Thread(target=self._serve, args=(link,)))
            self._threads[-1].start()

    def _serve(self, link: socket.socket) -> None:
        with link:
            try:
                with self._context.wrap_socket(link, server_side=True) as secured:
                    self._answer(secured)
            except OSError:   # the device has had enough
                pass

    def _answer(self, link: ssl.SSLSocket) -> None:
        got = b""
        while b"\r\n\r\n" not in got:
            got += _some(link)
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        said = dict(line.lower().split(": ", 1) for line in lines[1:])
        while len(body) < int(said.get("content-length", 0)):
            body += _some(link)
        request = Request(method, path, body, int(said.get("range", "bytes=0-")[len("bytes="):-1]))
        self.asked.append(request)
        told = self.rule(request)
        headers = {"Content-Length": str(len(told.body))} if isinstance(told.body, bytes) else {}
        if told.status == 206:
            headers["Content-Range"] = f"bytes {request.offset}-/*"
        lines = [f"{name}: {value}" for name, value in (headers if told.headers is None else told.headers).items()]
        link.sendall("\r\n".join([f"HTTP/1.1 {told.status} -", *lines, "", ""]).encode())
        for piece in [told.body] if isinstance(told.body, bytes) else told.body:
            link.sendall(piece)


def _some(link: ssl.SSLSocket) -> bytes:
    got = link.recv(4096)
    if not got:
        raise ConnectionResetError
    return got


class Upstream:
    """A rule: passes everything on to the real server, as the device whose certificate it holds, and keeps what it answered.

    Attributes:
        change: what becomes of an answer on its way back.
    """

    def __init__(self, port: int, certificates: pki.FleetPki) -> None:
        self._device = lambda: as_device(port, certificates)
        self.change: Callable[[Request, Answer], Answer] = lambda _request, answer: answer

    def __call__(self, request: Request) -> Answer:
        with self._device() as device:
            headers = {"range": f"bytes={request.offset}-"} if request.offset else {}
            got = device.request(request.method, request.path, content=request.body, headers=headers)
        kept = ("content-range", "retry-after", "content-length")
        return self.change(request, Answer(got.content, got.status_code, {n: v for n, v in got.headers.items() if n in kept}))


@dataclass
class Thief:
    """A rule: a server in an attacker's hand, archive, TLS key and direction key included. It can say anything but sign releases.

    Attributes:
        direct_to: manifest's name to direct to, or None. forged: values that replace a direction's right ones.
        direction_key: signs directions. manifests, artifacts: envelopes and content, by name. roots: by version.
        answers: by path, instead of everything else.
    """

    signing: Keys
    direct_to: str | None = None
    forged: dict[str, Any] = field(default_factory=dict)
    direction_key: keys.PrivateKey | None = None
    manifests: dict[str, bytes] = field(default_factory=dict)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    roots: dict[int, bytes] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    now_s: int = 1_800_000_000
    period_s: int = 60
    said: list[bytes] = field(default_factory=list)   # directions
    heard: list[dict[str, Any]] = field(default_factory=list)   # check-ins

    def __call__(self, request: Request) -> Answer:
        for start, answer in self.answers.items():
            if request.path.startswith(start):
                return answer
        if request.path == "/v1/checkin":
            return Answer(self._checkin(request.body))
        kind, _, name = request.path[len("/v1/"):].partition("/")
        stored: dict[str, dict[Any, bytes]] = {"roots": self.roots, "manifests": self.manifests, "artifacts": self.artifacts}
        found = stored[kind].get(int(name) if kind == "roots" else name)
        if found is None:
            return Answer(status=404)
        return Answer(found[request.offset:], 206 if request.offset else 200)

    def hold(self, raw: bytes, artifact: bytes) -> str:
        """Keep a release, genuine or not; its manifest's name."""
        self.manifests[manifest_name(raw)] = raw
        self.artifacts[hashlib.sha256(artifact).hexdigest()] = artifact
        return manifest_name(raw)

    def direction(self, asked: dict[str, Any]) -> bytes:
        """A direction that answers a parsed check-in."""
        values: dict[str, Any] = {
            "device": asked["device"], "nonce": asked["nonce"], "seq": asked["seq"] + 1, "manifest": self.direct_to,
            "issued": self.now_s, "expires": self.now_s + 3600}
        return sign.envelope(
            signed.DIRECTION, direction.build(**(values | self.forged)), [self.direction_key or self.signing.direction_key])

    def _checkin(self, body: bytes) -> bytes:
        asked = checkin.parse_request(body)
        self.heard.append(asked)
        told = None
        if self.direct_to is not None and not asked["trial"]:
            told = self.direction(asked)
            self.said.append(told)
        return checkin.encode_response({"now_s": self.now_s, "period_s": self.period_s, "direction": told, "reason": ""})
