"""What lies in quarantine, row by row: found, marked and removed.

Decides SQL only; whether bytes have found a place is host.ingest.replay's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, delete, select, update

from host.store.tables import quarantine

IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Kept:
    """One row.

    Attributes:
        reason: code of what was wrong with it when it came last, or was replayed last.
        times: how often these bytes came on this topic.
        size: of what came; more than was kept when it was cut.
        tried: replays that it outlived.
    """

    id: int
    topic: str
    device: str
    reason: str
    times: int
    first_ms: int
    last_ms: int
    size: int
    tried: int
    payload: bytes

    @property
    def is_whole(self) -> bool:
        return self.size == len(self.payload)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which rows are meant: those of these ids, or all that match. A reason ending in `.` stands for all that begin so."""

    ids: tuple[int, ...] = ()
    reason: str = ""
    device: str = ""

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.ids:
            found.append(quarantine.c.id.in_(self.ids))
        if self.reason:
            found.append(quarantine.c.reason.startswith(self.reason, autoescape=True) if self.reason.endswith(".")
                         else quarantine.c.reason == self.reason)
        if self.device:
            found.append(quarantine.c.device == self.device)
        return found


class Quarantine:
    """The table, each call a transaction of its own.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: from each call; it changed nothing.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ids(self, choice: Choice, limit: int | None = None) -> list[int]:
        """The rows that are meant, those that came last first."""
        query = select(quarantine.c.id).where(*choice.conditions()).order_by(quarantine.c.last_ms.desc(), quarantine.c.id)
        with self._engine.connect() as connection:
            return list(connection.scalars(query.limit(limit)))

    def rows(self, ids: Sequence[int]) -> Iterator[Kept]:
        """Rows in the order of their ids as given; those that went meanwhile are left out."""
        columns = [quarantine.c[name] for name in Kept.__slots__]
        for start in range(0, len(ids), IDS_AT_ONCE):
            part = ids[start:start + IDS_AT_ONCE]
            with self._engine.connect() as connection:
                found = {row.id: row for row in connection.execute(select(*columns).where(quarantine.c.id.in_(part)))}
            yield from (Kept(**{**found[one]._mapping, "payload": bytes(found[one].payload)}) for one in part if one in found)

    def remove(self, ids: Sequence[int]) -> int:
        """Remove rows; gives how many there were."""
        with self._engine.begin() as connection:
            return sum(
                connection.execute(delete(quarantine).where(quarantine.c.id.in_(ids[start:start + IDS_AT_ONCE]))).rowcount
                for start in range(0, len(ids), IDS_AT_ONCE))

    def outlived(self, row_id: int, reason: str) -> None:
        """A replay found no place for a row, for this reason."""
        with self._engine.begin() as connection:
            connection.execute(
                update(quarantine).values(tried=quarantine.c.tried + 1, reason=reason).where(quarantine.c.id == row_id))
