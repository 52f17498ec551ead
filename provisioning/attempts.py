"""What devices were refused lately, for operators: one row a device and code, with how often and from where.

No part of the ledger: rows change and go. Strangers can cause them without a certificate, so both their number and how often
the database is written are bounded; what goes past that is in the server's log alone.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from provisioning.tables import attempts

MAX_ROWS = 10_000        # beyond it the oldest go
EVERY_S = 60             # a device and code is written once in this time; what comes between is counted with the next
MAX_WRITES = 20          # in one second, for all devices together: made-up ids must not keep the ledger's disk busy
MAX_WAITING = 4096       # devices and codes that are counted between two writes


@dataclass(frozen=True)
class Attempt:
    """What a device was refused: `count` times from `first_s` to `last_s`, the last time from `peer`."""

    code: str
    count: int
    first_s: int
    last_s: int
    peer: str


class Attempts:
    """The refusals in one database; methods may be called from several threads and processes at once."""

    def __init__(self, engine: Engine) -> None:
        """Use a database that `Ledger` has brought up to date."""
        self._engine = engine
        self._lock = threading.Lock()
        self._second, self._writes = 0, 0   # writes in the second that is now
        self._counted: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()   # not written yet, and when written last

    def note(self, device: str, code: str, peer: str, now_s: int) -> None:
        """Count one refusal."""
        with self._lock:
            count, written_s = self._counted.get((device, code), (0, 0))
            if now_s != self._second:
                self._second, self._writes = now_s, 0
            is_due = now_s - written_s >= EVERY_S and self._writes < MAX_WRITES
            self._writes += is_due
            self._counted[device, code] = (0, now_s) if is_due else (count + 1, written_s)
            self._counted.move_to_end((device, code))
            if len(self._counted) > MAX_WAITING:
                self._counted.popitem(last=False)
        if is_due:
            self._write(device, code, peer, count + 1, now_s)

    def last(self, device: str) -> list[Attempt]:
        """List what a device was refused, the latest first."""
        query = select(attempts).where(attempts.c.device == device).order_by(attempts.c.last_s.desc())
        with self._engine.connect() as connection:
            return [Attempt(row["code"], row["count"], row["first_s"], row["last_s"], row["peer"])
                    for row in connection.execute(query).mappings()]

    def _write(self, device: str, code: str, peer: str, count: int, now_s: int) -> None:
        key = (attempts.c.device == device, attempts.c.code == code)
        more = update(attempts).where(*key).values(count=attempts.c.count + count, last_s=now_s, peer=peer[:64])
        row = {"device": device, "code": code, "count": count, "first_s": now_s, "last_s": now_s, "peer": peer[:64]}
        try:
            with self._engine.begin() as connection:
                if not connection.execute(more).rowcount:
                    connection.execute(insert(attempts).values(row))
                    self._make_room(connection)
        except IntegrityError:   # another process was first
            with self._engine.begin() as connection:
                connection.execute(more)

    def _make_room(self, connection: Connection) -> None:
        if connection.execute(select(func.count()).select_from(attempts)).scalar_one() > MAX_ROWS:
            oldest = select(func.min(attempts.c.last_s)).scalar_subquery()
            connection.execute(delete(attempts).where(attempts.c.last_s <= oldest))
