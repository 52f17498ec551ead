"""Cut the power at every flash operation of an update, under real MicroPython with littlefs on simulated NOR flash.

    micropython update_cuts.py RELEASES DELTAS SCENARIO STRIDE PHASE AGAIN
    micropython update_cuts.py RELEASES DELTAS CASE

Runs the firmware's own boot.py, stub.py and update; each release's files are real bytecode in RELEASES/<counter>/, whose
main.mpy reports what it is made of; DELTAS/<from>-<to> are deltas between their bundles. Where a release brings an image, the same
supply feeds two partitions and the bootloader that chooses between them. A cut leaves what was done before that operation, and of
that one what the tear leaves; then the power comes back. Every boot must run whole releases only, and the device must end where
it would have without the cut. After each cut, AGAIN further runs cut the power once more, at operations all over the recovery.

Prints one JSON line: {"ops", "runs", "again", "failures"}. A failure begins with its case, `scenario:cut:tear[:second cut:tear]`,
for example `second:17:half:4:garbage`. Cuts are counted from the start, the second from the power-on; the case replays it.
"""

import asyncio
import json
import os
import sys
from collections import namedtuple

sys.path.append(__file__[:-len("tests/power/update_cuts.py")] + "firmware")

import board.deltas
from board.files import VfsFiles
from host.sim.flash import SECTOR_BYTES, TEARS
from node.agent import deltas, images, patch, update, verify
from node.agent.paths import DELTA_PATH
from node.wire import manifest, p256
from tests.sim import partitions
from tests.sim.boot_stub import complete, stub
from tests.sim.bootable import boot
from tests.sim.deltas import between
from tests.sim.journal import Journal
from tests.sim.memory import Chance
from tests.sim.ota_server import OtaServer
from tests.sim.releases import Release, root_envelope
from tests.sim.updates import DEVICE, TRIAL_MS, Device

LOADED = deltas, patch   # an update imports them when they are needed; while a board boots, the host's files are out of reach
SECTORS = 64   # of littlefs
APP_SECTORS = 3   # of each partition for images
FIRST_SECTOR = 3 + 2 * APP_SECTORS   # of littlefs, behind otadata and the images
MAX_BOOTS = 12   # two trials of a release, their rollbacks and reports, and a few to spare
MAX_CYCLES = 8   # check-ins of one boot
APART = 7919   # a prime beyond any number of operations: spreads second cuts over the recovery

OLD_IMAGE = partitions.make_image(9000, 1)   # from the line; two whole blocks and a part of a third
NEW_IMAGE = partitions.make_image(10000, 2)
NEXT_IMAGE = partitions.make_image(8192, 3)
PATCHED_IMAGE = partitions.make_image(10000, 1)   # OLD_IMAGE and some more of the same
content_of = manifest._content
manifest._content = lambda obj, least: content_of(obj, 1)   # images of the real size would only make it slow
images.COMMIT_BYTES = images.BLOCK_BYTES   # so that these have something to resume

# before: counters of the releases that were installed after the factory's, which is 1. wanted: the counter to update to.
# good: whether that one proves itself on trial. images: {counter: what the release brings}.
# deltas: {"artifact" or "image": (base, what the delta makes)}; bundles are told by their counters.
Scenario = namedtuple("Scenario", "before wanted good images deltas")
SCENARIOS = {
    "first": Scenario((), 2, True, {}, {}),   # from factory
    "second": Scenario((2, 3), 4, True, {}, {}),   # releases 2 and 3 are in the slots, 4 overwrites 2
    "rollback": Scenario((2,), 3, False, {}, {}),
    "delta": Scenario((), 2, True, {}, {"artifact": (1, 2)}),
    "delta_second": Scenario((2, 3), 4, True, {}, {"artifact": (3, 4)}),
    "misled": Scenario((), 2, True, {}, {"artifact": (1, 3)}),   # its delta makes something else: the whole is fetched
    "image": Scenario((), 2, True, {2: NEW_IMAGE}, {}),
    "image_second": Scenario((2,), 3, True, {2: NEW_IMAGE, 3: NEXT_IMAGE}, {}),   # overwrites the image from the line
    "image_rollback": Scenario((), 2, False, {2: NEW_IMAGE}, {}),
    "image_delta": Scenario((), 2, True, {2: PATCHED_IMAGE}, {"artifact": (1, 2), "image": (OLD_IMAGE, PATCHED_IMAGE)}),
    "image_misled": Scenario((), 2, True, {2: PATCHED_IMAGE}, {"image": (OLD_IMAGE, PATCHED_IMAGE[:-1] + b"?")}),
}


def remembered(function):
    """The same pure function, that answers equal questions from memory."""
    answers = {}

    def ask(*question):
        if question not in answers:
            answers[question] = function(*question)
        return answers[question]

    return ask


# Half of a run's time: most runs check the same signatures.
p256.verify, p256.sign = remembered(p256.verify), remembered(p256.sign)


class Volume:
    """littlefs's part of the flash, as a block device."""

    def __init__(self, flash):
        self._flash = flash

    def readblocks(self, block, buf, offset=0):
        self._flash.readblocks(FIRST_SECTOR + block, buf, offset)

    def writeblocks(self, block, buf, offset):
        self._flash.writeblocks(FIRST_SECTOR + block, buf, offset)

    def ioctl(self, op, arg):
        return SECTORS if op == 4 else self._flash.ioctl(op, FIRST_SECTOR + arg if op == 6 else arg)   # 4: count, 6: erase


class World:
    """One run: a device from a power-on until all is settled, its server, its bootloader, and what main.mpy reports to.

    Args:
        image: the flash when the power comes. outside: what a World's outside() said when it went; None at the start.
        releases: by counter. wanted: the counter that the server directs devices to. good: whether it proves itself on trial.
    """

    def __init__(self, image, outside, releases, wanted, good):
        self.flash = Journal(image, self.outside)
        self.volume = Volume(self.flash)
        brings_images = any(release.image for release in releases.values())
        self.app = partitions.Chip(APP_SECTORS, self.flash) if brings_images else None   # else a board with one application
        self.releases, self.wanted, self.good = releases, releases[wanted], good
        self.server = OtaServer(*releases.values())
        self.server.offer, self.server.patient = self.wanted, good
        self.chance = Chance()
        self.wrong = []   # broken promises
        self.done = False
        if outside is not None:
            requests, self.server.offer, self.chance._count = outside
            self.server.requests = list(requests)

    def outside(self):
        """What a power cut does not touch."""
        return list(self.server.requests), self.server.offer, self.chance._count

    def run_until_done(self):
        for _ in range(MAX_BOOTS):
            self.boot()
            if self.done:
                break
        else:
            self.wrong.append(f"not done after {MAX_BOOTS} boots")
        if self.flash.violations:
            self.wrong.append(f"{self.flash.violations} bits set by programming")

    def boot(self):
        """Power or reset: the bootloader, then mount and run boot.py from flash, until the chip resets."""
        sys.modules["bench"] = self   # what main.mpy imports
        sys.modules.pop("esp32", None)
        if self.app is not None:
            self.app.boot()
            sys.modules["esp32"] = self.app   # for its Partition
        try:
            if not boot(self.volume, self.check_flash):
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
        if self.app is not None:
            self.check_image(info["release"]["counter"])
        device = Device(VfsFiles(), self.server, info, chance=self.chance, restart=self.restart, images=self.images,
                        deltas=board.deltas)
        for _ in range(MAX_CYCLES):
            device.update.tick()
            asyncio.run(device.cycle())
            if device.update.state == update.TRIAL:
                device.acked, device.clock.now_ms = self.good, TRIAL_MS
                device.update.tick()
            elif self.is_settled(info, device):
                self.done = True
                raise SystemExit
        self.wrong.append(f"{MAX_CYCLES} check-ins led nowhere from {device.update.state}")
        raise SystemExit

    def images(self):
        return self.app.images() if self.app is not None else None

    def check_image(self, counter):
        """A release runs on its own image; an older one on the wanted image only until the agent sees that it is not on trial."""
        image = self.app.image(self.app.running)
        if image != image_of(self.releases, counter) and not (image == self.wanted.image and self.images().pending()):
            self.wrong.append(f"release {counter} runs on an image of another")

    def is_settled(self, info, device):
        counter = info["release"]["counter"]
        if device.update.state != update.IDLE:
            return False
        return counter == self.wanted.counter if self.good else bool(self.told)

    @property
    def told(self):
        """The failures that the server heard of."""
        return [request["failed"] for request in self.server.requests if request["failed"] is not None]

    def restart(self, reason):
        raise SystemExit


class Bench:
    """One scenario: where it starts, and runs from there or from what a cut left."""

    def __init__(self, name, folder, delta_folder):
        self.name, self.scenario = name, SCENARIOS[name]
        self.releases = read_releases(self.scenario, folder, delta_folder)
        sources = read_stub()
        os.umount("/")
        self.image = factory_image(self.releases, sources)
        for counter in self.scenario.before:
            world = World(self.image, None, self.releases, counter, True)
            world.run_until_done()
            if world.wrong:
                raise ValueError(f"{name}: {world.wrong}")
            self.image = world.flash.image

    def run(self, cuts, before=None):
        """What went wrong in the run after the last of these cuts, and its World.

        Args:
            cuts: [(operation counted from the power-on, tear)].
            before: the World of the run that the last one cuts, where it is known.
        """
        start = self.image, None
        if cuts:
            start = (before or self.run(cuts[:-1])[1]).flash.cut(*cuts[-1])
        world = World(*start, self.releases, self.scenario.wanted, self.scenario.good)
        try:
            world.run_until_done()
            wrong = world.wrong + self.check_end(world, len(cuts))
        except Exception as error:   # whatever it is, it is this case's
            wrong = [repr(error)]
        name = ":".join([self.name] + [f"{op}:{tear}" for op, tear in cuts])
        return [f"{name}: {fault}" for fault in wrong], world

    def check_end(self, world, cuts):
        """What must hold in the end, beyond what the World checks at every boot."""
        os.mount(os.VfsLfs2(world.volume), "/")
        try:
            files = VfsFiles()
            trust, state = verify.Trust(files, DEVICE), stub.load(files)
            running = stub.release(files, state["slot"])["counter"]
            delta = files.open(DELTA_PATH)
            world.check_flash()
        finally:
            os.umount("/")
        wrong = []
        expected = self.scenario.wanted if self.scenario.good else max(self.scenario.before or (1,))
        if (running, trust.floor) != (expected, expected):
            wrong.append(f"runs {running} with floor {trust.floor}, expected {expected}")
        if state["trial"] is not None or state["bad"] is not None:
            wrong.append(f"record {state}")
        if delta is not None:
            wrong.append("a delta is left over")
        if trust.seq < max(request["seq"] for request in world.server.requests):
            wrong.append(f"the sequence sank to {trust.seq}")
        if world.app is not None and (world.app.image(world.app.running), world.app.state()) != (
                image_of(self.releases, expected), partitions.VALID):
            wrong.append(f"ends on another image than {expected}'s, or not for good: {world.app.entries()}")
        return wrong + self.check_told(world, cuts)

    def check_told(self, world, cuts):
        """A good release fails only where the power went in each boot of its trial; a bad one is told as what it is."""
        told = [(failed["counter"], failed["reason"]) for failed in world.told]
        if not self.scenario.good:
            return [] if told and {counter for counter, _ in told} == {self.scenario.wanted} else [f"told {told}"]
        lost = (self.scenario.wanted, "unconfirmed" if world.app is None else "image rolled back")
        boots = 2 if world.app is None else 1   # of a trial
        return [] if set(told) <= ({lost} if cuts >= boots else set()) else [f"told {told}"]

    def needs(self, world):
        """What the scenario is there for: a way by deltas fetches nothing whole, one that is misled does."""
        ways = {"artifact": world.wanted.artifact_sha, "image": world.wanted.image_sha}
        fetched = [path for _, path, _ in world.server.asked]
        whole = {part for part, sha in ways.items() if sha and any(path.endswith(sha) for path in fetched)}
        meant = {part for part, (_, target) in self.scenario.deltas.items()
                 if target in (self.scenario.wanted, world.wanted.image)}
        expected = {part for part, sha in ways.items() if sha} - meant
        return [] if whole == expected else [f"{self.name}: fetched whole: {sorted(whole)}, expected {sorted(expected)}"]


def walk(path, prefix):
    """(path below, content) of every file in a folder."""
    for name in os.listdir(path):
        full = path + "/" + name
        if os.stat(full)[0] & 0x4000:   # a folder
            yield from walk(full, prefix + name + "/")
        else:
            with open(full, "rb") as file:
                yield prefix + name, file.read()


def read_releases(scenario, folder, delta_folder):
    """{counter: Release} of a scenario from folders of compiled files and deltas, written by update_runs.py."""
    bundles = {int(name): dict(walk(folder + "/" + name, "")) for name in os.listdir(folder)}
    ways = {}
    if "artifact" in scenario.deltas:
        base, target = scenario.deltas["artifact"]
        with open(f"{delta_folder}/{base}-{target}", "rb") as file:
            ways["artifact"] = [(Release(base, bundles[base]).artifact, file.read())]
    if "image" in scenario.deltas:
        base, target = scenario.deltas["image"]
        ways["image"] = [(base, between(base, target))]
    return {counter: Release(counter, files, image=scenario.images.get(counter),
                             deltas=ways if counter == scenario.wanted else None) for counter, files in bundles.items()}


def image_of(releases, counter):
    """The image that a release runs on: the newest that came up to it."""
    return ([OLD_IMAGE] + [releases[n].image for n in sorted(releases) if n <= counter and releases[n].image])[-1]


def read_stub():
    """The files that updates never touch, by path on the device."""
    sources = {}
    for name in ("boot.py", "choose.py", "stub.py"):
        with open("firmware/" + name, "rb") as file:
            sources["/" + name] = file.read()
    return sources


def factory_image(releases, sources):
    """Flash as it leaves the line: release 1 in the factory slot, and an image."""
    flash = Journal(b"\xff" * ((FIRST_SECTOR + SECTORS) * SECTOR_BYTES), lambda: None)
    partitions.Chip(APP_SECTORS, flash).flash_image(0, OLD_IMAGE)
    os.VfsLfs2.mkfs(Volume(flash))
    os.mount(os.VfsLfs2(Volume(flash)), "/")
    files = VfsFiles()
    for path, data in sources.items():
        files.write_atomic(path, data)
    releases[1].install(files, "factory")
    files.write_atomic(verify.PINNED, root_envelope())
    files.write_atomic("/state/site.json", b"{}")
    os.umount("/")
    return flash.image


def campaign(name, folder, delta_folder, stride, phase, again):
    """Every stride-th cut from `phase` on, numbered operation by operation and tear by tear, and so many second cuts after each."""
    bench = Bench(name, folder, delta_folder)
    failures, whole = bench.run([])
    failures += bench.needs(whole)
    runs = second_runs = 0
    for n in range(phase, whole.flash.ops * len(TEARS), stride):
        cut = n // len(TEARS) + 1, TEARS[n % len(TEARS)]
        wrong, recovery = bench.run([cut], whole)
        failures += wrong
        runs += 1
        ops = recovery.flash.ops
        for i in range(min(again, ops)):
            second = 1 + (n * APART + i * ops // again) % ops, TEARS[(n + n // len(TEARS) + i) % len(TEARS)]
            failures += bench.run([cut, second], recovery)[0]
            second_runs += 1
    return {"ops": whole.flash.ops, "runs": runs, "again": second_runs, "failures": failures[:20]}


def replay(case, folder, delta_folder):
    """One case by its name."""
    name, *words = case.split(":")
    cuts = [(int(words[i]), words[i + 1]) for i in range(0, len(words), 2)]
    failures, world = Bench(name, folder, delta_folder).run(cuts)
    return {"ops": world.flash.ops, "runs": 1, "again": 0, "failures": failures}


if len(sys.argv) == 4:
    found = replay(sys.argv[3], sys.argv[1], sys.argv[2])
else:
    found = campaign(sys.argv[3], sys.argv[1], sys.argv[2], *[int(word) for word in sys.argv[4:]])
sys.stdout.write(json.dumps(found) + "\n")
