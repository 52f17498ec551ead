"""Group commit: certificates that are issued while one commit is under way are recorded together by the next.

Decides who commits for whom. A commit is an fsync, and SQLite lets writers wait by trying again, without a queue: with some thirty
at once one of them went without a turn for longer than the busy timeout. Nobody goes on before his certificate is committed.
"""

import threading
from collections.abc import Callable, Sequence

from provisioning.ledger import NewCertificate


class _Waiting:
    """One caller's certificate, and what became of it."""

    def __init__(self, given: NewCertificate) -> None:
        self.given = given
        self.is_done = False
        self.is_recorded = False
        self.failed: Exception | None = None


class Recorder:
    """Records for several threads; whoever has the turn commits for all who wait."""

    def __init__(self, record: Callable[[Sequence[NewCertificate]], list[NewCertificate]]) -> None:
        """Make a recorder over `Ledger.record_certificates`."""
        self._record = record
        self._turn, self._gate = threading.Lock(), threading.Lock()
        self._waiting: list[_Waiting] = []

    def record(self, given: NewCertificate) -> bool:
        """Record one certificate, and return when it is on the disk; False when the ledger refuses it (`record_certificates`).

        Raises:
            SQLAlchemyError: the ledger is out of reach, and nothing of this commit was recorded.
        """
        mine = _Waiting(given)
        with self._gate:
            self._waiting.append(mine)
        with self._turn:
            if not mine.is_done:
                self._commit()
        if mine.failed is not None:
            raise mine.failed
        return mine.is_recorded

    def _commit(self) -> None:
        with self._gate:
            group, self._waiting = self._waiting, []
        try:
            refused = self._record([each.given for each in group])
        except Exception as error:   # whatever it is, it is that of each of them
            for each in group:
                each.failed = error
        else:
            for each in group:
                each.is_recorded = each.given not in refused
        finally:
            for each in group:
                each.is_done = True
