"""One real Uplink between a ring and connections that a test chooses. Both runtimes."""

import asyncio
import json

from host.sim.flash import NorFlash
from node.agent import uplink as module
from node.agent.cursor import Cursor
from node.agent.metrics import Metrics
from node.agent.turns import Turns
from node.ring import Ring
from node.wire import topics
from tests.sim import umqtt
from tests.sim.network import Broker, PipeNet, RealClock, Zeros, publish_packet

MQTT = umqtt.load()
DEVICE = "hall-0242ac110001"
BOOT = 3
LIMIT_S = 60   # for what must come, on a machine that is busy with other things


class Fraction:
    """A part of a second, for settings that are whole seconds in the field."""

    def __init__(self, ms):
        self.ms = ms

    def __mul__(self, thousand):
        return self.ms * thousand // 1000


class Config:
    mqtt_port, window, keepalive_s = 8883, 2, 5
    ack_timeout_s, backoff_max_s, uplink_s = Fraction(50), Fraction(20), Fraction(10)

    def server(self, device):
        return device + ".zone"


class FarClock:
    """Each look is an hour later: whoever asks for a turn is heard at once."""

    def __init__(self):
        self.now_ms = 0

    def ticks_ms(self):
        self.now_ms += 3_600_000
        return self.now_ms


class FastClock(RealClock):
    """A clock that runs `times` as fast, and the waits of an uplink with it."""

    def __init__(self, times, uptime_ms=0):
        super().__init__()
        self._times, self._uptime_ms = times, uptime_ms
        self.Event, self.TimeoutError = asyncio.Event, asyncio.TimeoutError
        self.create_task = asyncio.create_task

    def ticks_ms(self):
        return self._uptime_ms + super().ticks_ms() * self._times

    async def sleep(self, wait_s):
        await asyncio.sleep(wait_s / self._times)

    async def wait_for(self, awaitable, wait_s):
        return await asyncio.wait_for(awaitable, wait_s / self._times)


class UplinkRig:
    """What tests of the uplink stand on; setUp() first."""

    def setUp(self):
        if MQTT is None:
            self.skipTest("umqtt.simple was not fetched: `make umqtt`")
        self.ring = Ring(NorFlash(8))
        self.ring.mount()
        self.metrics = Metrics()
        self.config = Config()
        self.broker = Broker()
        self.net = PipeNet(self.broker)
        self.acks = 0
        self.schemas = 0
        self.alive = 0
        self.turns = Turns(False, FarClock())
        self.times = 1   # as fast as the clock
        self.uptime_ms = 0   # when the uplink begins
        self.cursor = Cursor

    def records(self, count):
        for _ in range(count):
            seq = self.ring.next_seq
            self.ring.append(BOOT, seq, b"record %d" % seq, 1)

    def sent(self):
        return [payload for topic, payload, _ in self.broker.published if topic == topics.up(DEVICE)]

    def states(self):
        return [json.loads(payload) for topic, payload, _ in self.broker.published if topic == topics.state(DEVICE)]

    def ack(self, pipe, boot, seq, flags=0):
        pipe.say(publish_packet(topics.ack(DEVICE), topics.encode_ack(boot, seq, flags)))

    def ack_each(self, pipe, topic, payload):
        if topic == topics.up(DEVICE):
            self.ack(pipe, BOOT, int(payload.split()[1]))

    def run_until(self, done):
        """Run an uplink until done() or until it is too late."""
        def count(name):
            setattr(self, name, getattr(self, name) + 1)

        async def main():
            clock = FastClock(self.times, self.uptime_ms)
            module.asyncio = clock
            uplink = module.Uplink(
                DEVICE, BOOT, self.config, net=self.net, mqtt=MQTT, ring=self.ring, clock=clock, cursor=self.cursor,
                chance=Zeros(), metrics=self.metrics, release=("1.0.0", 1), on_ack=lambda: count("acks"),
                schema_again=lambda: count("schemas"), turns=self.turns, reason="boot", log=lambda *_: None)
            self.uplink = uplink

            async def keep_running():   # as main.py does when it stepped aside
                while True:
                    await self.turns.enter(lambda: None)
                    await uplink.run(lambda: count("alive"), 1 if not self.metrics.get("connects") else 0)
                    self.turns.leave()

            task = asyncio.create_task(keep_running())
            end_ms = clock.ticks_ms() + LIMIT_S * 1000 * self.times
            while not done() and clock.ticks_ms() < end_ms and not task.done():
                await asyncio.sleep(0.002)
            while not task.done():   # wait_for on CPython up to 3.11 may swallow one (its issue 86296)
                task.cancel()
                await asyncio.sleep(0.02)
            if not done() and not task.cancelled():
                await task   # an exception that escaped says more than the clock

        try:
            asyncio.run(main())
        finally:
            module.asyncio = asyncio
        self.assertTrue(done(), f"waited in vain: {self.metrics.faults}")
