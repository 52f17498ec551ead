"""The update server as an update sees it: its requests, and that no failure of theirs is a verdict on a release."""

from node.compat import const
from node.errors import NetworkError, PeerError
from node.wire.checkin import MAX_RESPONSE_BYTES
from node.wire.limits import MANIFEST, MAX_BYTES, ROOT

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.http import HttpClient, Response
    from node.hints import Callable

MAX_RETRY_AFTER_S = const(86400)   # a server may send us away for a day, not for ever


class Server:
    """The device's side of the update server's interface; the only seam through which an update reaches the network.

    Every failure that is no verdict on a release is a NetworkError: a refused certificate, a proxy's page, an overloaded
    server. None of them may use up a release's attempts.

    Args:
        http: to the update server, mutual TLS.
        alive: called at each request and while a download goes on.

    Attributes:
        retry_after_s: how long the last answer asked us to stay away; 0 when it did not.
        alive: for what takes its time between requests.
    """

    def __init__(self, http: "HttpClient", alive: "Callable[[], None]") -> None:
        self._http = http
        self.alive = alive
        self.retry_after_s = 0

    async def checkin(self, body: bytes) -> bytes:
        return _content(await self._ask("POST", "/v1/checkin", body, MAX_RESPONSE_BYTES))

    async def root(self, version: int) -> bytes | None:
        """The envelope of one root version; None when the server has none."""
        answer = await self._ask("GET", "/v1/roots/%d" % version, b"", MAX_BYTES[ROOT])
        return None if answer.status == 404 else _content(answer)

    async def manifest(self, sha: str) -> bytes:
        return _content(await self._ask("GET", "/v1/manifests/" + sha, b"", MAX_BYTES[MANIFEST]))

    async def artifact(self, sha: str, offset: int, sink: "Callable[[bytes], None]", cap: int) -> None:
        """Give the artifact's bytes from `offset` on to `sink`, `cap` at most. What `sink` raises goes through."""
        def take(data: bytes) -> None:
            self.alive()
            sink(data)

        self.retry_after_s = 0
        try:
            answer = await self._http.download("/v1/artifacts/" + sha, offset, take, cap)
        except (OSError, ValueError) as error:
            raise _no_verdict(error)
        except PeerError as error:
            if not error.code.startswith("http."):
                raise   # sink's verdict
            raise _no_verdict(error)
        self._note(answer)
        _content(answer, (200, 206))

    async def _ask(self, method: str, path: str, body: bytes, cap: int) -> "Response":
        self.alive()   # following the roots of years takes minutes
        self.retry_after_s = 0
        try:
            answer: Response = await self._http.request(method, path, body, cap=cap)
        except (OSError, ValueError, PeerError) as error:
            raise _no_verdict(error)
        self._note(answer)
        return answer

    def _note(self, answer: "Response") -> None:
        text = answer.headers.get("retry-after", "")
        self.retry_after_s = min(int(text), MAX_RETRY_AFTER_S) if text.isdigit() else 0


def _no_verdict(error: Exception) -> NetworkError:
    return NetworkError("server.unreached", "%s %s" % (type(error).__name__, error))


def _content(answer: "Response", good: tuple[int, ...] = (200,)) -> bytes:
    if answer.status not in good:
        raise NetworkError("server.status", "got %d" % answer.status)
    return answer.body
