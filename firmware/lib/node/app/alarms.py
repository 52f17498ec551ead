"""Alarms with hysteresis: when a channel goes beyond a limit, and when it is well again.

Decides transitions only. What an alarm does (the batch is committed and sent at once) is the application's; who is told is
the host's, which sees the readings themselves.
"""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.settings import Channel

NORMAL = "normal"
HIGH = "high"
LOW = "low"


def next_state(state: str, value: int, high: int | None, low: int | None, hysteresis: int) -> str:
    """The alarm state after a value. All values are steps of the channel's resolution.

    An alarm begins at its limit and ends only `hysteresis` steps inside it, so that noise at the limit makes one alarm, not a
    hundred. A jump from one side to the other changes the state directly.
    """
    inside = max(hysteresis - 1, 0)   # the last step at which a standing alarm goes on
    if high is not None and value >= (high - inside if state == HIGH else high):
        return HIGH
    if low is not None and value <= (low + inside if state == LOW else low):
        return LOW
    return NORMAL


class Alarm:
    """The alarm of one channel."""

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self.state = NORMAL

    def step(self, value: int | None) -> bool:
        """Take a sample; True when the state changed. A missing sample changes nothing."""
        if value is None:
            return False
        channel = self._channel
        before = self.state
        self.state = next_state(before, value, channel.high, channel.low, channel.hysteresis)
        return self.state != before
