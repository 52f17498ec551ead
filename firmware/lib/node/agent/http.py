"""A small HTTP/1.1 client: one request a connection, Content-Length only, caps and deadlines on everything.

Knows nothing of what is asked. No redirects, chunked bodies, cookies or keep-alive: our servers do not need them and
each is a way for a peer to make a device wait or allocate.
"""

import asyncio

from node.errors import NetworkError, PeerError

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.hints import Any, Awaitable, Callable
    from node.ports import Net, Stream

MAX_HEAD_BYTES = 2048   # status line and headers; ours send about 300
CHUNK_BYTES = 512       # a read during a body: what a download holds in RAM, and in one piece
TIMEOUT_S = 20          # a whole small exchange, or one chunk of a download; a TLS handshake on ESP32 is 1-2 s


class Response:
    """Status, headers (names in lower case) and body of one answer."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class HttpClient:
    """Requests to one server; `mutual` as for ports.Net.open."""

    def __init__(self, net: "Net", host: str, port: int, mutual: bool, timeout_s: float = TIMEOUT_S) -> None:
        self._net = net
        self._host = host
        self._port = port
        self._mutual = mutual
        self._timeout_s = timeout_s

    async def request(self, method: str, path: str, body: bytes = b"", *, content_type: str = "application/json",
                      headers: tuple[tuple[str, str], ...] = (), cap: int = 8192) -> Response:
        """One exchange whose answer is held in memory.

        Args:
            cap: the largest answer accepted, bytes.

        Raises:
            NetworkError: no connection, `http.timeout`, `http.short`. PeerError: malformed or too long an answer.
        """
        message = self._head(method, path, body, content_type, headers) + body
        answer: Response = await _deadline(self._exchange(message, cap), self._timeout_s)
        return answer

    async def download(self, path: str, offset: int, sink: "Callable[[bytes], None]", cap: int) -> Response:
        """GET a body from `offset` on, giving each piece to `sink` in order.

        Each piece has a deadline of its own. When this raises, what the sink took stands: ask again from there. An answer
        other than 200 or 206 gives nothing to the sink.

        Args:
            cap: the largest number of bytes accepted from `offset` on.

        Raises:
            PeerError: `http.range` when the server did not start at `offset`; others as for request().
        """
        ranges = (("Range", "bytes=%d-" % offset),) if offset else ()
        stream = None
        try:
            stream = await _deadline(self._net.open(self._host, self._port, self._mutual), self._timeout_s)
            stream.write(self._head("GET", path, b"", "", ranges))
            await _deadline(stream.drain(), self._timeout_s)
            status, headers, rest = await _deadline(_read_head(stream), self._timeout_s)
            if status in (200, 206):
                _check_range(status, headers, offset)
                await self._stream_body(stream, _length(headers, cap), rest, sink)
            return Response(status, headers, b"")
        finally:
            if stream is not None:
                stream.close()

    async def _stream_body(self, stream: "Stream", length: int, rest: bytes, sink: "Callable[[bytes], None]") -> None:
        if len(rest) > length:
            raise PeerError("http.length", "got more than content-length %d" % length)
        if rest:
            sink(rest)
        left = length - len(rest)
        while left:
            data = await _deadline(stream.read(min(left, CHUNK_BYTES)), self._timeout_s)
            if not data:
                raise NetworkError("http.short", "closed with %d bytes to come" % left)
            left -= len(data)
            sink(data)

    async def _exchange(self, message: bytes, cap: int) -> Response:
        stream = await self._net.open(self._host, self._port, self._mutual)
        try:
            stream.write(message)
            await stream.drain()
            status, headers, rest = await _read_head(stream)
            length = 0 if status in (204, 304) else _length(headers, cap)
            parts = [rest]
            left = length - len(rest)
            while left > 0:
                data = await stream.read(min(left, CHUNK_BYTES))
                if not data:
                    raise NetworkError("http.short", "closed with %d bytes to come" % left)
                left -= len(data)
                parts.append(data)
            if left < 0:
                raise PeerError("http.length", "got more than content-length %d" % length)
            return Response(status, headers, b"".join(parts))
        finally:
            stream.close()

    def _head(self, method: str, path: str, body: bytes, content_type: str, extra: tuple[tuple[str, str], ...]) -> bytes:
        lines = ["%s %s HTTP/1.1" % (method, path), "Host: %s:%d" % (self._host, self._port), "Connection: close"]
        if body:
            lines.append("Content-Type: " + content_type)
        if body or method != "GET":
            lines.append("Content-Length: %d" % len(body))
        for name, value in extra:
            lines.append("%s: %s" % (name, value))
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _deadline(work: "Awaitable[Any]", timeout_s: float) -> "Any":
    try:
        return await asyncio.wait_for(work, timeout_s)
    except asyncio.TimeoutError:
        raise NetworkError("http.timeout", "no answer in %d s" % timeout_s)


async def _read_head(stream: "Stream") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and what of the body came with them. The caller holds the deadline."""
    head = b""
    while True:
        end = head.find(b"\r\n\r\n")
        if end >= 0:
            return parse_head(head[:end]) + (head[end + 4:],)
        if len(head) > MAX_HEAD_BYTES:
            raise PeerError("http.head", "more than %d bytes of headers" % MAX_HEAD_BYTES)
        data = await stream.read(512)
        if not data:
            raise NetworkError("http.short", "closed within the headers")
        head += data


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers from the bytes before the blank line.

    Raises:
        PeerError: `http.head`.
    """
    try:
        lines = head.decode().split("\r\n")
        version, status = lines[0].split(" ")[:2]
        if not version.startswith("HTTP/1.") or len(status) != 3:
            raise ValueError
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.strip().lower()] = value.strip()
        return int(status), headers
    except (ValueError, IndexError):   # UnicodeError is a ValueError
        raise PeerError("http.head", "not an HTTP/1.x answer")


def _length(headers: dict[str, str], cap: int) -> int:
    """The body's length, which the server must state and which must not pass the cap."""
    text = headers.get("content-length", "")
    if not text.isdigit() or "transfer-encoding" in headers:
        raise PeerError("http.length", "no content-length")
    length = int(text)
    if length > cap:
        raise PeerError("http.length", "got %d, expected at most %d" % (length, cap))
    return length


def _check_range(status: int, headers: dict[str, str], offset: int) -> None:
    """A body must start where it was asked to; a server may ignore Range only when we asked from 0."""
    if status == 200 and not offset:
        return
    got = headers.get("content-range", "")
    if status != 206 or not got.startswith("bytes %d-" % offset):
        raise PeerError("http.range", "got %d %s, expected bytes from %d" % (status, got, offset))
