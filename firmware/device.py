"""The composition root of a device: adapters, agent and app put together, and nothing else decided. What is needed for a while
only is put together by parts.py.

main.py calls run(boot_info). Agent and app meet here and in the ring only: what one needs of the other is a plain function.
Whatever escapes from run() makes boot.py record the reason and reset.
"""

import asyncio
import gc
import sys

import stub
from node.agent.clock import DeviceClock
from node.agent.metrics import Metrics
from node.agent.rounds import Rounds
from node.agent.scatter import next_due_ms, phase_ms, uniform
from node.agent.supervisor import Supervisor
from node.agent.turns import Turns
from node.app.application import Application
from node.errors import CallerError
from node.loading import Loaded
from node.ring import Ring
from node.settings import Config

if sys.platform == "linux":
    from board.unix.board import TICKS_WRAP_MS, Board
else:
    from board.esp32.board import TICKS_WRAP_MS, Board

LOOK_MS = (15000, 1000)   # between looks at a trial: on a board that must load the code for it each time, and on one that need not
SETTLE_S = 0.2       # between looks whether the uplink has left memory
SETTLE_TRIES = 50    # 10 s; after that somebody else may have grown
SETTLE_BYTES = 6000  # more than what the others gain meanwhile, half of what the uplink takes
TASK_LIMIT_MS = 240_000   # without a sign of life: a connection's deadlines add up to 100 s, a restart waits up to 60 s


# What computes with modules that come and go is in functions of its own: a variable would keep the module.

def _parts():
    import parts
    return parts


class Device:
    """Everything that lives as long as this boot."""

    def __init__(self, boot_info):
        self.boot_info = boot_info
        self.board = Board(boot_info["watchdog"], self._failed)
        Loaded.keep = self.board.tls_sessions > 1
        Loaded.left = self._forget_index
        self.certified = asyncio.Event()
        self.uplink = None     # while it is in memory
        self.app = None        # from its first start on
        self.link_reason = "boot:" + self.board.system.reset_cause()   # why the last session ended
        self._moved = 0, 0   # records acknowledged in this boot, and since when (ms) it is so many
        with Loaded():
            _parts().compose(self, (Config, DeviceClock, Metrics, Ring, Supervisor, Turns), TICKS_WRAP_MS)

    def _forget_index(self):
        bundle = self.boot_info.get("bundle")
        if bundle is not None:
            bundle.index = None

    def _failed(self, reason):
        stub.ended(self.board.files, reason, True)

    def committed(self):
        self._measure_memory(self.uplink is not None and self.uplink.is_quiet())   # with the uplink and its session in it
        self.wake()

    def wake(self):
        if self.uplink is not None:
            self.uplink.wake()

    def acked(self):
        """Whether the server's ack covers a batch of this boot; its first records are only schemas."""
        acked, first_seq = self.ring.acked, self.journal.first_seq
        return acked is not None and first_seq is not None and acked[0] == self.boot and acked[1] > first_seq

    def stalled_ms(self):
        """How long the server's ack has not moved on, as far as the calls of this show; at most the uptime."""
        acked, now_ms = self.metrics.get("acked"), self.clock.ticks_ms()
        if acked != self._moved[0]:
            self._moved = acked, now_ms
        return now_ms - self._moved[1]

    def read_something(self):
        """Whether a reading of this boot is committed."""
        return self.ring.tally > self.tally

    def app_crashes(self):
        return self.metrics.get("app_crashes")

    def restart(self, reason):
        self.board.system.reset(reason, False)

    def measured(self):
        """The metrics, the states among them brought up to date."""
        metrics = self.metrics
        metrics.put("uptime_s", self.clock.ticks_ms() // 1000)
        metrics.put("ring_used", self.ring.used_bytes)
        metrics.put("ring_dropped", self.ring.dropped)
        metrics.put("sensors_bad", self.app.sampler.bad if self.app else 0)
        metrics.put("alarms", self.app.alarms() if self.app else 0)
        self._measure_memory(True)
        told = metrics.snapshot()
        rssi = self.board.rssi()
        if rssi is not None:
            told["rssi"] = rssi
        return told

    def _measure_memory(self, settled):
        """settled: neither a TLS handshake nor records under way borrow of ESP-IDF's memory, what is there to be lent to them."""
        system = self.board.system
        self.metrics.low("heap_free", system.mem_free())
        if settled:
            self.metrics.low("idf_block", system.idf_block())

    async def sample(self):
        """The app, a new one after each crash."""
        config, chance = self.config, self.board.chance
        uplink_ms = config.uplink_s * 1000
        phase = phase_ms(self.id, uplink_ms)

        def next_flush_ms(now_ms):
            return next_due_ms(now_ms, uplink_ms, phase, uniform(chance.urandom(4), uplink_ms // 8))

        self.app = None   # it may hold what the next one needs room for
        with Loaded():
            groups, sampler = _parts().groups(self)
        self.app = Application(groups, sampler, self.clock, batch_samples=config.batch_samples, next_flush_ms=next_flush_ms,
                               on_late=lambda late_ms: self.metrics.peak("late_max_ms", late_ms))
        await self.app.run()

    async def enrol(self):
        """Key and certificate; then the certificate's renewal."""
        alive = self.supervisor.watch("enrol", TASK_LIMIT_MS)
        await self._obtain(alive)   # the other connections wait for the certificate, so this one needs no turn
        self.certified.set()
        state = {}
        while True:
            await self.turns.take(alive)
            try:
                wait_ms = await self._enrolment().refresh(state, self._enrol_fault)
            finally:
                self.turns.give()
            due_ms = self.clock.ticks_ms() + wait_ms
            while self.clock.ticks_ms() < due_ms:
                alive()
                await asyncio.sleep(5)

    async def _obtain(self, alive):
        enrolment = self._enrolment()

        def tell():
            self.board.system.tell("BIRTH", enrolment.announcement(self.config.model))

        await enrolment.obtain(tell, self._enrol_fault, alive)

    def _enrolment(self):
        with Loaded():
            return _parts().enrolment(self)

    def _enrol_fault(self, error):
        self.metrics.fault("enrol", error)

    async def send(self):
        """The uplink, once there is a certificate; it leaves memory while others have their turn."""
        alive = self.supervisor.watch("uplink", TASK_LIMIT_MS)
        await self.certified.wait()
        failures = 1
        while True:
            await self.turns.enter(alive)
            gc.collect()
            used = gc.mem_alloc()
            try:
                with Loaded():
                    self.uplink = _parts().uplink(self)
                await self.uplink.run(alive, failures)
                self._drop_uplink()
                await self._settle(used, alive)
            finally:
                self._drop_uplink()
                self.turns.leave()
            failures = 0   # it stepped aside

    async def _settle(self, used, alive):
        """Wait until the uplink's code is gone: for a while asyncio holds tasks that have ended."""
        for _ in range(SETTLE_TRIES):
            gc.collect()
            if Loaded.keep or gc.mem_alloc() - used < SETTLE_BYTES:
                return
            alive()
            await asyncio.sleep(SETTLE_S)

    def _drop_uplink(self):
        if self.uplink is not None:
            self.link_reason = self.uplink.reason
            self.uplink = None

    async def check_in(self):
        """The check-in, once there is a certificate; a trial that never gets one ends all the same."""
        self.checkin_alive = self.supervisor.watch("checkin", TASK_LIMIT_MS)
        await Rounds(self.turns, self.clock, self, _parts, look_ms=LOOK_MS[Loaded.keep],
                     alive=self.checkin_alive).run(self.certified.is_set)

    async def run(self):
        """Run every task until the board resets."""
        self.supervisor.add("app", self.sample, vital=False)
        self.supervisor.add("enrol", self.enrol)
        self.supervisor.add("uplink", self.send)
        self.supervisor.add("checkin", self.check_in)
        await self.supervisor.run()


def run(boot_info):
    """Run the device; returns only by an exception."""
    if boot_info.get("watchdog") is None:
        raise CallerError("boot.watchdog", "boot.py arms the watchdog and hands it over")
    asyncio.run(Device(boot_info).run())
