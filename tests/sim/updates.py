"""A device's boots, composed of the real parts of the update, for its tests on CPython and on MicroPython.

Only the network, the clock and the files are simulated.
"""

import asyncio

from node.agent.checkin import CheckIn
from node.agent.floors import Floors
from node.agent.install import Install  # noqa: F401  loaded now: tests mount other file systems before an update needs it
from node.agent.rounds import Rounds
from node.agent.scatter import place_in_ms
from node.agent.server import Server
from node.agent.slots import Slots
from node.agent.turns import Turns
from node.agent.update import Update
from node.agent.verify import Trust
from tests.sim.boot_stub import stub
from tests.sim.memory import Chance, StepClock
from tests.sim.releases import MODEL, MPY

DEVICE = "hall-0242ac110001"
TRIAL_MS = 30_000


class Restart(Exception):   # noqa: N818   (an event, not an error)
    """The board resets; the reason is the argument."""


def restart(reason):
    raise Restart(reason)


class Parts:
    """What a round loads: here all of it lives as long as the boot."""

    @staticmethod
    def update(device, kept):
        return device.update

    @staticmethod
    def checkin(device, kept):
        return device.checkin

    @staticmethod
    def server(device):
        return device.server

    @staticmethod
    def config_facts(device):
        return {"config": device.config_name, "config_trial": device.config_trial, "config_failed": None}

    @staticmethod
    def config_told(device):
        pass

    @staticmethod
    def config_came(device, name, body):
        device.configs.append((name, body))

    @staticmethod
    def config_judged(device, checked_in):
        return False

    @staticmethod
    def first_wait_ms(device):
        if device.update.facts()["trial"]:
            return TRIAL_MS // 10
        return place_in_ms(DEVICE, device.clock.ticks_ms(), 60000, b"\0\0\0\0")


class Device:
    """One boot of a device: the real parts of the update over simulated ports.

    Attributes:
        acked, app_crashes: what uplink and supervisor would say.

    Args:
        images: gives the Images port. deltas: the Deltas port.
    """

    def __init__(self, files, http, boot, clock=None, chance=None, restart=restart, images=lambda: None, deltas=None):
        self.acked = False
        self.stalled_ms = None   # None: since the boot
        self.app_crashes = 0
        self.config_name, self.config_trial = "", False
        self.configs = []   # that came
        self.missed = []    # what was counted
        self.logged = []
        self.clock = clock or StepClock()
        self.server = Server(http, lambda: None)
        self.files = files
        self.slots = Slots(files, stub, boot["slot"])
        self.update = Update(boot, DEVICE, MODEL, MPY, slots=self.slots, files=files, floors=Floors(files),
                             clock=self.clock, trial_ms=TRIAL_MS, acked=lambda: self.acked, app_crashes=lambda: self.app_crashes,
                             stalled_ms=lambda: self.clock.ticks_ms() if self.stalled_ms is None else self.stalled_ms,
                             restart=restart, log=self.log, images=images, deltas=deltas)
        self.checkin = CheckIn(self.server, self.clock, chance or Chance(), device=DEVICE, boot=1, period_s=60,
                               metrics=lambda: {"uptime_s": self.clock.ticks_ms() // 1000},
                               missed=self.missed.append, heard=lambda: None, log=self.log)
        self.rounds = Rounds(Turns(True, self.clock), self.clock, self, lambda: Parts, look_ms=1000,
                             alive=lambda: None)

    async def cycle(self):
        """A check-in and what follows from it, as node.agent.rounds does it; ms until the next."""
        wait_ms, direction, nonce = await self.checkin.ask(self.update.facts())
        if self.checkin.answered:
            self.update.checked_in()
        if direction is not None:
            wait_ms += 1000 * await self.update.offered(direction, nonce, lambda: self.server)
        return wait_ms

    def trust(self):
        return Trust(self.files, DEVICE)

    def log(self, event, detail):
        self.logged.append((event, detail))


class Boots:
    """A device's boots one after the other: `boot()` makes a new `device`, which `http` serves."""

    def cycle(self):
        """One check-in; the reason when it ended in a restart."""
        try:
            asyncio.run(self.device.cycle())
        except Restart as error:
            return error.args[0]
        return None

    def tick(self):
        try:
            return self.device.update.tick()
        except Restart as error:
            return error.args[0]

    def install(self, release):
        """Offer a release and boot into its trial."""
        self.http.offer = release
        reason = self.cycle()
        if reason != "update":
            raise AssertionError(f"not installed: {reason} {self.device.logged}")
        return self.boot()

    def confirm(self):
        self.device.acked = True
        self.cycle()
        return self.tick()
