"""What can happen to a device: the codes of its history. A code is never given another meaning; new ones are added."""

from enum import IntEnum

from ota.rules.attempts import STEPPED
from ota.rules.rollout import ALTERED
from ota.rules.values import Attempt, AttemptState


class Happened(IntEnum):
    """What an entry of a device's history says; `counter` is the release's that it is about."""

    SEEN = 1           # its first check-in
    RUNS = 2           # it runs another release than at its last check-in
    OFFERED = 10       # a step of a rollout, for the first time or again after a failure
    TRIAL = 11
    CONFIRMED = 12
    FAILED = 13        # detail: its own words
    LOST = 14
    SUPERSEDED = 15
    ALTERED = 16       # what came to it was not what was signed; detail: its own words
    FORGIVEN = 20      # an operator forgot its failures
    LABELLED = 21      # an operator changed its site or tags; detail: by whom, and what
    CONFIG_TRIAL = 30  # detail of these three: the configuration's name, and why
    CONFIG_RUNS = 31
    CONFIG_FAILED = 32


CONFIG = {"trial": Happened.CONFIG_TRIAL, "runs": Happened.CONFIG_RUNS, "failed": Happened.CONFIG_FAILED}   # of rules.configs
_STATES = {
    AttemptState.OFFERED: Happened.OFFERED, AttemptState.TRIAL: Happened.TRIAL, AttemptState.CONFIRMED: Happened.CONFIRMED,
    AttemptState.FAILED: Happened.FAILED, AttemptState.LOST: Happened.LOST, AttemptState.SUPERSEDED: Happened.SUPERSEDED,
}


def of_attempt(before: Attempt, after: Attempt) -> Happened | None:
    """What an attempt's change is in the device's history; a lease that was renewed is nothing."""
    if after.reason == STEPPED:
        return None if before.reason == STEPPED else Happened.CONFIRMED   # of the stepping stone
    if after.reason in ALTERED and after.state is AttemptState.OFFERED:
        return None if before.reason in ALTERED else Happened.ALTERED
    return None if after.state is before.state else _STATES[after.state]
