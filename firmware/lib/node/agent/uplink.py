"""Carries records from the ring to the server, and the server's acks back: one MQTT session at a time, for ever.

Only an ack trims the ring: a broker's PUBACK merely frees the window. Whatever fails, the session is closed, the fault counted,
and after a scattered wait the next one starts from the first record without an ack. Encodes nothing and decides nothing
about readings; the packets are link.py's.
"""

import asyncio

from node.agent.cursor import Cursor
from node.agent.link import OPEN, Link
from node.agent.scatter import backoff_ms
from node.errors import NetworkError, NodeError
from node.wire import topics

TYPE_CHECKING = False   # mypy reads it as true; the device never runs the imports
if TYPE_CHECKING:
    from node.agent.metrics import Metrics
    from node.agent.turns import Turns
    from node.hints import Callable, ModuleType
    from node.ports import Clock, Net, Random, Stream
    from node.ring import Ring
    from node.settings import Config

CONNECT_S = 30       # TCP, TLS and CONNACK together; a P-256 handshake on ESP32 is below 2 s, its DNS can take 19 s
WRITE_S = 20         # until a written packet has left: a peer that takes no bytes for longer is gone
PUBACK_MS = 20_000   # without a PUBACK that is due, e.g. of a full broker; below STABLE_MS, so that the waits between sessions grow
AHEAD_WINDOWS = 2    # records sent beyond the last ack, in windows: bounds what is repeated when ingest is down
SCHEMA_AGAIN_MS = 30_000   # the server asks with every ack until it has the schema; it is answered this often
STABLE_MS = 30_000   # a session this long ends a run of failures
READ_BYTES = 512
IDLE_MS = 5000       # the sender looks around at least this often
SLICE_MS = 500       # of a pause: others wait so long for their turn


class Uplink:
    """The uplink task.

    Args:
        mqtt: the module umqtt.simple. ring: mounted. cursor: what stands for Cursor where the order is another, or None.
        release: name and counter of what runs, for the retained state.
        on_ack: called when an ack has moved. schema_again: commits the schema once more.
        turns: whose turn it is to hold a connection. reason: why the session before ended, or "boot:" and the reset's cause.
        log: (event, detail), once when the kind of fault changes.

    Attributes:
        reason: why the last session ended by a fault.
    """

    def __init__(self, device: str, boot: int, config: "Config", *, net: "Net", mqtt: "ModuleType", ring: "Ring", clock: "Clock",
                 cursor: "type[Cursor] | None", chance: "Random", metrics: "Metrics", release: tuple[str, int],
                 on_ack: "Callable[[], None]", schema_again: "Callable[[], None]", turns: "Turns", reason: str,
                 log: "Callable[[str, str], None]") -> None:
        self._device = device
        self._boot = boot
        self._config = config
        self._net = net
        self._mqtt = mqtt
        self._ring = ring
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._release = release
        self._on_ack = on_ack
        self._schema_again = schema_again
        self._turns = turns
        self._log = log
        self._schema_ms = -SCHEMA_AGAIN_MS
        self._wake = asyncio.Event()
        self._faults = (OSError, ValueError, IndexError, AssertionError, TypeError, EOFError, NodeError,
                        asyncio.TimeoutError, mqtt.MQTTException)
        self.reason = reason
        self._announced: tuple[int, int] | None = None   # the oldest record that the server was told of
        self._open_ms: int | None = None                 # when this session was accepted
        self._broken: BaseException | None = None        # what ended the reading half
        self._confirmed_ms = 0                           # when a PUBACK came last in this session, or none was due
        self._heard_ms = 0                               # when anything came
        self._new_cursor = cursor or Cursor
        self._start_over(0)

    def wake(self) -> None:
        """There may be something to send: called after each commit."""
        self._wake.set()

    def is_open(self) -> bool:
        """Whether the broker has accepted this session."""
        return self._open_ms is not None

    def is_quiet(self) -> bool:
        """Whether the session is open, and the network's buffers empty: all that was sent in it is acknowledged."""
        return self.is_open() and not self._cursor.outstanding()

    async def run(self, alive: "Callable[[], None]", failures: int = 1) -> None:
        """Sessions until somebody else wants the turn or the servers have moved; calls `alive` at least every IDLE_MS + WRITE_S
        while well.

        Args:
            failures: so many were before: the wait before the first session grows with them.
        """
        while True:
            await self._pause(failures, alive)
            started_ms = self._clock.ticks_ms()
            self._open_ms = None
            try:
                await self._session(alive)
                return   # stepped aside
            except self._faults as error:
                self._note(error)
            self._metrics.add("drops" if self.is_open() else "sync_failure")
            failures = 1 if self._clock.ticks_ms() - started_ms > STABLE_MS else failures + 1

    def _note(self, error: Exception) -> None:
        reason = self._metrics.fault("uplink", error)
        if reason != self.reason:
            self._log(reason, str(error))
        self.reason = reason

    async def _pause(self, failures: int, alive: "Callable[[], None]") -> None:
        """Wait before connecting, also the first time: a fleet whose power came back must not arrive at once."""
        cap_ms = self._config.backoff_max_s * 1000
        left_ms = 0
        if failures:
            left_ms = backoff_ms(failures, self._config.uplink_s * 1000, cap_ms, self._chance.urandom(4))
        while True:
            alive()
            await asyncio.sleep(min(left_ms, SLICE_MS) / 1000)   # also for 0: no fault may make this a loop without end
            left_ms -= SLICE_MS
            if left_ms <= 0 or self._turns.wanted():
                return

    async def _session(self, alive: "Callable[[], None]") -> None:
        """One connection, from open to close; ends by an exception, or by stepping aside."""
        will = (topics.state(self._device), topics.OFFLINE)
        link = Link(self._mqtt, self._device, self._config.keepalive_s, will)
        stream = reader = None
        self._broken = None
        if self._turns.wanted():
            return
        try:
            stream = await asyncio.wait_for(self._net.open(self._config.server(self._device), self._config.mqtt_port, True),
                                            CONNECT_S)
            alive()
            await asyncio.wait_for(self._greet(link, stream), CONNECT_S)
            self._open_ms = self._confirmed_ms = now_ms = self._clock.ticks_ms()
            self._metrics.add("connects")
            self._start_over(now_ms)
            await self._put(stream, self._tell_state(link))
            reader = asyncio.create_task(self._read(link, stream))
            await self._send(link, stream, alive)
        finally:
            if reader is not None:
                await _ended(reader)
            if stream is not None:
                stream.close()

    def _start_over(self, now_ms: int) -> None:
        self._cursor = self._new_cursor(self._ring.first_unacked(), self._ring.next_seq, AHEAD_WINDOWS * self._config.window,
                                        self._config.ack_timeout_s * 1000, now_ms)

    async def _greet(self, link: Link, stream: "Stream") -> None:
        await self._put(stream, link.connect())
        while link.state != OPEN:
            await self._take(link, stream)
        await self._put(stream, link.subscribe(topics.ack(self._device)))
        while not link.subscribed:
            await self._take(link, stream)

    async def _read(self, link: Link, stream: "Stream") -> None:
        """The reading half: takes packets until it is cancelled."""
        try:
            while True:
                await self._take(link, stream)
        except self._faults as error:
            self._broken = error
        self._wake.set()

    async def _take(self, link: Link, stream: "Stream") -> None:
        data = await stream.read(READ_BYTES)
        if not data:
            raise NetworkError("uplink.closed", "the broker closed the connection")
        self._heard_ms = self._clock.ticks_ms()
        self._metrics.add("rx_bytes", len(data))
        due = len(link.in_flight)
        link.feed(data)
        if len(link.in_flight) < due:
            self._confirmed_ms = self._heard_ms
        for topic, message in link.inbox:
            if topic == topics.ack(self._device):
                self._acked(message)
        link.inbox.clear()
        self._wake.set()

    async def _send(self, link: Link, stream: "Stream", alive: "Callable[[], None]") -> None:
        """The writing half: records, pings, and the start over when acks stand still."""
        ping_ms = self._config.keepalive_s * 1000 // 4   # umqtt's keepalive is not automatic; 4 chances to notice
        ping_due_ms = self._clock.ticks_ms() + ping_ms
        while self._broken is None:
            alive()
            if self._turns.wanted() or stream.moved():
                await self._put(stream, link.disconnect())   # with a word of farewell: no last will, no drop
                return
            self._wake.clear()
            now_ms = self._clock.ticks_ms()
            if not link.in_flight:
                self._confirmed_ms = now_ms
            elif now_ms - self._confirmed_ms > PUBACK_MS:
                raise NetworkError("uplink.puback", "no PUBACK for %d publishes" % len(link.in_flight))
            if now_ms - self._heard_ms > 4 * ping_ms:
                raise NetworkError("uplink.silence", "not a byte for a keepalive period")
            packet = self._packet(link, now_ms)
            if packet is None and now_ms >= ping_due_ms:
                packet = link.ping()
            if packet is not None:
                ping_due_ms = now_ms + ping_ms   # a record is a sign of life too, and its PUBACK an answer
                await self._put(stream, packet)
                continue
            stall_ms = self._cursor.stall_in_ms(now_ms)
            wait_ms = min(IDLE_MS, max(ping_due_ms - now_ms, 0), IDLE_MS if stall_ms is None else stall_ms)
            await self._rest(wait_ms)
        raise self._broken

    def _packet(self, link: Link, now_ms: int) -> bytes | None:
        """The next packet that acks and records ask for, or None."""
        if self._cursor.stall_in_ms(now_ms) == 0:
            self._metrics.add("sync_failure")
            self._cursor.rewind(self._ring.first_unacked(), self._ring.next_seq, now_ms)
            if self._ring.oldest(self._boot) != self._announced:   # the ring overflowed: the server must not wait for what is gone
                return self._tell_state(link)
        picked = self._cursor.pick(self._ring.next_seq)
        if picked is None or len(link.in_flight) >= self._config.window:
            return None
        for _boot, seq, record in self._ring.records(picked):
            self._cursor.sent(picked, seq, now_ms)
            self._metrics.add("msgs")
            return link.publish(topics.up(self._device), record)
        return None

    def _tell_state(self, link: Link) -> bytes:
        self._announced = self._ring.oldest(self._boot)
        state = topics.encode_state(self._boot, self._release[0], self._release[1], self._announced, self.reason)
        return link.publish(topics.state(self._device), state, True)

    def _acked(self, message: bytes) -> None:
        """Trim the ring by the server's word. One that is not about this ring's records is not heard."""
        boot, seq, flags = topics.parse_ack(message)
        freed = self._ring.ack(boot, seq)
        now_ms = self._clock.ticks_ms()
        if freed:
            self._metrics.add("acked", freed)
            self._cursor.acked(self._ring.first_unacked(), now_ms)
            self._on_ack()
        if flags & topics.SEND_SCHEMA and now_ms - self._schema_ms >= SCHEMA_AGAIN_MS:
            self._schema_ms = now_ms
            self._schema_again()

    async def _put(self, stream: "Stream", packet: bytes) -> None:
        stream.write(packet)
        self._metrics.add("tx_bytes", len(packet))
        await asyncio.wait_for(stream.drain(), WRITE_S)

    async def _rest(self, wait_ms: int) -> None:
        """Wait for wake(), at most so long."""
        try:
            await asyncio.wait_for(self._wake.wait(), wait_ms / 1000)
        except asyncio.TimeoutError:
            return


async def _ended(task: "asyncio.Task[None]") -> None:
    """Cancel a task until it is gone: it must not poll a socket that is about to close.

    More than once, since wait_for on CPython up to 3.11 may swallow a cancellation (its issue 86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
