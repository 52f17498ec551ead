"""A bench of the line: hears a new device announce itself, checks its proof, signs its birth record and enters it.

Decides whether an announcement is genuine (the device holds the private half of the key it shows). The ledger decides whether
the lot may have it. Opens no port: the lines of a device's console come in as text. Its key is bound to one lot by the ledger,
opens nothing in the field, and is worthless when the lot is full or over.
"""

import re
from dataclasses import dataclass

from host.ecdsa import Signer, point, sign_digest
from node.errors import FormatError, NodeError
from node.wire import identity, signed
from node.wire.fields import parse_object, want_hex, want_text
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.rows import Birth
from provisioning.rules.quota import Reason

WORD = "BIRTH "             # a console line that starts so carries an announcement
MAX_LINE_BYTES = 1024       # an announcement is about 400
NAME = re.compile(r"[a-z0-9._-]{1,32}")   # of lots and stations; node.wire.identity.parse_birth
MAX_MODEL = 16              # characters; identity.parse_birth checks the alphabet


@dataclass(frozen=True)
class Announcement:
    """What a device without a certificate says of itself: id, public key (hex), proof (hex signature) and model."""

    device: str
    key: str
    proof: str
    model: str


def parse_line(line: str) -> Announcement | None:
    """Read one console line; None when it is not an announcement (boot messages, logs).

    Raises:
        ProvisioningError: "birth.format": the line says BIRTH, but the rest is malformed.
    """
    if not line.startswith(WORD):
        return None
    try:
        obj = parse_object(line[len(WORD):].encode(errors="replace"), "birth", MAX_LINE_BYTES)
        return Announcement(
            device=identity.want_device(obj, "birth"),
            key=want_hex(obj, "key", "birth", identity.PUBLIC_KEY_BYTES),
            proof=want_hex(obj, "proof", "birth", identity.SIGNATURE_BYTES),
            model=want_text(obj, "model", "birth", MAX_MODEL),
        )
    except FormatError as error:
        raise ProvisioningError("birth.format", str(error)) from None


def want_names(lot: str, station: str) -> None:
    """Refuse names that a birth record cannot bear, before a lot is begun with them.

    Raises:
        ProvisioningError: "line.name".
    """
    for what, name in (("lot", lot), ("station", station)):
        if not NAME.fullmatch(name):
            raise ProvisioningError("line.name", f"{what}: got {name!r}, expected 1 to 32 of a-z, 0-9, dot, underscore and hyphen")


def want_proof(announced: Announcement) -> None:
    """Refuse a key that the board does not hold.

    Raises:
        ProvisioningError: "birth.proof".
    """
    if not identity.birth_proof_holds(announced.device, announced.key, announced.proof):
        raise ProvisioningError("birth.proof", f"device {announced.device}: got a signature that its key did not make")


class Pen:
    """What a bench signs with: birth records of one lot, of which it keeps nothing."""

    def __init__(self, lot: str, name: str, key: Signer) -> None:
        """Arguments as Station's.

        Raises:
            ProvisioningError: "line.name".
        """
        want_names(lot, name)
        self._lot, self.name, self._key = lot, name, key
        self._key_id = signed.key_id(point(key.public_key()))

    def of(self, lot: str) -> "Pen":
        """The same bench for another lot: an allowance's."""
        return Pen(lot, self.name, self._key)

    def record(self, announced: Announcement, now_s: int) -> bytes:
        """Check an announcement's proof and sign its birth record: the envelope for the ledger.

        Raises:
            ProvisioningError: "birth.proof" or "birth.format".
        """
        want_proof(announced)
        try:
            payload = identity.birth_payload(
                announced.device, announced.key, announced.model, self._lot, self.name, now_s, announced.proof)
            identity.parse_birth(payload)
            signature = sign_digest(self._key, signed.signing_digest(signed.BIRTH, payload))
            return signed.join(signed.BIRTH, [(self._key_id, signature)], payload)
        except NodeError as error:
            raise ProvisioningError("birth.format", str(error)) from None


class Station:
    """One bench, working on one lot."""

    def __init__(self, ledger: Ledger, lot: str, name: str, key: Signer) -> None:
        """Make a station.

        Args:
            name: the bench's name, written into each birth record.
            key: the private key whose public half the lot was opened with; may be an HSM's object.
        """
        self._ledger, self._lot, self._pen = ledger, lot, Pen(lot, name, key)

    def hear(self, line: str, now_s: int) -> tuple[Birth, Reason] | None:
        """Handle one console line: check an announcement's proof, sign its birth record, append it to the ledger.

        The same device and key again gives Reason.KNOWN, so an interrupted line runs again without harm.

        Returns:
            The birth in the ledger and whether it is new; None when the line is no announcement.

        Raises:
            ProvisioningError: "birth.format", "birth.proof", "provisioning.second_identity" or another code of the ledger.
        """
        announced = parse_line(line)
        if announced is None:
            return None
        return self._ledger.append_birth(self._lot, self._pen.record(announced, now_s), now_s)
