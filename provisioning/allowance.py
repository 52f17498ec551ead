"""What a station may do while the ledger does not answer: so many births, until then, granted beforehand and signed.

In the ledger an allowance is a lot of its own, named after the order, for the same station's key: so the ledger bounds what is
settled later by number and end, whatever a station says. The signature is for the station: it goes on only with what an operator
granted. Talks to nobody.
"""

import hashlib
import json
import re
from dataclasses import asdict, dataclass

from host.ecdsa import Signer, sign_digest
from node.wire import p256
from provisioning.errors import ProvisioningError

PREFIX = b"tenfold-allowance-v1\0"   # no other signature can be mistaken for it
SETTLE_S = 14 * 86_400               # from the end of an allowance to the end of its lot: time to come back to the ledger
MAX_BOARDS = 100                     # small: what a stolen station could claim on top of its order
NAME = re.compile(r"(.+)\.off[1-9][0-9]*")


@dataclass(frozen=True)
class Allowance:
    """So many births of an order without the ledger.

    Attributes:
        lot: the order. name: the allowance's own lot in the ledger, `<lot>.off<n>`. station: the bench.
        until_s: no birth from then on, Unix seconds.
    """

    lot: str
    name: str
    station: str
    boards: int
    until_s: int


def name(lot: str, number: int) -> str:
    """The lot of an order's n-th allowance."""
    return f"{lot}.off{number}"


def grant(key: Signer, allowance: Allowance) -> str:
    """An allowance as a station takes it: one line of JSON.

    Raises:
        ProvisioningError: "line.allowance": too many boards.
    """
    if not 1 <= allowance.boards <= MAX_BOARDS:
        raise ProvisioningError("line.allowance", f"boards: got {allowance.boards}, expected 1 to {MAX_BOARDS}: it is for an hour "
                                                  "without the network, not for a lot")
    payload = json.dumps(asdict(allowance), sort_keys=True)
    return json.dumps({"payload": payload, "signature": sign_digest(key, _digest(payload)).hex()})


def read(text: str, operator: str) -> Allowance:
    """An allowance that this operator (public key in hex) signed.

    Raises:
        ProvisioningError: "line.allowance".
    """
    try:
        said = json.loads(text)
        payload, signature = str(said["payload"]), bytes.fromhex(said["signature"])
        if not p256.verify(bytes.fromhex(operator), _digest(payload), signature):
            raise ValueError("another key signed it")
        found = Allowance(**json.loads(payload))
        match = NAME.fullmatch(found.name)
        if match is None or match[1] != found.lot:
            raise ValueError(f"{found.name} is no allowance of {found.lot}")
    except (ValueError, KeyError, TypeError) as error:
        raise ProvisioningError("line.allowance", f"got an allowance that does not hold ({error}), expected one of tenfold line "
                                                  "allow, by the operator whose key the station has") from None
    return found


def admits(allowance: Allowance, lot: str, station: str, used: int, now_s: int) -> bool:
    """Whether one more board may be born without the ledger."""
    return (allowance.lot, allowance.station) == (lot, station) and used < allowance.boards and now_s < allowance.until_s


def _digest(payload: str) -> bytes:
    return hashlib.sha256(PREFIX + payload.encode()).digest()
