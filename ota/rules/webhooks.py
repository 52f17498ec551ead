"""How events are told to others: signed, again after growing gaps, and not for ever. From values only."""

import hashlib
import hmac
from collections.abc import Sequence

FIRST_GAP_S = 5.0        # a receiver that restarts
LONGEST_GAP_S = 3_600.0
TRIES = 20               # the last one six to eleven hours after the first: a night; then the event is given up for the next


def gap(tries: int, chance: float) -> float:
    """Tell how long to wait after a number of failed tries; `chance` is 0..1, even, and spreads the second half."""
    return min(LONGEST_GAP_S, FIRST_GAP_S * 2.0 ** min(tries - 1, 20)) * (0.5 + 0.5 * chance)


def signature(secret: bytes, at_s: int, body: bytes) -> str:
    """Sign a body together with the time at which it is sent, so that neither can be replayed with the other.

    Returns:
        `t=<Unix seconds>,v1=<hex>`, HMAC-SHA256 over `<t>.<body>`.
    """
    mark = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={mark}"


def is_wanted(kind: str, wanted: Sequence[str]) -> bool:
    """Tell whether a webhook is told of a kind of event: all, those named, or those that begin with a name that ends in a dot."""
    return not wanted or any(kind == each or (each.endswith(".") and kind.startswith(each)) for each in wanted)
