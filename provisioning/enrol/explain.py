"""Why a device has no certificate, or which it has, for an operator: what the ledger knows, what it was refused, what to do.

Asks the same rules as service.py and decides nothing of its own.
"""

from dataclasses import asdict
from typing import Any

from provisioning.attempts import Attempts
from provisioning.enrol.service import judged
from provisioning.errors import ProvisioningError
from provisioning.ledger import Ledger
from provisioning.rules.explain import EXPLANATIONS


def explain(ledger: Ledger, attempts: Attempts, device: str, now_s: int) -> dict[str, Any]:
    """Tell all there is to know of a device.

    Returns:
        {"device", "birth", "certificates", "refused" (the latest first), "now" (the code that its birth key would get now)},
        and "means" and "do" for the code that stands in its way.
    """
    birth = ledger.birth(device)
    try:
        judged(ledger, device, birth.key if birth else "", now_s)
        now = "enrol.issue"
    except ProvisioningError as error:
        now = error.code
    refused = attempts.last(device)
    held = ledger.certificates(device)
    since_s = held[-1].at_s if held else 0
    open_ = [one for one in refused if one.last_s > since_s]   # what was before its newest certificate is over
    code = now if now != "enrol.issue" else open_[0].code if open_ else None
    told: dict[str, Any] = {
        "device": device,
        "birth": {"lot": birth.lot, "at_s": birth.at_s, "key": birth.key} if birth else None,
        "certificates": [asdict(one) for one in held],
        "refused": [asdict(one) for one in refused],
        "now": now,
    }
    return told | (asdict(EXPLANATIONS[code]) | {"code": code} if code else {})
