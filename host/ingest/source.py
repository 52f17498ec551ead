"""What ingest needs of a broker. source_mqtt.py and source_nats.py are the real ones; tests have one in memory."""

from collections.abc import Iterable
from typing import Protocol

from host.ingest.inbox import Inbox, Message


class Source(Protocol):
    """Delivers every message at least once, until it is settled."""

    def start(self, inbox: Inbox) -> None:
        """Begin to connect and to fill the inbox; returns at once and keeps trying for ever."""

    def settle(self, messages: Iterable[Message]) -> None:
        """Tell the broker that these are on disk and need not be delivered again."""

    def send(self, topic: str, payload: bytes) -> None:
        """Publish at most once; lost without a trace when the broker is away."""

    def hear_states(self, *, hear: bool) -> None:
        """Whether this worker takes the state messages too: a broker would hand them to the workers of a group out of order."""

    def recover(self) -> None:
        """Have delivered again what a full inbox refused, if anything; called when the inbox has been emptied."""

    def stop(self) -> None:
        """Disconnect and end; what was not settled is delivered at the next start."""
