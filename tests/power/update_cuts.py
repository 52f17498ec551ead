"""Cut the power at every flash operation of an update, under real MicroPython with littlefs on simulated NOR flash.

    micropython update_cuts.py SCENARIO RELEASES DELTAS STRIDE PHASE NESTED

Runs the firmware's own boot.py, stub.py and update; each release's files are real bytecode in RELEASES/<counter>/, whose
main.mpy reports what it is made of; DELTAS/<from>-<to> are deltas between their bundles. For each cut the flash is put back to
where the scenario starts, the power goes at one operation in one of four ways, and comes back. Then every boot must run whole
releases only, and the device must end where it would have without the cut. NESTED cuts again within so many operations of the
recovery; 0 does not.

Prints one JSON line: {"ops", "runs", "failures"}; a failure's name, such as "second/17/half", replays it.
"""

import asyncio
import json
import os
import sys

sys.path.append(__file__[:-len("tests/power/update_cuts.py")] + "firmware")

import board.deltas
from board.files import VfsFiles
from host.sim.flash import TEARS, NorFlash
from node.agent import deltas, patch, update, verify
from node.agent.paths import DELTA_PATH
from tests.sim.boot_stub import complete, stub
from tests.sim.bootable import Chip, boot
from tests.sim.memory import Chance
from tests.sim.ota_server import OtaServer
from tests.sim.releases import Release, root_envelope
from tests.sim.updates import DEVICE, TRIAL_MS, Device

LOADED = deltas, patch   # an update imports them when they are needed; while a board boots, the host's files are out of reach
SECTORS = 64
MAX_BOOTS = 12   # two trials of a release, their rollbacks and reports, and a few to spare
MAX_CYCLES = 8   # check-ins of one boot


class World:
    """Everything outside the flash: the server, the power supply, and what the releases' main.mpy report to.

    Args:
        wanted: the Release that the server directs devices to. good: whether it proves itself on trial.
    """

    def __init__(self, image, releases, wanted, good):
        self.flash = NorFlash(SECTORS, image)
        self.releases = releases
        self.wanted = wanted
        self.good = good
        self.server = OtaServer(*releases.values())
        self.server.offer, self.server.patient = wanted, good
        self.chance = Chance()
        self.wrong = []   # broken promises
        self.done = False

    def power_on(self):
        """The supply comes back."""
        if self.flash.violations:
            self.wrong.append(f"{self.flash.violations} bits set by programming")
        self.flash = self.flash.power_on()

    def run_until_done(self):
        """Boot until all is settled or the power goes."""
        for _ in range(MAX_BOOTS):
            self.boot()
            if self.done or self.chip.dead:
                return
        self.wrong.append(f"not done after {MAX_BOOTS} boots")

    def boot(self):
        """Power or reset: mount and run boot.py from flash, until the chip resets."""
        self.chip = Chip(self.flash)
        sys.modules["bench"] = self   # what main.mpy imports
        try:
            if not boot(self.chip, self.check_flash):
                self.wrong.append("boot.py left the device at a prompt")
        except OSError as error:
            self.wrong.append(f"mount: {error}")

    def check_flash(self):
        """What holds at every start: complete slots hold one whole release each and nothing else, what is in others is named or on
        its way out, factory is as it was, and the floor never stands above the slot to boot, or a trial that fails could not be
        repeated.
        """
        files = VfsFiles()
        confirmed = stub.release(files, stub.load(files)["slot"])
        floor = verify.Trust(files, DEVICE).floor
        if confirmed is None or floor > confirmed["counter"]:
            self.wrong.append(f"floor {floor} above what is confirmed, {confirmed}")
        whole = complete(files)
        for slot in stub.DIRS:
            marked = stub.release(files, slot)
            if (marked is not None) != (slot in whole):
                self.wrong.append(f"{slot} is marked as {marked} and has no bundle that can be mounted")
            if marked is not None:
                self.check_slot(slot, self.releases[marked["counter"]])
        if stub.release(files, "factory") != self.releases[1].marker():
            self.wrong.append("factory was touched")

    def check_slot(self, slot, release):
        """A slot that says it is complete."""
        found = dict(walk(stub.DIRS[slot], ""))
        found.pop("release.json")
        part = found.pop("part", release.artifact_sha.encode())   # the factory slot has none
        if found != {"bundle": release.artifact} or part != release.artifact_sha.encode():
            self.wrong.append(f"{slot} is not release {release.counter}: {sorted(found)}")

    def run(self, info, counters):
        """Called by main.mpy: the firmware of one boot. Ends in SystemExit, as simchip.reset() does."""
        if set(counters) != {info["release"]["counter"]}:
            self.wrong.append("{} runs parts of {}".format(info["slot"], counters))
        if info["exit"].endswith("Error"):
            self.wrong.append("a run ended with " + info["exit"])
        self.device = device = Device(VfsFiles(), self.server, info, chance=self.chance, restart=self.restart, deltas=board.deltas)
        for _ in range(MAX_CYCLES):
            self.stop_if_dead()
            asyncio.run(device.cycle())
            self.stop_if_dead()
            if device.update.state == update.TRIAL:
                device.acked, device.clock.now_ms = self.good, TRIAL_MS
                device.update.tick()
            elif self.is_settled(info, device):
                self.done = True
                raise SystemExit
        self.wrong.append(f"{MAX_CYCLES} check-ins led nowhere from {device.update.state}")
        raise SystemExit

    def is_settled(self, info, device):
        counter = info["release"]["counter"]
        if device.update.state != update.IDLE:
            return False
        return counter == self.wanted.counter if self.good else bool(self.told)

    @property
    def told(self):
        """The failures that the server heard of."""
        return [request["failed"] for request in self.server.requests if request["failed"] is not None]

    def stop_if_dead(self):
        if self.chip.dead:
            raise SystemExit

    def restart(self, reason):
        raise SystemExit


def walk(path, prefix):
    """(path below, content) of every file in a folder."""
    for name in os.listdir(path):
        full = path + "/" + name
        if os.stat(full)[0] & 0x4000:   # a folder
            yield from walk(full, prefix + name + "/")
        else:
            with open(full, "rb") as file:
                yield prefix + name, file.read()


def read_releases(folder, ways):
    """{counter: Release} from folders of compiled files, written by test_update_power.py.

    Args:
        ways: {counter: [(what the delta starts from, the delta)]}.
    """
    return {int(name): Release(int(name), dict(walk(folder + "/" + name, "")), deltas={"artifact": ways.get(int(name), [])})
            for name in sorted(os.listdir(folder))}


def read_ways(scenario, folder, releases):
    """The deltas of a scenario, as read_releases() takes them; `misled` has one that makes another release."""
    wanted = {"delta": ("1-2", 2), "delta_second": ("3-4", 4), "misled": ("1-3", 2)}.get(scenario)
    if wanted is None:
        return {}
    with open(folder + "/" + wanted[0], "rb") as file:
        return {wanted[1]: [(releases[int(wanted[0][0])].artifact, file.read())]}


def read_stub():
    """The files that updates never touch, by path on the device."""
    sources = {}
    for name in ("boot.py", "choose.py", "stub.py"):
        with open("firmware/" + name, "rb") as file:
            sources["/" + name] = file.read()
    return sources


def factory_image(releases, sources):
    """Flash as it leaves the line: release 1 in the factory slot."""
    flash = NorFlash(SECTORS)
    os.VfsLfs2.mkfs(flash)
    os.mount(os.VfsLfs2(flash), "/")
    files = VfsFiles()
    for path, data in sources.items():
        files.write_atomic(path, data)
    releases[1].install(files, "factory")
    files.write_atomic(verify.PINNED, root_envelope())
    files.write_atomic("/state/site.json", b"{}")
    os.umount("/")
    return flash.image


def prepare(scenario, releases, sources):
    """(flash image, wanted release, good) at the start of a scenario.

    first: factory to release 2. second: releases 2 and 3 are in the slots, 4 overwrites 2. rollback: 2 runs, 3 fails its trial.
    delta and delta_second are first and second by a delta; misled is first with a delta that makes something else.
    """
    image = factory_image(releases, sources)
    before, wanted, good = {"first": ((), 2, True), "second": ((2, 3), 4, True), "rollback": ((2,), 3, False),
                           "delta": ((), 2, True), "delta_second": ((2, 3), 4, True), "misled": ((), 2, True)}[scenario]
    for counter in before:
        world = World(image, releases, releases[counter], True)
        world.run_until_done()
        if world.wrong:
            raise ValueError(f"{scenario}: {world.wrong}")
    return image, releases[wanted], good


def check(world):
    """What must hold in the end, beyond what World.run checks at every boot."""
    wrong = []
    os.mount(os.VfsLfs2(world.flash), "/")
    files = VfsFiles()
    trust = verify.Trust(files, DEVICE)
    state = stub.load(files)
    running = stub.release(files, state["slot"])["counter"]
    if world.good and (running, trust.floor) != (world.wanted.counter, world.wanted.counter):
        wrong.append(f"runs {running} with floor {trust.floor}")
    if not world.good and (running, trust.floor, world.told[0]["counter"] if world.told else None) != (2, 2, 3):
        wrong.append(f"runs {running} with floor {trust.floor}, told {world.told}")
    if state["trial"] is not None or state["bad"] is not None:
        wrong.append(f"record {state}")
    if files.open(DELTA_PATH) is not None:
        wrong.append("a delta is left over")
    if trust.seq < max(request["seq"] for request in world.server.requests):
        wrong.append(f"the sequence sank to {trust.seq}")
    world.check_flash()
    os.umount("/")
    return wrong + world.wrong


def run(image, releases, wanted, good, cuts):
    """One run with cuts at [(operation counted from the power-on, tear)]; what went wrong."""
    world = World(bytearray(image), releases, wanted, good)
    for op, tear in cuts:
        world.flash.cut_power_at(op, tear)
        world.run_until_done()
        world.power_on()
        if world.done:
            break
    if not world.done:
        world.run_until_done()
    return check(world), world


def fetched_whole(world):
    """Whether the wanted bundle came as it is."""
    return any(path.endswith(world.wanted.artifact_sha) for _, path, _ in world.server.asked)


def main(scenario, folder, delta_folder, stride, phase, nested):
    releases, sources = read_releases(folder, {}), read_stub()
    releases = read_releases(folder, read_ways(scenario, delta_folder, releases))
    os.umount("/")
    image, wanted, good = prepare(scenario, releases, sources)
    wrong, world = run(image, releases, wanted, good, [])
    if fetched_whole(world) == scenario.startswith("delta"):
        wrong.append("the delta was not what it was done by")
    ops = world.flash.ops
    failures = [scenario + ": " + fault for fault in wrong]
    runs = 0
    for n in range(phase, ops * len(TEARS), stride):
        op, tear = n // len(TEARS) + 1, TEARS[n % len(TEARS)]
        cuts = [(op, tear)]
        if nested:
            cuts.append((1 + n * 7 % nested, TEARS[n // 3 % len(TEARS)]))
        wrong, world = run(image, releases, wanted, good, cuts)
        runs += 1
        failures.extend([f"{scenario}/{op}/{tear}: {fault}" for fault in wrong])
    sys.stdout.write(json.dumps({"ops": ops, "runs": runs, "failures": failures[:20]}) + "\n")


main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
