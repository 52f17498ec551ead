"""Enrolment: the birth is announced, a certificate asked for by EST (RFC 7030), and renewed before it ends.

Decides when to ask and how long to wait after a refusal. Makes no connections itself; HttpClient does. What is computed with
the key is credentials.py's, loaded only for as long as it takes.
"""

import asyncio

from node.agent.dates import http_date_s
from node.agent.paths import CERT_PATH
from node.agent.scatter import backoff_ms, uniform
from node.errors import NodeError
from node.loading import Loaded
from node.wire.batch import QUALITY_SERVER

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.clock import DeviceClock
    from node.agent.http import HttpClient, Response
    from node.hints import Any, Callable, Coroutine
    from node.ports import Files, Random

EST = "/.well-known/est/"      # RFC 7030 3.2.2
MAX_ANSWER_BYTES = 6144        # base64 of a certs-only message with leaf and issuing CA: about 1.6 KB
RETRY_BASE_MS = 2000           # first wait after a refusal is 0..2 s
RETRY_CAP_MS = 60_000          # a board fresh from the line enrols within a minute of its birth record
MAX_RETRY_AFTER_S = 86_400     # a server may send us away for a day, not for ever
RENEW_CHECK_MS = 3_600_000     # a certificate is looked at this often; a renewal that was refused waits no longer
RENEW_BASE_MS = 60_000         # first wait after a renewal was refused: months are left, and each attempt has the uplink step aside
ENDED_CAP_MS = 600_000         # a certificate that has ended opens nothing any more: the device asks more often
LOOK_MS = 60_000               # until the time of day is known
SLICE_MS = 5000                # at most between two signs of life while waiting
UNTOLD_MS = 21_600_000         # without the time of day (6 h): ask anyway, the answer's Date tells it


class Enrolment:
    """Gets and renews the operational certificate.

    Args:
        first: HTTP to the EST server without our certificate. renewing: with it.
    """

    def __init__(self, device: str, files: "Files", clock: "DeviceClock", chance: "Random", *, first: "HttpClient",
                 renewing: "HttpClient") -> None:
        self._device = device
        self._files = files
        self._clock = clock
        self._chance = chance
        self._first = first
        self._renewing = renewing
        self.failures = 0
        self._base_ms, self._cap_ms = RETRY_BASE_MS, RETRY_CAP_MS

    async def obtain(self, tell: "Callable[[], None]", fault: "Callable[[Exception], object]", alive: "Callable[[], None]") -> None:
        """Get a certificate for our key, however often that takes.

        Args:
            tell: called once when there is none: announces the birth.
            fault: counts a failed attempt. alive: called at least every SLICE_MS while waiting.
        """
        certified = self.certified()
        if not certified:
            tell()
        while not certified:
            await self._wait(await self._try(self.enrol, fault), alive)
            certified = self.certified()

    async def refresh(self, state: "dict[str, int]", fault: "Callable[[Exception], object]") -> int:
        """Renew the certificate if it is due; how long to wait before looking again, ms.

        Args:
            state: `failures` in a row, and whether this boot has `waited`; the caller keeps it, for this object comes and goes.
        """
        self.failures = state.get("failures", 0)
        try:
            return await self._try(lambda: self.renew(state), fault)
        finally:
            state["failures"] = self.failures

    async def _try(self, attempt: "Callable[[], Coroutine[Any, Any, int]]", fault: "Callable[[Exception], object]") -> int:
        try:
            return await attempt()
        except (OSError, ValueError, NodeError) as error:   # no network, a certificate that does not hold, nonsense
            fault(error)
            return self.wait_ms()

    async def _wait(self, wait_ms: int, alive: "Callable[[], None]") -> None:
        due_ms = self._clock.ticks_ms() + wait_ms
        while True:
            alive()
            left_ms = due_ms - self._clock.ticks_ms()
            if left_ms <= 0:
                return
            await asyncio.sleep(min(left_ms, SLICE_MS) / 1000)

    def certified(self) -> bool:
        """Whether there is a certificate for our key; the key is made now if there is none.

        Raises:
            FlashError: `key.readback`.
        """
        with Loaded():
            from node.agent import credentials
            return credentials.certified(self._files, credentials.Identity(self._files, self._chance, self._device).pub65)

    def announcement(self, model: str) -> dict[str, str]:
        """What the console shows the line station; see Identity.announcement."""
        with Loaded():
            from node.agent.credentials import Identity
            return Identity(self._files, self._chance, self._device).announcement(model)

    async def enrol(self) -> int:
        """Ask once for the first certificate.

        Returns:
            0 when it is there, else how long to wait before the next attempt, ms.

        Raises:
            OSError, ValueError, NodeError: as HttpClient.request; the caller counts it and waits `wait_ms()`.
        """
        return await self._ask(self._first, "simpleenroll")

    async def renew(self, state: "dict[str, int]") -> int:
        """Renew the certificate if it is due; the old one stays until the new one is on flash.

        One that fell due while the device was off is renewed somewhere in the next hour, since its whole plant may have been off;
        one that has ended at once.

        Returns:
            How long to wait before looking again, ms.
        """
        now_s = self._clock.unix_ms() // 1000
        if now_s:
            due_s, end_s = self._renewal()
            if now_s < due_s:
                state["waited"] = 1
                return min((due_s - now_s) * 1000, RENEW_CHECK_MS)
            self._base_ms, self._cap_ms = RENEW_BASE_MS, RENEW_CHECK_MS
            if now_s >= end_s:
                self._base_ms, self._cap_ms = RETRY_BASE_MS, ENDED_CAP_MS
            elif not state.get("waited"):
                state["waited"] = 1
                return uniform(self._chance.urandom(4), RENEW_CHECK_MS) + 1
        elif self._clock.ticks_ms() < UNTOLD_MS:
            return LOOK_MS
        else:
            self._cap_ms = RENEW_CHECK_MS
        return await self._ask(self._renewing, "simplereenroll") or RENEW_CHECK_MS

    def wait_ms(self, asked_s: int = 0) -> int:
        """How long to wait after a failure; longer with each, spread over the whole interval, after what was asked."""
        self.failures += 1
        return asked_s * 1000 + backoff_ms(self.failures, self._base_ms, self._cap_ms, self._chance.urandom(4)) + 1

    async def _ask(self, http: "HttpClient", operation: str) -> int:
        request, pub65 = self._request()
        answer = await http.request("POST", EST + operation, request, content_type="application/pkcs10",
                                    headers=(("Content-Transfer-Encoding", "base64"),), cap=MAX_ANSWER_BYTES)
        self._clock.learn(http_date_s(answer.headers.get("date", "")) * 1000, QUALITY_SERVER)
        if answer.status != 200:   # 403: the ledger does not know us yet; 202: later; else the server is unwell
            return self.wait_ms(_retry_after_s(answer))
        self._keep(answer.body, pub65)
        self.failures = 0
        return 0

    # What computes is in functions of its own: a coroutine's variables would keep the modules while it waits.

    def _request(self) -> tuple[bytes, bytes]:
        """The certificate request and the public key that it is for."""
        with Loaded():
            from node.agent.credentials import Identity
            identity = Identity(self._files, self._chance, self._device)
            return identity.request(), identity.pub65

    def _keep(self, body: bytes, pub65: bytes) -> None:
        with Loaded():
            from node.agent.credentials import own_certificate
            self._files.write_atomic(CERT_PATH, own_certificate(body, pub65))

    def _renewal(self) -> tuple[int, int]:
        """When the certificate is to be renewed and when it ends, Unix seconds."""
        with Loaded():
            from node.agent import credentials
            not_before_s, not_after_s = credentials.validity(self._files)
            return credentials.renewal_due_s(self._device, not_before_s, not_after_s), not_after_s


def _retry_after_s(answer: "Response") -> int:
    text = answer.headers.get("retry-after", "")
    return min(int(text), MAX_RETRY_AFTER_S) if text.isdigit() else 0
