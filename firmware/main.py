"""The composition root of a device: adapters, agent and app put together, and nothing else decided.

boot.py calls run(boot_info). Agent and app meet here and in the ring only: what one needs of the other is a plain function.
Whatever escapes from run() makes boot.py record the reason and reset.
"""

import asyncio
import gc
import sys

gc.threshold(4096)   # before the imports below: collecting as they go keeps what stays from being scattered over the heap

import stub
from node import loading
from node.agent.clock import DeviceClock
from node.agent.metrics import Metrics
from node.agent.paths import CERT_PATH, KEY_PATH
from node.agent.rounds import Rounds
from node.agent.scatter import next_due_ms, phase_ms, uniform
from node.agent.supervisor import Supervisor
from node.agent.turns import Turns
from node.app.application import Application
from node.app.batcher import Journal
from node.errors import CallerError
from node.loading import Loaded
from node.ring import Ring
from node.wire.identity import device_id

if sys.platform == "linux":
    from board.unix.board import TICKS_WRAP_MS, Board
else:
    from board.esp32.board import TICKS_WRAP_MS, Board

SITE_PATH = "/state/site.json"
TRUST_PATHS = ("/trust/ca.der", CERT_PATH, KEY_PATH)
BOOT_COUNT_PATH = "/state/boot_count"
RESETS_PATH = "/state/resets"
LOOK_MS = (5000, 1000)   # between looks at a trial: on a board that must load the code for it each time, and on one that need not
TASK_LIMIT_MS = 240_000   # without a sign of life: a connection's deadlines add up to 100 s, a restart waits up to 60 s


class Device:
    """Everything that lives as long as this boot."""

    def __init__(self, boot_info):
        self.boot_info = boot_info
        crashes = 0 if boot_info["trial"] else boot_info["tries"]   # a trial counts its boots
        self.board = Board(boot_info["watchdog"], self._failed, (boot_info["exit"], crashes))
        files, chance = self.board.files, self.board.chance
        with Loaded():
            from node import config
            self.config = config.parse(files.read(SITE_PATH) or b"")
        self.id = device_id(self.config.product, self.board.mac)
        rtc = self.board.rtc(self.config.time_floor_s)
        self.clock = DeviceClock(self.board.raw_ticks_ms, TICKS_WRAP_MS, floor_s=self.config.time_floor_s, seen_s=rtc.seen_s,
                                 told=rtc.told)
        self.metrics = Metrics()
        self.supervisor = Supervisor(self.clock, chance, self.board.system, self.metrics)
        self.ring = Ring(self.board.ring_device)
        self.ring.mount()
        self.boot = self._count_boot(files)
        self.net = self.board.net(TRUST_PATHS, self.config, self.clock, self.id)   # radio on: from here chance is true chance
        loading.keep = self.board.tls_sessions > 1
        self.turns = Turns(self.board.tls_sessions > 1)
        self.turns.asked = self._committed
        self.journal = self._make_journal()
        self.certified = asyncio.Event()
        self.uplink = None     # while it is in memory
        self.link_reason = "boot"   # why the last session ended

    def _failed(self, reason):
        stub.ended(self.board.files, reason, True)

    def _count_boot(self, files):
        """This boot's number: above every one that flash remembers, and on flash before anything bears it."""
        last = self.ring.last()
        boot = max(int(files.read(BOOT_COUNT_PATH) or b"0"), last[0] if last else 0) + 1
        files.write_atomic(BOOT_COUNT_PATH, str(boot).encode())
        resets = int(files.read(RESETS_PATH) or b"0")
        if self.board.system.reset_cause() != "soft":
            resets += 1
            files.write_atomic(RESETS_PATH, str(resets).encode())
        self.metrics.put("resets", resets)
        return boot

    def _committed(self):
        if self.uplink is not None:
            self.uplink.wake()

    def _make_journal(self):
        with Loaded():
            from node.wire import schema
            raw = schema.build([(channel.name, channel.unit, channel.resolution) for channel in self.config.channels])
            named = schema.schema_hash(raw)
        return Journal(self.ring, self.boot, raw, named, self.clock, self._committed)

    def _server(self, port, mutual):
        from node.agent.http import HttpClient
        return HttpClient(self.net, self.config.server(self.id), port, mutual)

    def _make_uplink(self):
        import umqtt.simple as mqtt
        from node.agent.uplink import Uplink
        from node.wire import topics
        release = self.boot_info["release"]
        name, counter = release.get("release", "0.0.0"), release.get("counter", 0)

        def state(oldest, reason):
            return topics.encode_state(self.boot, name, counter, oldest, reason)

        return Uplink(self.id, self.boot, self.config, net=self.net, mqtt=mqtt, ring=self.ring, clock=self.clock,
                      chance=self.board.chance, metrics=self.metrics, state=state, on_ack=self.supervisor.heard,
                      schema_again=self.journal.announce, turns=self.turns, reason=self.link_reason, log=self.board.system.log)

    def _make_round(self, update_kept, checkin_kept):
        from node.agent.checkin import CheckIn, Server
        from node.agent.floors import Floors
        from node.agent.slots import Slots
        from node.agent.update import Update
        board, config = self.board, self.config
        server = Server(self._server(config.ota_port, True), self.checkin_alive)
        update = Update(self.boot_info, self.id, config.model, sys.implementation._mpy & 0xFF, server=server,
                        slots=Slots(board.files, stub, self.boot_info["slot"]), files=board.files, floors=Floors(board.files),
                        clock=self.clock, trial_ms=config.trial_s * 1000, acked=self._acked,
                        app_crashes=lambda: self.metrics.get("app_crashes"),
                        restart=lambda reason: board.system.reset(reason, False), log=board.system.log, kept=update_kept)
        return update, CheckIn(server, update, self.clock, board.chance, device=self.id, boot=self.boot, period_s=config.checkin_s,
                               trial_ms=config.trial_s * 1000, metrics=self.measure, heard=self.supervisor.heard,
                               log=board.system.log, kept=checkin_kept)

    def _enrolment(self):
        from node.agent.enrol import Enrolment
        board, port = self.board, self.config.est_port
        return Enrolment(self.id, board.files, self.clock, board.chance, first=self._server(port, False),
                         renewing=self._server(port, True))

    def _acked(self):
        """Whether the server's ack covers a batch of this boot; its first record is only the schema."""
        acked, first_seq = self.ring.acked, self.journal.first_seq
        return acked is not None and first_seq is not None and acked[0] == self.boot and acked[1] > first_seq

    def measure(self):
        """The metrics, the states among them brought up to date."""
        metrics = self.metrics
        metrics.put("uptime_s", self.clock.ticks_ms() // 1000)
        metrics.put("ring_used", self.ring.used_bytes)
        metrics.put("ring_dropped", self.ring.dropped)
        metrics.low("heap_free", self.board.system.mem_free())
        metrics.low("idf_block", self.board.system.idf_block())
        return metrics.snapshot()

    async def sample(self):
        """The app, a new one after each crash."""
        config, chance = self.config, self.board.chance
        uplink_ms = config.uplink_s * 1000
        phase = phase_ms(self.id, uplink_ms)

        def next_flush_ms(now_ms):
            return next_due_ms(now_ms, uplink_ms, phase, uniform(chance.urandom(4), uplink_ms // 8))

        first = next_due_ms(self.clock.ticks_ms(), config.period_ms, phase_ms(self.id, config.period_ms))
        app = Application(config, self.board.sensors(self.id, config), self.clock, self.journal, first_due_ms=first,
                          next_flush_ms=next_flush_ms, on_late=lambda late_ms: self.metrics.peak("late_max_ms", late_ms))
        await app.run()

    async def enrol(self):
        """Key and certificate; then the certificate's renewal."""
        alive = self.supervisor.watch("enrol", TASK_LIMIT_MS)
        with Loaded():   # the other connections wait for the certificate, so this one needs no turn
            await self._obtain(alive)
        self.certified.set()
        while True:
            await self.turns.take(alive)
            try:
                with Loaded():
                    wait_ms = await self._enrolment().refresh(self._enrol_fault)
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

    def _enrol_fault(self, error):
        self.metrics.fault("enrol", error)

    async def send(self):
        """The uplink, once there is a certificate; it leaves memory while others have their turn."""
        alive = self.supervisor.watch("uplink", TASK_LIMIT_MS)
        await self.certified.wait()
        failures = 1
        while True:
            with Loaded():
                await self._uplink_session(alive, failures)
            failures = 0   # it stepped aside
            while self.turns.wanted():
                alive()
                await asyncio.sleep(0.5)

    async def _uplink_session(self, alive, failures):
        self.uplink = self._make_uplink()
        try:
            await self.uplink.run(alive, failures)
        finally:
            self.link_reason = self.uplink.reason
            self.uplink = None

    async def check_in(self):
        """The check-in, once there is a certificate; a trial that never gets one ends all the same."""
        self.checkin_alive = self.supervisor.watch("checkin", TASK_LIMIT_MS)
        await Rounds(self.turns, self.clock, self._make_round, look_ms=LOOK_MS[loading.keep],
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
