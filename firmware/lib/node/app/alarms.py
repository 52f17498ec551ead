"""Alarms with hysteresis: when a channel goes beyond a limit, and when it is well again. edge.py has alarms with a delay.

Decides transitions, and what is told of one: a batch of one row, of the alarm's own schema, with the value and, while the alarm
stands, the limit that it is beyond. So an alarm costs no byte until there is one, and the host needs no configuration to say
which limit it was. The state that the app starts with is told too, with its first commit: the one of the boot before may have
ended while nobody looked. What an alarm does (the batch is committed and sent at once) is the application's.
"""

from node.compat import const

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.app.batcher import Journal
    from node.settings import Channel

NORMAL = ""
HIGH = "high"
LOW = "low"
PERIOD_MS = const(1000)   # that a batch must have; it has one row


class Alarm:
    """The alarm of one channel.

    Args:
        number: of its schema in the journal.

    Attributes:
        state: NORMAL, HIGH or LOW.
    """

    def __init__(self, channel: "Channel", journal: "Journal", number: int) -> None:
        self._channel = channel
        self._journal = journal
        self._number = number
        self._news: tuple[tuple[int, int, str], ...] = ()   # not yet told: ticks, value, state
        self._is_told = False
        self.state = NORMAL

    def step(self, value: int | None, at_ms: int) -> bool:
        """Take a sample of a tick; True when the state changed. A missing sample changes nothing."""
        if value is None:
            return False
        state = self.settled(value)
        changed = state != self.state
        if changed or not self._is_told:
            self.state, self._is_told = state, True
            self._news += ((at_ms, value, state),)
        return changed

    def flush(self) -> None:
        """Commit what is to be told."""
        news, self._news = self._news, ()
        for at_ms, value, state in news:
            self._journal.commit(self._number, at_ms, PERIOD_MS, self._columns(value, state), [])

    def _columns(self, value: int, state: str) -> "list[list[int | None]]":
        """In the order of node.rows.alarm_columns."""
        channel = self._channel
        columns: "list[list[int | None]]" = [[value]]
        for side, limit in ((HIGH, channel.high), (LOW, channel.low)):
            if limit is not None:
                columns.append([limit if state == side else None])
        return columns

    def settled(self, value: int) -> str:
        """The state after a sample."""
        return self.wanted(value)

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
