"""Answers that go on for long: sent piece by piece, and cut off when nobody takes them.

Decides when a reader is given up: it took nothing for `stall_s`. A stream that breaks inside ends its connection without the last
chunk, so that nobody takes half an export for a whole one.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from host.console.watched import SourceError

log = logging.getLogger(__name__)


class Stream(Response):
    """A response whose end is not known.

    Args:
        content: its bytes; closed at the end, whatever happens.
        stall_s: a reader may take so long for a piece.
        done: called when it is over.
    """

    def __init__(
        self, content: AsyncGenerator[bytes, None], media_type: str, *, stall_s: float, headers: Mapping[str, str] | None = None,
        done: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(None, media_type=media_type, headers=dict(headers or {}))
        del self.headers["content-length"]
        self._content, self._stall_s, self._done = content, stall_s, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send_all(send))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)
            await self._content.aclose()
            self._done()
        if not sending.cancelled() and not sending.result():
            abort = scope.get("extensions", {}).get("abort")   # host.tls puts it there
            if abort is not None:
                abort()

    async def _send_all(self, send: Send) -> bool:
        """Whether all of it was sent."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for part in self._content:
                async with asyncio.timeout(self._stall_s):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        except TimeoutError:
            log.info("a reader took nothing for %g s and is cut off", self._stall_s)
            return False
        except SourceError as error:
            log.warning("an answer breaks off: %s", error)
            return False
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True


async def from_thread(step: Callable[[], bytes | None], close: Callable[[], None]) -> AsyncGenerator[bytes, None]:
    """Make pieces on a thread, each when the one before is sent.

    Args:
        step: gives the next piece, None at the end. close: called when no step runs any more.
    """
    try:
        while True:
            running = asyncio.ensure_future(asyncio.to_thread(step))
            try:
                part = await asyncio.shield(running)
            except asyncio.CancelledError:
                await asyncio.wait({running})   # a thread cannot be ended from outside
                raise
            if part is None:
                return
            yield part
    finally:
        await asyncio.to_thread(close)


def closing(pieces: Iterator[bytes]) -> Callable[[], None]:
    """Give what ends a generator early, so that it lets go of its database connection."""
    close: Callable[[], None] = getattr(pieces, "close", lambda: None)
    return close


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
