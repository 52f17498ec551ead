"""What lies in quarantine is sent through sort and commit again, after a decoder, a list of devices or a clock was mended.

Decides what becomes of each row: it is removed when its bytes are stored, or were stored before; else it stays with the reason that
it fails for now. Safe at any instant: the bytes are committed first, under the name that they carry, and the row goes after; a
replay that was killed in between finds them stored. Acks nothing: devices are told with their next message.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Engine
from sqlalchemy.exc import DataError, IntegrityError

from host.ingest import times
from host.ingest.commit import Committer
from host.ingest.sort import Pack, Record, Reject, sort
from host.store.quarantine import Kept, Quarantine
from host.store.telemetry import BootClock, Telemetry
from node.wire.batch import QUALITY_SERVER

STORED, STAYS = "stored", "stays"
CUT, MOMENT = "quarantine.cut", "quarantine.moment"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one row: STORED (or found stored), or STAYS with the reason."""

    id: int
    device: str
    outcome: str
    reason: str = ""


class Replay:
    """Replays rows, one after the other.

    Args:
        rounding: see host.ingest.foreign.draw.
    """

    def __init__(self, engine: Engine, *, rounding: bool = False) -> None:
        self._quarantine, self._store = Quarantine(engine), Telemetry(engine)
        self._rounding = rounding

    def run(self, ids: Iterable[int], now_ms: int) -> Iterator[Replayed]:
        """Replay rows.

        Args:
            now_ms: Unix milliseconds.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database is at fault; rows that were told before are done.
        """
        for row in self._quarantine.rows(list(ids)):
            reason = self._one(row, now_ms)
            if reason:
                self._quarantine.outlived(row.id, reason)
            else:
                self._quarantine.remove([row.id])
            yield Replayed(row.id, row.device, STAYS if reason else STORED, reason)

    def _one(self, row: Kept, now_ms: int) -> str:
        """Store a row's bytes; why not, or ""."""
        if not row.is_whole:
            return CUT
        found = sort(row.topic, row.payload, copy=True)
        if isinstance(found, Reject):
            return found.reason
        if isinstance(found, Pack):
            found = replace(found, arrived_ms=row.first_ms)   # "now" was when it came
        elif not isinstance(found, Record):
            return MOMENT   # who is online is not told by what was said once
        elif row.reason in (times.FUTURE, times.APART) and (why := self._place(found, now_ms)) is not None:
            return why
        try:
            rejects = Committer(self._store, rounding=self._rounding).commit([found], now_ms, aside=False).rejects
        except (DataError, IntegrityError):   # as when it came: nothing of it was stored
            return "store.refused"
        return next((one.reason for one in rejects), "")

    def _place(self, one: Record, now_ms: int) -> str | None:
        """Have a batch that was stored without its clock placed by it, if that can be true by now; None when it is not stored."""
        why = times.doubt(one.quality, one.epoch_ms, one.uptime_ms, now_ms)
        if why:
            return why
        boot = one.device, one.boot
        with self._store.begin() as transaction:
            best = transaction.clocks([boot]).get(boot)
            why = times.apart(one.quality, one.epoch_ms, best.quality, best.epoch_ms) if best else ""
            if why:
                return why
            if not transaction.place(one):
                return None
            if best is None:   # what else of its boot waits is placed too
                transaction.save_clock(boot, BootClock(one.epoch_ms, one.quality, one.uptime_ms), below_quality=QUALITY_SERVER)
        return ""
