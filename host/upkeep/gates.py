"""The monitor's word to the rollout gates: how links did since the last word, brought to the OTA server.

Decides the window: each second is told once, and the server keeps up to when it was told. What is evidence is
host.monitor.evidence's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import time

from sqlalchemy import Engine

from host.monitor.evidence import link_evidence, word
from host.store.fleet import read_fleet
from host.upkeep.keeper import Done, Over
from ota.client import OtaClient

LAG_S = 60          # a commit under way may still bring an event from so long ago
FIRST_S = 3600      # the first word of a monitor reaches so far back
LONGEST_S = 86_400  # and each one after it


@dataclass(frozen=True, slots=True)
class Told:
    """What was told: of [from_s, until_s), in `rows` groups; `left_out` devices and releases have none."""

    from_s: int
    until_s: int
    rows: int
    left_out: int


def feed(engine: Engine, client: OtaClient, now_s: int, lag_s: int = LAG_S) -> Told | None:
    """Tell what is to be told by now; None: nothing is.

    Args:
        now_s: Unix seconds.

    Raises:
        OtaError: the server refused or was not reached; the same is told the next time.
        sqlalchemy.exc.SQLAlchemyError: the telemetry database cannot be read.
    """
    known_s, until_s = client.links_until(), now_s - lag_s
    from_s = until_s - FIRST_S if known_s is None else max(known_s, until_s - LONGEST_S)
    if from_s >= until_s:
        return None
    fleet = read_fleet(engine, until_s * 1000, (until_s - from_s) * 1000)
    rows = list(client.metrics())
    counters = {(row["model"], row["release"]): row["counter"] for row in client.metric_totals()}
    told = word(link_evidence(fleet.start, fleet.events, fleet.from_ms, fleet.now_ms),
                {row["device"]: (row["model"], row["cohort"]) for row in rows}, counters)
    client.tell_links(from_s, until_s, told.rows)
    return Told(from_s, until_s, len(told.rows), told.left_out)


class Telling:
    """The word as a task."""

    def __init__(self, engine: Engine, connect: Callable[[], OtaClient], lag_s: int) -> None:
        self._engine, self._connect, self._lag_s = engine, connect, lag_s
        self._client: OtaClient | None = None

    def __call__(self, _over: Over) -> Done:
        """A turn."""
        if self._client is None:
            self._client = self._connect()
        try:
            told = feed(self._engine, self._client, int(time()), self._lag_s)
        except BaseException:
            self.close()   # the next one reads the certificate anew: it may have been renewed
            raise
        if told is None:
            return Done("told already, nothing to add")
        return Done(f"told of {told.until_s - told.from_s} s of links in {told.rows} groups, {told.left_out} left out")

    def close(self) -> None:
        """End the connection; the next turn makes another."""
        if self._client is not None:
            self._client.close()
            self._client = None
