"""The composition root of a device: adapters, agent and app put together, and nothing else decided.

boot.py calls run(boot_info). Agent and app meet here and in the ring only: what one needs of the other is a plain function.
Whatever escapes from run() makes boot.py record the reason and reset.
"""

import asyncio
import gc
import sys

gc.threshold(4096)   # before the imports below: collecting as they go keeps what stays from being scattered over the heap

import stub
import umqtt.simple as mqtt
from node import config as configuration
from node.agent.checkin import CheckIn, Server
from node.agent.clock import DeviceClock
from node.agent.enrol import CERT_PATH, KEY_PATH, Enrolment, Identity
from node.agent.http import HttpClient
from node.agent.metrics import Metrics
from node.agent.scatter import next_due_ms, phase_ms, uniform
from node.agent.slots import Slots
from node.agent.supervisor import Supervisor
from node.agent.update import Update
from node.agent.uplink import Uplink
from node.agent.verify import Trust
from node.app.application import Application
from node.app.batcher import Journal
from node.errors import CallerError
from node.ring import Ring
from node.wire import schema, topics
from node.wire.identity import device_id

if sys.platform == "linux":
    from board.unix.board import TICKS_WRAP_MS, Board
else:
    from board.esp32.board import TICKS_WRAP_MS, Board

SITE_PATH = "/state/site.json"
CA_PATH = "/trust/ca.der"
BOOT_COUNT_PATH = "/state/boot_count"
RESETS_PATH = "/state/resets"
TASK_LIMIT_MS = 240_000   # without a sign of life: a connection's deadlines add up to 100 s, a restart waits up to 60 s


class Device:
    """Everything that lives as long as this boot."""

    def __init__(self, boot_info):
        self.boot_info = boot_info
        self.board = Board(boot_info["watchdog"], self._failed)
        files, chance = self.board.files, self.board.chance
        self.config = configuration.parse(files.read(SITE_PATH) or b"")
        self.id = device_id(self.config.product, self.board.mac)
        self.clock = DeviceClock(self.board.raw_ticks_ms, TICKS_WRAP_MS)
        self.metrics = Metrics()
        self.supervisor = Supervisor(self.clock, chance, self.board.system, self.metrics)
        self.ring = Ring(self.board.ring_device)
        self.ring.mount()
        self.boot = self._count_boot(files)
        self.net = self.board.net(CA_PATH, CERT_PATH, KEY_PATH, self.clock.learn)   # radio on: from here chance is true chance
        channels = [(channel.name, channel.unit, channel.resolution) for channel in self.config.channels]
        self.journal = Journal(self.ring, self.boot, schema.build(channels), self.clock, self._committed)
        self.certified = asyncio.Event()
        self.uplink = self._make_uplink()
        self.update = self._make_update()

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
        self.uplink.wake()

    def _server(self, port, mutual):
        return HttpClient(self.net, self.config.server(self.id), port, mutual)

    def _make_uplink(self):
        release = self.boot_info["release"]
        name, counter = release.get("release", "0.0.0"), release.get("counter", 0)

        def state(oldest, reason):
            return topics.encode_state(self.boot, name, counter, oldest, reason)

        return Uplink(self.id, self.boot, self.config, net=self.net, mqtt=mqtt, ring=self.ring, clock=self.clock,
                      chance=self.board.chance, metrics=self.metrics, state=state, on_ack=self.supervisor.heard,
                      schema_again=self.journal.announce, log=self.board.system.log)

    def _make_update(self):
        board, config = self.board, self.config
        self.checkin_alive = self.supervisor.watch("checkin", TASK_LIMIT_MS)
        self.server = Server(self._server(config.ota_port, True), self.checkin_alive)
        return Update(self.boot_info, self.id, config.model, sys.implementation._mpy & 0xFF, server=self.server,
                      slots=Slots(board.files, stub, self.boot_info["slot"]), trust=Trust(board.files, self.id),
                      clock=self.clock, trial_ms=config.trial_s * 1000, acked=self._acked,
                      app_crashes=lambda: self.metrics.get("app_crashes"),
                      restart=lambda reason: board.system.reset(reason, False), log=board.system.log)

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
        board, config = self.board, self.config
        identity = Identity(board.files, board.chance, self.id)
        enrolment = Enrolment(identity, board.files, self.clock, board.chance, first=self._server(config.est_port, False),
                              renewing=self._server(config.est_port, True))
        await enrolment.run(lambda: board.system.tell("BIRTH", identity.announcement(config.model)), self.certified.set,
                            lambda error: self.metrics.fault("enrol", error), self.supervisor.watch("enrol", TASK_LIMIT_MS))

    async def send(self):
        """The uplink, once there is a certificate."""
        await self.certified.wait()
        await self.uplink.run(self.supervisor.watch("uplink", TASK_LIMIT_MS))

    async def check_in(self):
        """The check-in, once there is a certificate; a trial that never gets one ends all the same."""
        await CheckIn(self.server, self.update, self.clock, self.board.chance, device=self.id, boot=self.boot,
                      period_s=self.config.checkin_s, trial_ms=self.config.trial_s * 1000, metrics=self.measure,
                      alive=self.checkin_alive, heard=self.supervisor.heard, log=self.board.system.log).run(self.certified.is_set)

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
