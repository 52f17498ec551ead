"""Evidence against a release that may be looked at as often as one likes: e-values, from counts.

An e-value is a bet against "the release is within what is allowed": its expectation is at most 1 as long as that is true, at
every moment, also at one that was chosen after looking. By Ville's inequality the chance that it *ever* reaches 1 / alpha is then
at most alpha, whatever the number and times of the looks; a fixed-sample p-value that is looked at again and again has no such
bound. Each e-value here is a mixture of likelihood ratios over a few alternatives, all of them worse than what is allowed.

Decides nothing: `gate` knows what is allowed and how much evidence halts. What is not covered: devices or events that are not
independent of each other (an outage; `gate` compares with the rest of the fleet in the same time, or widens what is allowed).

Sources: Ville, Étude critique de la notion de collectif (1939), for the inequality; Robbins, Ann. Math. Statist. 41 (1970), for
mixtures; Howard, Ramdas, McAuliffe and Sekhon, Ann. Statist. 49 (2021), and Ramdas, Grünwald, Vovk and Shafer, Statist. Sci. 38
(2023), for composite nulls and looks at any time.
"""

import math
from collections.abc import Iterable, Sequence

BROKEN = 0.5    # weight of "it fails everywhere": one failed canary is then worth 0.5 / allowed at least
SHARES = 8      # other shares of failures that are bet on, in equal ratios between the allowed one and 1
RATIOS = (1.5, 2.0, 4.0, 8.0, 16.0)   # how many times more than allowed the comparisons bet on, with equal weights
NOTHING = (0.0,) * len(RATIOS)        # evidence of a comparison before its first look


def log_share(bad: int, touched: int, allowed: float) -> float:
    """Weigh the evidence that devices fail with a larger probability than allowed.

    A device that has not failed counts as good, also while it is under way. Seen over the devices in the order of their offers,
    with each one's final outcome, the value is a supermartingale for every probability up to `allowed`; and at no time does what
    is known exceed what that order gives in the end. So it does not matter how long failures and successes take to be told, or
    that a confirmed device fails later. A function of the totals: nothing is kept between looks.

    Args:
        bad: devices that failed, of the `touched` ones.
        allowed: probability, 0 < allowed < 1.

    Returns:
        Natural logarithm of the e-value; minus infinity at worst.
    """
    if not 0 <= bad <= touched or not 0.0 < allowed < 1.0:
        raise ValueError(f"log_share: got {bad} of {touched} at {allowed}")
    good = touched - bad
    even = math.log((1 - BROKEN) / SHARES)
    terms = []
    for number in range(1, SHARES + 1):
        share = allowed ** (1 - number / (SHARES + 1))
        terms.append(even + bad * math.log(share / allowed) + good * (math.log1p(-share) - math.log1p(-allowed)))
    if not good:
        terms.append(math.log(BROKEN) - bad * math.log(allowed))
    return _log_sum(terms)


def add_look(logs: Sequence[float], here: int, here_s: float, there: int, there_s: float, ratio: float) -> tuple[float, ...]:
    """Add what happened since the last look to the evidence that events are more than `ratio` times as frequent here as there.

    Given the sum of two Poisson counts, one of them is binomial (Przyborowski and Wilenski, 1940), so the common level cancels out.
    It is done look by look, because over a whole stage neither the level nor the groups' sizes stay: an outage that comes
    when most devices are here already would else tell against the release.

    Args:
        logs: logarithms by alternative, from before; NOTHING at first.
        here, there: events since then. here_s, there_s: device-seconds since then, both positive.
    """
    if here_s <= 0 or there_s <= 0 or ratio <= 0:
        raise ValueError(f"add_look: got {here_s} and {there_s} device-seconds at ratio {ratio}, expected more than 0")
    odds = ratio * here_s / there_s
    added = []
    for log, worse in zip(logs, RATIOS, strict=True):
        # theta = odds / (1 + odds); the alternative has `worse` times the odds
        log_both = math.log1p(odds) - math.log1p(worse * odds)   # of (1 - theta_worse) / (1 - theta)
        added.append(log + here * (math.log(worse) + log_both) + there * log_both)
    return tuple(added)


def log_mixture(logs: Sequence[float]) -> float:
    """Tell the e-value of a comparison, as its natural logarithm."""
    return _log_sum(logs) - math.log(len(logs))


def reaches(log_e: float, alpha: float) -> bool:
    """Tell whether the evidence is enough: by Ville's inequality it ever is with probability `alpha` at most."""
    return log_e >= -math.log(alpha)


def _log_sum(terms: Iterable[float]) -> float:
    found = list(terms)
    top = max(found)
    return top if top == -math.inf else top + math.log(sum(math.exp(each - top) for each in found))
