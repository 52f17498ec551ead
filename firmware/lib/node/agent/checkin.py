"""The check-in: once per scattered period the device tells the update server what runs, and hears what should.

One exchange a cycle, over mutual TLS, also while the broker is down. Decides when the next cycle is due; what to do with a
direction is update.py's. An idle check-in verifies nothing and writes nothing.
"""

from node.agent.scatter import backoff_ms, next_due_ms, phase_ms, uniform
from node.compat import const, hexstr
from node.errors import FormatError, NetworkError, PeerError
from node.wire import checkin
from node.wire.batch import QUALITY_SERVER
from node.wire.limits import MANIFEST, MAX_BYTES, NONCE_BYTES, ROOT

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.clock import DeviceClock
    from node.agent.http import HttpClient, Response
    from node.agent.update import Update
    from node.hints import Any, Callable
    from node.ports import Random

RETRY_BASE_MS = const(2000)   # first wait after a failure is 0..2 s, doubling up to the period
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
    """

    def __init__(self, http: "HttpClient", alive: "Callable[[], None]") -> None:
        self._http = http
        self._alive = alive
        self.retry_after_s = 0

    async def checkin(self, body: bytes) -> bytes:
        return _content(await self._ask("POST", "/v1/checkin", body, checkin.MAX_RESPONSE_BYTES))

    async def root(self, version: int) -> bytes | None:
        """The envelope of one root version; None when the server has none."""
        answer = await self._ask("GET", "/v1/roots/%d" % version, b"", MAX_BYTES[ROOT])
        return None if answer.status == 404 else _content(answer)

    async def manifest(self, sha: str) -> bytes:
        return _content(await self._ask("GET", "/v1/manifests/" + sha, b"", MAX_BYTES[MANIFEST]))

    async def artifact(self, sha: str, offset: int, sink: "Callable[[bytes], None]", cap: int) -> None:
        """Give the artifact's bytes from `offset` on to `sink`, `cap` at most. What `sink` raises goes through."""
        def take(data: bytes) -> None:
            self._alive()
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
        self._alive()   # following the roots of years takes minutes
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


class CheckIn:
    """One device's check-ins. When the next is due is its answer; waiting for it is the caller's.

    Args:
        metrics: gives the metrics by name.
        boot: number of this boot.
        period_s: until the server says another.
        trial_ms: a release on trial must be heard well within it.
        heard: called when the server has answered. log: (event, detail), rarely.
        kept: what keep() of the CheckIn before in this boot said.
    """

    def __init__(self, server: Server, update: "Update", clock: "DeviceClock", chance: "Random", *, device: str, boot: int,
                 period_s: int, trial_ms: int, metrics: "Callable[[], dict[str, int]]", heard: "Callable[[], None]",
                 log: "Callable[[str, str], None]", kept: tuple[int, int] | None = None) -> None:
        self._server, self._update, self._clock, self._chance = server, update, clock, chance
        self._device, self._boot, self._trial_ms = device, boot, trial_ms
        self._period_ms = period_s * 1000
        self._metrics, self._heard, self._log = metrics, heard, log
        self._attempts = 0   # in a row that failed, or that brought a direction
        if kept is not None:
            self._period_ms, self._attempts = kept

    def first_wait_ms(self) -> int:
        """Spread over the whole period, since a whole plant may have come back at once; over an eighth of a trial."""
        if self._update.facts()["trial"]:
            return uniform(self._chance.urandom(4), min(self._period_ms, self._trial_ms // 8))
        return self._due_in_ms()

    async def cycle(self) -> int:
        """One check-in and what follows from it.

        Returns:
            Milliseconds until the next.
        """
        nonce = hexstr(self._chance.urandom(NONCE_BYTES))
        request: dict[str, Any] = self._update.facts()
        request.update({"boot": self._boot, "nonce": nonce, "metrics": self._metrics()})
        try:
            answer = checkin.parse_response(await self._server.checkin(checkin.encode_request(request)))
        except (NetworkError, FormatError) as error:
            self._log("checkin", str(error))
            return self._retry_in_ms()
        self._clock.learn(answer["now_s"] * 1000, QUALITY_SERVER)
        self._period_ms = answer["period_s"] * 1000
        self._heard()
        self._update.checked_in()
        if answer["direction"] is None:
            self._attempts = 0
            return self._due_in_ms()
        await self._update.offered(answer["direction"], nonce)
        return self._retry_in_ms()   # still here: it failed, which is to be told, or it was interrupted

    def keep(self) -> tuple[int, int]:
        """What the next CheckIn of this boot must know, as its `kept`: this one may leave memory."""
        return self._period_ms, self._attempts

    def _due_in_ms(self) -> int:
        """To this device's own place in the period, a little moved each time."""
        now = self._clock.ticks_ms()
        jitter_ms = uniform(self._chance.urandom(4), self._period_ms // 10)
        return next_due_ms(now, self._period_ms, phase_ms(self._device, self._period_ms), jitter_ms) - now

    def _retry_in_ms(self) -> int:
        self._attempts += 1
        wait_ms = backoff_ms(self._attempts, RETRY_BASE_MS, self._period_ms, self._chance.urandom(4))
        return self._server.retry_after_s * 1000 + wait_ms   # after what was asked, still scattered


def _no_verdict(error: Exception) -> NetworkError:
    return NetworkError("server.unreached", "%s %s" % (type(error).__name__, error))


def _content(answer: "Response", good: tuple[int, ...] = (200,)) -> bytes:
    if answer.status not in good:
        raise NetworkError("server.status", "got %d" % answer.status)
    return answer.body
