"""Group commit: certificates that are issued within some milliseconds, or during a commit, are recorded together by the next.

Decides what is committed together. A commit is an fsync, and SQLite lets writers wait by trying again, without a queue: with some
thirty at once one of them went without a turn for longer than the busy timeout. Nobody goes on before his certificate is committed.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from provisioning.ledger import NewCertificate

GATHER_S = 0.01   # a commit waits so long for others: its own cost is that of several rows, and a handshake takes longer


class Recorder:
    """Records for all requests of one event loop, one commit at a time, in a thread of the given ones."""

    def __init__(self, record: Callable[[Sequence[NewCertificate]], list[NewCertificate]], threads: Executor) -> None:
        """Make a recorder over `Ledger.record_certificates`."""
        self._record, self._threads = record, threads
        self._waiting: list[tuple[NewCertificate, asyncio.Future[bool]]] = []
        self._work: asyncio.Task[None] | None = None

    async def record(self, given: NewCertificate) -> bool:
        """Record one certificate, and return when it is on the disk; False when the ledger refuses it (`record_certificates`).

        Raises:
            SQLAlchemyError: the ledger is out of reach, and nothing of this commit was recorded.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((given, done))
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._commit())
        return await done

    async def _commit(self) -> None:
        while self._waiting:
            await asyncio.sleep(GATHER_S)
            group, self._waiting = self._waiting, []
            try:
                refused = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._record, [given for given, _ in group])
            except Exception as error:   # whatever it is, it is that of each of them
                for _, done in group:
                    if not done.done():   # else he hung up meanwhile
                        done.set_exception(error)
            else:
                for given, done in group:
                    if not done.done():
                        done.set_result(given not in refused)
