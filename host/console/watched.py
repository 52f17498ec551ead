"""What is known of a source, and since when it has been out of reach.

Decides when a source is asked again and what is shown meanwhile: however many browsers look, a source is asked once in
`keep_s`, by one of them; a source that fails shows its last words, marked with the time since when they are old.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class SourceError(Exception):
    """A source cannot be read now; the page shows the message. `code` is stable, e.g. "ota.unreachable"."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Known(Generic[T]):
    """A source's last words.

    Attributes:
        value: None when it has never answered.
        at_ms: when `value` was read, Unix milliseconds.
        error: None when the last try succeeded.
        failing_ms: since when it fails; 0 when it does not.
    """

    value: T | None = None
    at_ms: int = 0
    error: SourceError | None = None
    failing_ms: int = 0

    def status(self) -> dict[str, object]:
        """How the source is, for the page."""
        return {
            "ok": self.error is None, "code": self.error.code if self.error else "", "message": str(self.error or ""),
            "since_ms": self.failing_ms,
        }


class Watched(Generic[T]):
    """One question to one source.

    Args:
        ask: reads the source; raises SourceError when it cannot.
        keep_s: how long an answer, or a failure, is shown before the source is asked again.
        clock_ms: Unix milliseconds.
    """

    def __init__(self, ask: Callable[[], Awaitable[T]], keep_s: float, clock_ms: Callable[[], int]) -> None:
        self._ask, self._keep_ms, self._clock_ms = ask, keep_s * 1000, clock_ms
        self._known: Known[T] = Known()
        self._asked_ms: float = -1e15
        self._lock = asyncio.Lock()

    async def get(self) -> Known[T]:
        """The newest known; asks the source when that is too old and nobody else is asking already."""
        if self._clock_ms() - self._asked_ms < self._keep_ms:
            return self._known
        if self._lock.locked() and self._asked_ms > 0:
            return self._known   # somebody is waiting for the source already; a slow source must not queue browsers
        async with self._lock:
            if self._clock_ms() - self._asked_ms >= self._keep_ms:
                await self._refresh()
        return self._known

    async def _refresh(self) -> None:
        try:
            value = await self._ask()
        except SourceError as error:
            known, now_ms = self._known, self._clock_ms()
            self._known = Known(known.value, known.at_ms, error, known.failing_ms or now_ms)
        else:
            self._known = Known(value, self._clock_ms())
        self._asked_ms = self._clock_ms()
