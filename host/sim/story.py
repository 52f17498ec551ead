"""The story of a demo: what happens to the fleet, in which order, and which promise each event tests.

Decides the order and what is waited for. Facts come from the database, the OTA server and, for the verdict, from the flash files
(audit.py); the devices' own words trigger events but prove nothing. Every wait has an end: a step that does not come is a failure
that names the step and the logs.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from host.db import open_engine
from host.sim import audit, chaos, releases, replay
from host.sim.errors import DemoError
from host.sim.esp32.board import Emulated
from host.sim.plant import QUICK, BuiltRelease, Pace
from host.sim.run import COMING_UP, SETTLE_S, Run, RunOptions
from host.sim.verdict import Facts, Figures, figures, in_words, promises
from host.sim.view import Step, View
from node.errors import FormatError
from provisioning.line.image import ImageError

NEXT, BAD = "1.1.0", "1.2.0"
STAGES = (1.0, 5.0, 10.0, 100.0)
CHAOS_PATIENCE = 4.0   # a trial begins anew with each restart, and a device is killed every minute and a half
ROLLOUT_S = 240.0    # four stages of the slower pace take half of it
PEEK_S = 0.02        # between looks at the flash of a device that installs, which takes about a second
TUNERS = 3           # devices that try a good configuration
OFF_S = 3.0          # how long the victim of the power cut stays dark
STEPS = COMING_UP | {
    "rollout": f"release {NEXT}: 1 % → 5 % → 10 % → 100 %",
    "cut": "one device loses power in the middle of its update",
    "outage": "the broker is killed and comes back",
    "config": "some devices try a new configuration and keep it, one gives up a blind one",
    "bad": f"release {BAD} crashes: its canary rolls back by itself",
    "halt": "the gate halts the rollout, nobody else gets it",
    "home": "every committed reading is in the database",
    "audit": "counted from the flash files and the database",
}


@dataclass(frozen=True)
class DemoOptions(RunOptions):
    """What the user chose; see `tenfold demo --help`."""

    data: Path | None = None
    check: bool = False
    keep: bool = False
    chaos: bool = False


class Story(Run):
    """One demo from the first certificate to the closing table.

    Attributes:
        result: figures for `build/demo.json`; empty until the audit.
    """

    def __init__(self, options: DemoOptions, view: View) -> None:
        super().__init__(options, QUICK if options.check else Pace(), STEPS, view)
        self.result: Figures = {}
        self._demo = options
        self._aim = False                      # the next device that starts to fetch loses its power
        self._fetching: asyncio.Queue[str] = asyncio.Queue()
        self._victim = ""
        self._outage_s = 0.0
        self._tuned = self._blind = ""         # names of configurations
        self._good: BuiltRelease
        self._bad_sha256 = ""   # of main.mpy, the one file in which the releases differ

    async def _tell(self) -> None:
        file = await asyncio.to_thread(replay.load, self._demo.data, row_ms=self._pace.row_ms) if self._demo.data else None
        self._view.notes.extend(file.notes if file else ())
        await self._come_up(file)
        await self._rollout_of_next()
        async with self._step("config") as step:   # their trials take as long as the next rollout
            await self._order_configs()
            await self._rollout_of_bad()
            limit_s = (self._pace.trial_s + SETTLE_S) * (CHAOS_PATIENCE if self._demo.chaos else 1)
            await self._until("config", lambda: self._configured(step), limit_s)
        if self._demo.keep:
            await self._stay("the story is over, the fleet runs on; Ctrl-C ends it with the closing table")
        await self._everything_home()
        await self._end_helpers()
        await self._stop()
        async with self._step("audit"):
            await asyncio.to_thread(self._audit)

    def _servers_are_up(self) -> None:
        if self._demo.chaos:
            self._helpers.append(asyncio.create_task(chaos.run(self._boards, self._children, self._view)))

    def _heard(self, device: str, values: dict[str, object]) -> None:
        if self._aim and values.get("event") == "fetching":
            self._aim = False
            self._fetching.put_nowait(device)

    async def _rollout_of_next(self) -> None:
        async with self._step("rollout") as step:
            self._good = good = await self._built(NEXT, 2, releases.CHANGE)
            rollout = await self._start_rollout(good)
            await self._until("rollout", lambda: self._at_last_stage(rollout, step), ROLLOUT_S)
            self._aim = True
            await self._power_cut()
            await self._broker_outage()
            await self._until("rollout", lambda: self._has_state(rollout, step, "done"), ROLLOUT_S)
            await self._until("rollout", lambda: self._watch.all_on(NEXT), SETTLE_S)
            step.detail = f"{step.detail}; {in_words(await asyncio.to_thread(self._fetched))}"

    async def _power_cut(self) -> None:
        """Cut a device off while it installs; a cut that came too early or too late is not the one we promised: try the next."""
        async with self._step("cut") as step:
            while not self._victim:
                try:
                    device = await asyncio.wait_for(self._fetching.get(), SETTLE_S)
                    await asyncio.wait_for(self._writing(device), SETTLE_S)
                except TimeoutError:
                    raise self._late("cut", SETTLE_S) from None
                self._boards[device].cut_power()
                await self._boards[device].unplug()
                truth = await asyncio.to_thread(audit.read_device, device, self._plant.flash(device))
                if truth.half_slots:
                    self._victim = device
                    step.detail = f"{device}: slot {', '.join(sorted(truth.half_slots))} is half written"
                    await asyncio.sleep(OFF_S)
                else:
                    self._aim = True
                self._boards[device].power_on()

    async def _writing(self, device: str) -> None:
        """Until a device's flash shows the beginning of what it installs, or all of it."""
        while True:
            with contextlib.suppress(ImageError, FormatError):   # we looked while it was writing
                truth = await asyncio.to_thread(audit.read_device, device, self._plant.flash(device))
                if truth.half_slots or truth.trial or truth.release == NEXT:
                    return
            await asyncio.sleep(PEEK_S)

    async def _broker_outage(self) -> None:
        async with self._step("outage") as step:
            began = time.monotonic()
            self._children["broker"].hold()
            while (away := time.monotonic() - began) < self._pace.outage_s:
                step.detail = f"away for {away:.0f} s"
                await asyncio.sleep(0.1)
            self._children["broker"].release()
            self._outage_s = time.monotonic() - began
            step.detail = f"away for {self._outage_s:.1f} s"
            await self._until("outage", self._watch.all_online, SETTLE_S)

    @property
    def _tuners(self) -> list[str]:
        return self._plant.simulated[1:1 + TUNERS]

    async def _order_configs(self) -> None:
        blind = json.dumps({"channels": [{"name": "nobody_measures_this"}]})
        self._tuned = await self._ask(lambda: self._client.add_config(json.dumps(self._plant.tuned()), "statistics and an alarm"))
        self._blind = await self._ask(lambda: self._client.add_config(blind, "a mistake"))
        await self._order(self._tuned, self._tuners)
        await self._order(self._blind, self._plant.simulated[:1])

    async def _order(self, config: str, devices: Sequence[str]) -> None:
        if devices:
            await self._ask(lambda: self._client.order_config(config, devices))

    async def _configured(self, step: Step) -> bool:
        kept = [device for device in self._tuners if self._watch.config(device) == (self._tuned, False, "")]
        for device in self._tuners:
            if self._demo.chaos and self._watch.config(device)[2] == self._tuned:   # its trial was cut off too often
                await self._order(self._tuned, [device])
        gave_up = self._watch.config(self._plant.simulated[0])[2] == self._blind
        step.detail = f"{len(kept)} of {len(self._tuners)} keep it, the blind one is {'given up' if gave_up else 'on trial'}"
        return gave_up and len(kept) == len(self._tuners)

    async def _rollout_of_bad(self) -> None:
        async with self._step("bad") as step:
            bad = await self._built(BAD, 3, releases.CRASH)
            self._bad_sha256 = releases.main_sha256(bad.files)
            rollout = await self._start_rollout(bad)
            await self._until("bad", lambda: self._has_state(rollout, step, "halted"), ROLLOUT_S)
        async with self._step("halt") as step:
            began = time.monotonic()
            while (waited := time.monotonic() - began) < self._pace.calm_s:
                step.detail = f"watching for {self._pace.calm_s - waited:.0f} s more"
                await asyncio.sleep(0.2)
            step.detail = ""
            await self._until("halt", lambda: self._watch.all_on(NEXT), SETTLE_S)

    async def _built(self, release: str, counter: int, appended: bytes) -> BuiltRelease:
        return await asyncio.to_thread(
            self._plant.make_release, release, counter, releases.overlay(appended), list(self._published))

    async def _start_rollout(self, built: BuiltRelease) -> str:
        await self._ask(lambda: built.publish(self._client))
        self._published.append(built)
        return await self._ask(lambda: self._rollout_of(str(built.named["manifest"])))

    def _rollout_of(self, manifest: str) -> str:
        """Start a rollout, unless an earlier try did whose answer was lost."""
        for known in self._client.rollouts():
            if known["manifest"] == manifest:
                return str(known["rollout"])
        started = self._client.start_rollout(
            manifest, stages=list(STAGES), soak_s=list(self._pace.soak_s), lease_s=self._pace.lease_s, min_reports=3, active_s=60)
        return str(started["rollout"])

    async def _at_last_stage(self, rollout: str, step: Step) -> bool:
        await self._has_state(rollout, step, "running")
        face = self._watch.rollout(rollout)
        return face is not None and face.stage == len(STAGES) - 1

    async def _has_state(self, rollout: str, step: Step, wanted: str) -> bool:
        face = self._watch.rollout(rollout)
        if face is None:
            return False
        step.detail = f"{face.stages[face.stage]:g} %, {face.confirmed} of {face.total} confirmed, {face.state}"
        if face.state in ("halted", "aborted") and face.state != wanted:
            raise DemoError(f"the rollout of {face.release} is {face.state}: {face.note}")
        return face.state == wanted

    async def _everything_home(self) -> None:
        """Unplug the sensors, then wait until nothing is under way: every ring's readings are in the database."""
        async with self._step("home") as step:
            for table in (self._plant.bench / "signals").glob("*.bin"):
                table.unlink()
            await self._until("home", lambda: self._drained(step), SETTLE_S)
            for board in self._boards.values():
                if isinstance(board, Emulated):
                    await self._until("home", lambda board=board: self._quiet(board), SETTLE_S)  # type: ignore[misc]
            await asyncio.gather(*(board.unplug() for board in self._boards.values()))

    async def _drained(self, step: Step) -> bool:
        devices = self._plant.simulated
        before = await self._watch.stored(devices)
        await asyncio.sleep(self._pace.uplink_s * 2)
        after = await self._watch.stored(devices)
        committed = await asyncio.to_thread(lambda: sum(audit.committed(self._plant.flash(device)) for device in devices))
        step.detail = f"{sum(after.values()):,} of {committed:,}"
        return before == after and sum(after.values()) == committed

    async def _quiet(self, board: Emulated) -> bool:
        """Cut an emulated board off between a server's ack and its next commit: its sensors are in the chip and stay on."""
        if not await self._watch.is_home(board.device):
            return False
        await board.unplug()
        if await self._watch.is_home(board.device):
            return True
        board.power_on()   # it was quicker
        return False

    def _fetched(self) -> audit.Fetched:
        return audit.fetched(self._plant.log("ota"), self._good.artifact, [delta.sha256 for delta in self._good.deltas])

    def _audit(self) -> None:
        truths = [audit.read_device(device, self._plant.flash(device)) for device in self._plant.devices]
        engine = open_engine(self._plant.url("telemetry"), read_only=True)
        tally = audit.compare(truths, engine)
        engine.dispose()
        states = audit.rollout_states(self._plant.url("ota"))
        facts = Facts(
            good=NEXT, good_sha256=releases.main_sha256(self._good.files), bad=BAD, bad_sha256=self._bad_sha256,
            halted=states.get(BAD) == "halted",
            victim=self._victim, outage_s=self._outage_s, outage_wanted_s=self._pace.outage_s,
            batch_samples=self._pace.batch_samples, seconds=time.monotonic() - self._view.started_s,
            tuned=self._tuned, tuners=frozenset(self._tuners), blind=self._plant.simulated[0], fetched=self._fetched())
        self.result = figures(truths, tally, facts)
        self._view.promises = promises(self.result, tally, facts)
        self._view.notes.extend(tally.missing)
