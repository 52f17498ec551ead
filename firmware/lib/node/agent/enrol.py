"""The device's own key, its birth announcement, and its certificate by EST (RFC 7030): first in the field, then renewed.

Decides when there is a key to show, when to ask for a certificate and how long to wait after a refusal. The key is written
and read back before anything of it is shown, and never leaves the device. Makes no connections itself; HttpClient does.
"""

import asyncio
import binascii

from node.agent.clock import http_date_s
from node.agent.scatter import backoff_ms
from node.compat import hexstr, sha256
from node.errors import FlashError, FormatError, NodeError, PeerError
from node.wire import der, p256
from node.wire.batch import QUALITY_SERVER
from node.wire.identity import proof_input

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.clock import DeviceClock
    from node.agent.http import HttpClient, Response
    from node.hints import Any, Callable, Coroutine
    from node.ports import Files, Random

KEY_PATH = "/state/key.der"
CERT_PATH = "/state/cert.der"
EST = "/.well-known/est/"      # RFC 7030 3.2.2
MAX_ANSWER_BYTES = 6144        # base64 of a certs-only message with leaf and issuing CA: about 1.6 KB
RETRY_BASE_MS = 2000           # first wait after a refusal is 0..2 s
RETRY_CAP_MS = 60_000          # a board fresh from the line enrols within a minute of its birth record
MAX_RETRY_AFTER_S = 86_400     # a server may send us away for a day, not for ever
RENEW_FRACTION = 3             # renewed when less than 1/3 of the validity is left: 30 of 90 days to get through
RENEW_CHECK_MS = 3_600_000     # a certificate is looked at this often
SLICE_MS = 5000                # at most between two signs of life while waiting
UNTOLD_MS = 21_600_000         # without the time of day (6 h): ask anyway, the answer's Date tells it


class Identity:
    """The device's key pair, made on first use.

    Attributes:
        d: the private scalar. pub65: the public point.
        fresh: made in this boot.
    """

    def __init__(self, files: "Files", chance: "Random", device: str) -> None:
        """Load the key, or make one, write it and read it back.

        Raises:
            FlashError: `key.readback`. Nothing of the key has been shown.
        """
        self._device = device
        self.fresh = False
        try:
            self.d, self.pub65 = der.parse_sec1(files.read(KEY_PATH) or b"")
        except FormatError:   # absent, or damaged: nothing can be proved with it, so the device is born again
            self.fresh = True
            self.d, self.pub65 = p256.keygen(chance.urandom(32))
            files.write_atomic(KEY_PATH, der.sec1(self.d, self.pub65))
            if files.read(KEY_PATH) != der.sec1(self.d, self.pub65):
                raise FlashError("key.readback", "the key on flash is not the one written")

    def announcement(self, model: str) -> dict[str, str]:
        """What the console shows the line station: public key and proof, nothing that opens anything."""
        proof = p256.sign(self.d, sha256(proof_input(self._device)))
        return {"device": self._device, "key": hexstr(self.pub65), "proof": hexstr(proof), "model": model}

    def request(self) -> bytes:
        """A PKCS#10 certificate request for this device, base64 as EST wants it."""
        return binascii.b2a_base64(der.csr(self.d, self.pub65, self._device)).strip()


def renewal_due(not_before_s: int, not_after_s: int, now_s: int) -> bool:
    """Whether a certificate is to be renewed: in the last third of its validity."""
    return now_s >= not_after_s - (not_after_s - not_before_s) // RENEW_FRACTION


class Enrolment:
    """Gets and renews the operational certificate.

    Args:
        first: HTTP to the EST server without our certificate. renewing: with it.
    """

    def __init__(self, identity: Identity, files: "Files", clock: "DeviceClock", chance: "Random", *, first: "HttpClient",
                 renewing: "HttpClient") -> None:
        self._identity = identity
        self._files = files
        self._clock = clock
        self._chance = chance
        self._first = first
        self._renewing = renewing
        self.failures = 0

    async def run(self, tell: "Callable[[], None]", ready: "Callable[[], None]", fault: "Callable[[Exception], object]",
                  alive: "Callable[[], None]") -> None:
        """Get a certificate, however often that takes, then keep it fresh; the enrolment task.

        Args:
            tell: called once when there is no certificate: announces the birth.
            ready: called when there is one.
            fault: counts a failed attempt. alive: called at least every SLICE_MS while waiting.
        """
        certified = self.certified()
        if not certified:
            tell()
        while not certified:
            await self._wait(await self._try(self.enrol, fault), alive)
            certified = self.certified()
        ready()
        while True:
            await self._wait(await self._try(self.renew, fault), alive)

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
        """Whether there is a certificate for our key. One for another key is of no use and is not shown to anybody."""
        raw = self._files.read(CERT_PATH)
        try:
            return raw is not None and der.cert_public_key(raw) == self._identity.pub65
        except FormatError:
            return False

    async def enrol(self) -> int:
        """Ask once for the first certificate.

        Returns:
            0 when it is there, else how long to wait before the next attempt, ms.

        Raises:
            OSError, ValueError, NodeError: as HttpClient.request; the caller counts it and waits `wait_ms()`.
        """
        return await self._ask(self._first, "simpleenroll")

    async def renew(self) -> int:
        """Renew the certificate if it is due; the old one stays until the new one is on flash.

        Returns:
            How long to wait before looking again, ms.
        """
        not_before_s, not_after_s = der.cert_validity(self._files.read(CERT_PATH) or b"")
        now_ms = self._clock.unix_ms()
        if not now_ms and self._clock.ticks_ms() < UNTOLD_MS:
            return RENEW_CHECK_MS
        if now_ms and not renewal_due(not_before_s, not_after_s, now_ms // 1000):
            return RENEW_CHECK_MS
        return await self._ask(self._renewing, "simplereenroll") or RENEW_CHECK_MS

    def wait_ms(self, asked_s: int = 0) -> int:
        """How long to wait after a failure; longer with each, spread over the whole interval, after what was asked."""
        self.failures += 1
        return asked_s * 1000 + backoff_ms(self.failures, RETRY_BASE_MS, RETRY_CAP_MS, self._chance.urandom(4)) + 1

    async def _ask(self, http: "HttpClient", operation: str) -> int:
        answer = await http.request("POST", EST + operation, self._identity.request(), content_type="application/pkcs10",
                                    headers=(("Content-Transfer-Encoding", "base64"),), cap=MAX_ANSWER_BYTES)
        self._clock.learn(http_date_s(answer.headers.get("date", "")) * 1000, QUALITY_SERVER)
        if answer.status != 200:   # 403: the ledger does not know us yet; 202: later; else the server is unwell
            return self.wait_ms(_retry_after_s(answer))
        self._files.write_atomic(CERT_PATH, own_certificate(answer.body, self._identity.pub65))
        self.failures = 0
        return 0


def own_certificate(body: bytes, pub65: bytes) -> bytes:
    """The certificate for our key from an EST answer: base64 of a certs-only PKCS#7 message.

    Raises:
        PeerError: `enrol.answer`: no such thing, or for another key.
    """
    try:
        for cert in der.certs_only(binascii.a2b_base64(body)):
            if der.cert_public_key(cert) == pub65:
                return cert
    except (ValueError, NodeError):
        raise PeerError("enrol.answer", "got %d bytes which are no certs-only message" % len(body))
    raise PeerError("enrol.answer", "got certificates, none for our key")


def _retry_after_s(answer: "Response") -> int:
    text = answer.headers.get("retry-after", "")
    return min(int(text), MAX_RETRY_AFTER_S) if text.isdigit() else 0
