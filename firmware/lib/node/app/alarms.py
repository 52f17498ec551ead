"""Alarms with hysteresis: when a channel goes beyond a limit, and when it is well again. edge.py has alarms with a delay.

Decides transitions only. What an alarm does (the batch is committed and sent at once) is the application's; who is told is
the host's, which sees the readings themselves.
"""

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.settings import Channel

NORMAL = "normal"
HIGH = "high"
LOW = "low"


class Alarm:
    """The alarm of one channel.

    Attributes:
        state: NORMAL, HIGH or LOW.
    """

    def __init__(self, channel: "Channel") -> None:
        self._channel = channel
        self.state = NORMAL

    def step(self, value: int | None) -> bool:
        """Take a sample; True when the state changed. A missing sample changes nothing."""
        before = self.state
        if value is not None:
            self.state = self.wanted(value)
        return self.state != before

    def wanted(self, value: int) -> str:
        """The state after a value, in steps of the channel's resolution.

        An alarm begins at its limit and ends only `hysteresis` steps inside it, so that noise at the limit makes one alarm, not a
        hundred. A jump from one side to the other changes the state directly.
        """
        channel, state = self._channel, self.state
        high, low = channel.high, channel.low
        inside = max(channel.hysteresis - 1, 0)   # the last step at which a standing alarm goes on
        if high is not None and value >= (high - inside if state == HIGH else high):
            return HIGH
        if low is not None and value <= (low + inside if state == LOW else low):
            return LOW
        return NORMAL
