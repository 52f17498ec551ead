"""When a release on trial has proved itself, and when to give it up.

Pure: facts and time are arguments. Confirming takes both paths to the outside: the database has committed a batch of this
boot, and a check-in was answered. A release that can only do one of them could not be repaired, or would lose readings.
What an outage left in the ring goes before the batches of this boot: while that drains, a trial waits longer.
"""

from node.compat import const

MAX_TRIALS = const(12)   # times trial_ms at most, 2 hours by default: a ring of 2 MB at 300 B/s, a bad day of a modem
MAX_APP_CRASHES = const(5)   # within a trial: an app that the supervisor keeps restarting is not an improvement

WAIT = "wait"
CONFIRM = "confirm"
GIVE_UP = "give_up"


def judge(acked: bool, checked_in: bool, app_crashes: int, elapsed_ms: int, stalled_ms: int, trial_ms: int) -> tuple[str, str]:
    """Judge a trial.

    Args:
        acked: the server's ack covers a batch of this boot.
        checked_in: a check-in of this boot was answered.
        app_crashes: since boot.
        elapsed_ms: since boot. stalled_ms: since boot or since the server's ack last moved on, whichever is later.
        trial_ms: time to prove itself.

    Returns:
        (WAIT, CONFIRM or GIVE_UP, reason of at most 20 characters).
    """
    if app_crashes >= MAX_APP_CRASHES:
        return GIVE_UP, "app crashes"
    if acked and checked_in:
        return CONFIRM, "acked, checked in"
    drains = checked_in and stalled_ms < trial_ms and elapsed_ms < MAX_TRIALS * trial_ms
    if elapsed_ms < trial_ms or drains:
        return WAIT, ""
    return GIVE_UP, "no ack" if checked_in else "no check-in" if acked else "no server"
