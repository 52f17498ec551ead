"""What is kept of devices that are not ours, beside their batches: their place, their channels, which packs came.

Decides SQL only, within the transaction that stores the batches; what a pack means is host.ingest.foreign's. A device's row is
locked before it is read, so that several workers and the HTTP server give its batches one row of names.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, select, update

from host.clock import DAY_MS
from host.ingest.foreign import Book, Channel, Key
from host.rows import insert_of
from host.store import tables as t


@dataclass(slots=True)
class Place:
    """Where one device stands: the next name, its channels, the schemas that it told in this boot."""

    boot: int
    next_seq: int
    book: Book
    told: set[bytes]


class ForeignRows:
    """Reads and writes of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, device: str) -> Place | None:
        """A device's place, nobody else's until the end of the transaction; None for a device that sends batches of our own."""
        table = t.foreign_device
        row = self._connection.execute(
            insert_of(self._connection, table).values(device=device, boot=1, next_seq=0)
            .on_conflict_do_update(index_elements=["device"], set_={"boot": table.c.boot})
            .returning(table.c.boot, table.c.next_seq)
        ).one()
        ours = select(t.progress.c.device).where(t.progress.c.device == device, t.progress.c.records > 0)
        if not row.next_seq and self._connection.scalar(ours):
            return None
        told = select(t.schema.c.hash).where(t.schema.c.device == device, t.schema.c.boot == row.boot)
        channels = self._connection.execute(select(t.foreign_channel).where(t.foreign_channel.c.device == device))
        book = {(one.name, one.unit, one.is_sum): Channel(one.channel, one.told_unit, one.group_no, one.place, one.decimals)
                for one in channels}
        return Place(row.boot, row.next_seq, book, {bytes(one) for one in self._connection.scalars(told)})

    def save(self, device: str, place: Place, changed: Iterable[Key]) -> None:
        """Keep a device's place, and of its channels those that changed."""
        self._connection.execute(
            update(t.foreign_device).values(boot=place.boot, next_seq=place.next_seq).where(t.foreign_device.c.device == device))
        rows = [
            {
                "device": device, "name": key[0], "unit": key[1], "is_sum": key[2], "channel": one.channel, "told_unit": one.unit,
                "group_no": one.group, "place": one.place, "decimals": one.decimals,
            }
            for key in changed for one in (place.book[key],)
        ]
        if rows:
            insert = insert_of(self._connection, t.foreign_channel)
            self._connection.execute(insert.on_conflict_do_update(
                index_elements=["device", "name", "unit", "is_sum"], set_={"decimals": insert.excluded.decimals}), rows)

    def is_new(self, device: str, digest: bytes, now_ms: int, *, may_repeat: bool) -> bool:
        """Remember a pack; whether it is a new one.

        Args:
            may_repeat: the same bytes again are another pack, since they say nothing of when.
        """
        insert = insert_of(self._connection, t.foreign_pack).values(device=device, digest=digest, at_ms=now_ms)
        if self._connection.execute(insert.on_conflict_do_nothing()).rowcount:
            return True
        if may_repeat:
            self._connection.execute(
                update(t.foreign_pack).values(at_ms=now_ms)
                .where(t.foreign_pack.c.device == device, t.foreign_pack.c.digest == digest))
        return may_repeat


def prune_packs(engine: Engine, days: int, now_ms: int) -> int:
    """Forget packs that came longer ago; one that is sent again after that is stored again. Gives how many.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: nothing was removed.
    """
    with engine.begin() as connection:
        return connection.execute(delete(t.foreign_pack).where(t.foreign_pack.c.at_ms < now_ms - days * DAY_MS)).rowcount
