"""The device's own key, what it says of it, and its certificate: the part of enrolment that computes.

The key is written and read back before anything of it is shown, and never leaves the device. Opens no connection and waits for
nothing: enrol.py does, and loads this module only while it is needed.
"""

import binascii

from node.agent.paths import CERT_PATH, KEY_PATH
from node.agent.scatter import phase_ms
from node.compat import hexstr, sha256
from node.errors import FlashError, FormatError, NodeError, PeerError
from node.wire import der, p256
from node.wire.identity import proof_input

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.ports import Files, Random

WINDOW_PARTS = 6   # a fleet's renewals are spread over a sixth of a life: 60 days of a year, 1,460 hours


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


def certified(files: "Files", pub65: bytes) -> bool:
    """Whether there is a certificate for this key. One for another key is of no use and is not shown to anybody."""
    raw = files.read(CERT_PATH)
    try:
        return raw is not None and der.cert_public_key(raw) == pub65
    except FormatError:
        return False


def renewal_due_s(device: str, not_before_s: int, not_after_s: int) -> int:
    """When a certificate is renewed, Unix seconds: about two thirds through its life, each device at its own place.

    The place is in a window around two thirds, by hash: devices that were certified in the same hour do not renew in the same one,
    this time or any later time. At least a quarter of the life is left to get through.
    """
    life_s = not_after_s - not_before_s
    window_s = life_s // WINDOW_PARTS
    return not_before_s + life_s * 2 // 3 - window_s // 2 + phase_ms(device, window_s)   # it counts in whatever the period does


def validity(files: "Files") -> tuple[int, int]:
    """(not before, not after) of the device's certificate, Unix seconds.

    Raises:
        FormatError: it is damaged.
    """
    return der.cert_validity(files.read(CERT_PATH) or b"")


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
