"""Ingest from a nats-server's JetStream: a durable pull consumer that any number of workers share.

Decides how much is asked for, and when again: never more than the inbox takes, and anew whenever the broker has been silent for
longer than it would be. A message is acknowledged when it is settled; what a worker took with it when it died, the broker hands
to another after the consumer's ack_wait. One thread with a loop of its own. Knows nothing of what messages mean; the stream and
the consumer are made by stream.py, with rights that ingest does not have.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from threading import Thread
from typing import Any, Protocol

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from host.broker import CONSUMER, STREAM
from host.ingest.inbox import Inbox, Message

log = logging.getLogger(__name__)

INBOX_PREFIX = "_INBOX.ingest"   # host.broker lets svc.ingest hear under it, and nothing else
PULL = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}"
PULL_MAX = 512          # messages of one pull
EXPIRES_S = 10.0        # a pull that was not filled by then ends, and the next begins
HEARTBEAT_S = 1.0       # the broker says at least so often that it still has our pull
SILENT_S = 3.0          # without a word for so long, it has not: a node died, or the consumer moved to another
TICK_S = 0.25           # how often that is looked at
CONNECT_S = 5
RECONNECT_S = 1
STOP_S = 1.0            # a stop waits this long for the farewell
HEARTBEAT, EXPIRED = "100", "408"
END_OF_PULL = ("404", EXPIRED, "409")   # no messages, or the server's own reasons (JetStream, ADR-37)


class _Link(Protocol):
    """The settings of one link; IngestSettings has them."""

    @property
    def nats_servers(self) -> tuple[str, ...]: ...
    @property
    def client_id(self) -> str: ...
    @property
    def keepalive_s(self) -> int: ...


class NatsSource:
    """A source (see source.py) on one JetStream consumer."""

    def __init__(self, link: _Link, tls: ssl.SSLContext) -> None:
        self._link, self._tls, self._inbox = link, tls, Inbox(0)
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = Thread(target=self._work, name="nats", daemon=True)
        self._client = Client()
        self._pulling, self._heard_s = 0, 0.0   # messages asked for and not here yet; when the broker last said anything of them

    def start(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._thread.start()

    def settle(self, messages: Iterable[Message]) -> None:
        self._soon(self._acknowledge([message.token for message in messages]))

    def send(self, topic: str, payload: bytes) -> None:
        self._soon(self._publish(topic.replace("/", "."), payload))

    def hear_states(self, *, hear: bool) -> None:
        """States come by the same consumer as all else; the broker tells when it took them, by which they are put in order."""

    def recover(self) -> None:
        """Nothing is ever refused: only what there is room for is asked for."""

    def stop(self) -> None:
        with suppress(RuntimeError):   # the loop has ended already
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(STOP_S)

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:   # stopped: the broker hands it out again
            work.close()

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        """Connect, then ask for messages until told to stop. The client connects again by itself, for ever."""
        connecting = asyncio.create_task(self._connect())
        stopping = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        try:
            while connecting.done() and not self._stopped.is_set():
                await self._pull()
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(stopping), TICK_S)
        finally:
            connecting.cancel()
            stopping.cancel()
            await asyncio.gather(connecting, stopping, return_exceptions=True)
            with suppress(NatsError, OSError, TimeoutError):
                await asyncio.wait_for(self._client.close(), STOP_S)

    async def _connect(self) -> None:
        servers = [f"tls://{server}" for server in self._link.nats_servers]
        while True:
            try:
                await self._client.connect(
                    servers, tls=self._tls, name=self._link.client_id, inbox_prefix=INBOX_PREFIX, max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_S, connect_timeout=CONNECT_S, ping_interval=self._link.keepalive_s,
                    error_cb=self._on_error, disconnected_cb=self._on_disconnected, reconnected_cb=self._on_reconnected,
                )
                break
            except (NatsError, OSError, TimeoutError) as error:
                log.warning("cannot reach the broker %s, trying again: %s", ", ".join(servers), error)
                await asyncio.sleep(RECONNECT_S)
        self._deliver = self._client.new_inbox()
        await self._client.subscribe(self._deliver, cb=self._on_message, pending_msgs_limit=-1, pending_bytes_limit=-1)
        log.info("connected to %s, subscribed to %s of %s", self._client.connected_url.netloc if self._client.connected_url else "",
                 CONSUMER, STREAM)

    async def _pull(self) -> None:
        """Ask for as much as there is room for, unless enough is on its way."""
        now_s = self._loop.time()
        if self._pulling and now_s - self._heard_s > SILENT_S:
            self._pulling = 0
        wanted = min(PULL_MAX, self._inbox.room() - self._pulling)
        if not self._client.is_connected or self._pulling > PULL_MAX // 2 or wanted <= 0:
            return
        if not self._pulling:
            self._heard_s = now_s
        self._pulling += wanted
        request = {"batch": wanted, "expires": int(EXPIRES_S * 1e9), "idle_heartbeat": int(HEARTBEAT_S * 1e9)}
        with suppress(NatsError):   # asked again when the silence is noticed
            await self._client.publish(PULL, json.dumps(request).encode(), self._deliver)

    async def _on_message(self, message: Msg) -> None:
        self._heard_s = self._loop.time()
        if not message.reply.startswith("$JS.ACK."):
            self._on_status(message)
        else:
            self._pulling = max(0, self._pulling - 1)
            told = message.metadata
            self._inbox.put(Message(   # if there is no room after all, the broker hands it out again
                message.subject.replace(".", "/"), message.data, told.num_delivered > 1, message.reply,
                int(told.timestamp.timestamp() * 1000),
            ))
        if self._pulling <= PULL_MAX // 2:
            await self._pull()

    def _on_status(self, message: Msg) -> None:
        """The broker's word about a pull: a heartbeat, or its end."""
        status = (message.headers or {}).get("Status", "")
        if status in END_OF_PULL:
            left = (message.headers or {}).get("Nats-Pending-Messages", "")
            self._pulling = max(0, self._pulling - int(left)) if left.isdecimal() else 0
        if status not in (HEARTBEAT, EXPIRED):
            log.debug("the broker ended a pull: %s %s", status, (message.headers or {}).get("Description", ""))

    async def _acknowledge(self, replies: Sequence[str]) -> None:
        for reply in replies:
            await self._publish(reply, b"+ACK")
        await self._pull()

    async def _publish(self, subject: str, payload: bytes) -> None:
        with suppress(NatsError, OSError):   # lost: a device or the broker sends again what was not acknowledged
            await self._client.publish(subject, payload)

    async def _on_error(self, error: Exception) -> None:
        log.warning("broker: %s", str(error) or type(error).__name__)

    async def _on_disconnected(self) -> None:
        self._pulling = 0
        log.warning("connection to the broker ended")

    async def _on_reconnected(self) -> None:
        self._pulling = 0
        log.info("connected again to %s", self._client.connected_url.netloc if self._client.connected_url else "")
