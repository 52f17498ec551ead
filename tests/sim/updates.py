"""An update server and a device's storage in memory, for the update's tests on CPython and on MicroPython.

The server signs with real keys and answers through the interface of node.agent.http.HttpClient; its faults are attributes that
a test sets. The device is composed of the real parts. Only the network, the clock and the files are simulated.
"""

import asyncio
import io
import json
import sys

from node.agent.checkin import CheckIn
from node.agent.floors import Floors
from node.agent.http import Response
from node.agent.install import Install  # noqa: F401  loaded now: tests mount other file systems before an update needs it
from node.agent.rounds import Rounds
from node.agent.scatter import place_in_ms
from node.agent.server import Server
from node.agent.slots import Slots
from node.agent.turns import Turns
from node.agent.update import Update
from node.agent.verify import Trust
from node.compat import hexstr, sha256
from node.errors import FlashError, NetworkError, PeerError
from node.wire import bundle, checkin, direction, manifest, p256, root, signed

# The boot stub lies outside every package, as on the device.
sys.path.insert(0, __file__[:-len("tests/sim/updates.py")] + "firmware")
import choose
import parts  # noqa: F401  tests import all three from here
import stub

sys.path.pop(0)

DEVICE = "hall-0242ac110001"
MODEL = "hall"
MPY = 6
NOW_S = 1_800_000_000
TRIAL_MS = 30_000


class Key:
    """A key pair from a small number."""

    def __init__(self, number):
        self.d, self.pub = p256.keygen(bytes([number]) * 32)


def sign(kind, payload, *keys):
    digest = signed.signing_digest(kind, payload)
    return signed.join(kind, [(signed.key_id(key.pub), p256.sign(key.d, digest)) for key in keys], payload)


ROOT, RELEASE, ONLINE, OTHER = Key(1), Key(2), Key(3), Key(4)
_ROOTS = {}   # signing takes 5 ms: equal roots are signed once


def root_envelope(version=1, online=ONLINE, release=RELEASE, own=ROOT, before=None, min_counter=0):
    """A root envelope signed by its own root key and by the one before it."""
    name = (version, online, release, own, before, min_counter)
    if name not in _ROOTS:
        roles = {"root": ([own.pub], 1), "release": ([release.pub], 1), "direction": ([online.pub], 1)}
        keys = [own] if before is None or before is own else [before, own]
        _ROOTS[name] = sign(signed.ROOT, root.build(version, roles, min_counter), *keys)
    return _ROOTS[name]


def complete(files):
    """Names of the complete slots."""
    have = choose.Complete(files)
    return {slot for slot in stub.DIRS if slot in have}


class Release:
    """A signed release of these files, {path: bytes}, and of an image for the chip.

    Args:
        deltas: {"artifact" or "image": [(what it starts from, delta)]}.
    """

    def __init__(self, counter, files, key=RELEASE, span=None, model=MODEL, mpy=MPY, image=None, deltas=None):
        self.counter = counter
        self.files = files
        self.artifact = bundle.build(files)
        self.artifact_sha = hexstr(sha256(self.artifact))
        self.image = image
        self.image_sha = hexstr(sha256(image)) if image else None
        self.deltas = [delta for part in (deltas or {}).values() for _, delta in part]
        ways = {part: [(hexstr(sha256(base)), len(base), hexstr(sha256(delta)), len(delta)) for base, delta in found]
                for part, found in (deltas or {}).items() if found}
        payload = manifest.build(f"1.{counter}.0", counter, [model], span or (0, counter - 1), False, mpy,
                                 (self.artifact_sha, len(self.artifact)), (self.image_sha, len(image)) if image else None, ways)
        self.envelope = sign(signed.MANIFEST, payload, key)
        self.sha = hexstr(sha256(self.envelope))

    def marker(self):
        """What the device writes as release.json."""
        return {"release": f"1.{self.counter}.0", "counter": self.counter, "manifest": self.sha, "model": MODEL, "mpy": MPY}

    def install(self, files, slot):
        """Write it into a slot, as the line does for the factory's."""
        files.write_atomic(stub.DIRS[slot] + "/bundle", self.artifact)
        files.write_atomic(stub.DIRS[slot] + "/release.json", json.dumps(self.marker()).encode())


class OtaServer:
    """Stands where HttpClient stands. Faults are switched on by attributes.

    Attributes:
        offer: the Release to direct devices to, or None. Directions stop when the device reports it.
        patient: go on offering after a device has told of a failure.
        break_after: bytes of an artifact after which the connection breaks, or None.
        status, headers: answer everything with this instead, unless status is None.
        status_after_checkin: becomes `status` once a check-in has been answered.
        asked: (method, path, offset) of every request. requests: parsed check-ins.
    """

    def __init__(self, *releases):
        self.releases = list(releases)
        self.roots = {}
        self.offer = None
        self.patient = True
        self.online = ONLINE
        self.period_s = 60
        self.expires_s = NOW_S + 3600
        self.break_after = None
        self.status = None
        self.status_after_checkin = None
        self.headers = {}
        self.error = None
        self.piece_bytes = 500
        self.on_piece = None
        self.corrupt_at = None
        self.spoil = {}   # values of the next directions that replace the right ones
        self.asked = []
        self.requests = []

    async def request(self, method, path, body=b"", *, content_type="application/json", headers=(), cap=8192):
        self.asked.append((method, path, 0))
        if self.error is not None:
            raise self.error
        if self.status is not None:
            return Response(self.status, self.headers, b"")
        found = self._checkin(body) if path == "/v1/checkin" else self._stored(path)
        if found is None:
            return Response(404, {}, b"")
        if len(found) > cap:
            raise PeerError("http.length", f"got {len(found)}, expected at most {cap}")
        return Response(200, {}, found)

    async def download(self, path, offset, sink, cap):
        self.asked.append(("GET", path, offset))
        if self.error is not None:
            raise self.error
        if self.status is not None:
            return Response(self.status, self.headers, b"")
        contents = [(release.artifact_sha, release.artifact) for release in self.releases]
        contents += [(release.image_sha, release.image) for release in self.releases if release.image]
        contents += [(hexstr(sha256(delta)), delta) for release in self.releases for delta in release.deltas]
        data = next(data for sha, data in contents if path == "/v1/artifacts/" + sha)
        if self.corrupt_at is not None:
            data = data[:self.corrupt_at] + bytes([data[self.corrupt_at] ^ 1]) + data[self.corrupt_at + 1:]
        sent = 0
        for at in range(offset, len(data), self.piece_bytes):
            if self.break_after is not None and sent >= self.break_after:
                raise NetworkError("http.short", f"closed with {len(data) - at} bytes to come")
            piece = data[at:at + self.piece_bytes]
            if self.on_piece is not None:
                self.on_piece()
            sink(piece)
            sent += len(piece)
        return Response(206 if offset else 200, {}, b"")

    def direct(self, request, release):
        """A direction to `release` that answers a parsed check-in."""
        values = {"device": request["device"], "nonce": request["nonce"], "seq": request["seq"] + 1, "manifest": release.sha,
                  "issued": NOW_S, "expires": self.expires_s}
        values.update(self.spoil)
        return sign(signed.DIRECTION, direction.build(**values), self.online)

    def _checkin(self, body):
        request = checkin.parse_request(body)
        self.requests.append(request)
        self.status = self.status_after_checkin
        if request["failed"] is not None and not self.patient:
            self.offer = None
        wanted = self.offer is not None and request["manifest"] != self.offer.sha and not request["trial"]
        return checkin.encode_response({
            "now_s": NOW_S, "period_s": self.period_s, "direction": self.direct(request, self.offer) if wanted else None,
            "reason": "test",
        })

    def _stored(self, path):
        if path.startswith("/v1/roots/"):
            return self.roots.get(int(path[10:]))
        found = [release.envelope for release in self.releases if path == "/v1/manifests/" + release.sha]
        return found[0] if found else None


class MemoryFiles:
    """The Files port on a dict, as strict about folders as littlefs."""

    def __init__(self):
        self.data = {}
        self.folders = {"/"}
        self.refuse = None   # a path whose writing fails, as a worn-out flash would

    def read(self, path):
        return self.data.get(path) or None

    def write_atomic(self, path, data):
        if path == self.refuse:
            raise FlashError("files.io", path)
        self.mkdirs(path.rsplit("/", 1)[0])
        self.data[path] = bytes(data)

    def remove(self, path):
        if path in self.folders and self.list(path):
            raise OSError(39)   # ENOTEMPTY
        self.folders.discard(path)
        self.data.pop(path, None)

    def list(self, path):
        start = path.rstrip("/") + "/"
        names = [name for name in list(self.data) + sorted(self.folders) if name.startswith(start) and name != start]
        return sorted({name[len(start):].split("/")[0] for name in names})

    def mkdirs(self, path):
        names = path.strip("/").split("/")
        for n in range(1, len(names) + 1):
            self.folders.add("/" + "/".join(names[:n]))

    def open(self, path):
        return io.BytesIO(self.data[path]) if path in self.data else None

    def append(self, path):
        if path == self.refuse:
            raise OSError(28)   # ENOSPC
        self.mkdirs(path.rsplit("/", 1)[0])
        self.data.setdefault(path, b"")
        return MemoryFile(self, path)


class MemoryFile:
    """A file being written: what is not closed is lost."""

    def __init__(self, files, path):
        self._files = files
        self._path = path
        self._parts = [files.data[path]]

    def write(self, data):
        self._parts.append(bytes(data))
        return len(data)

    def close(self):
        self._files.data[self._path] = b"".join(self._parts)


class StepClock:
    """A clock that moves when told to; learns the time of day as node.agent.clock does."""

    def __init__(self):
        self.now_ms = 0
        self.epoch_ms = 0

    def ticks_ms(self):
        return self.now_ms

    def unix_ms(self):
        return self.epoch_ms + self.now_ms if self.epoch_ms else 0

    def learn(self, unix_ms, quality):
        self.epoch_ms = unix_ms - self.now_ms
        return True


class Chance:
    """Different bytes at each call, the same in each run."""

    def __init__(self):
        self._count = 0

    def urandom(self, n):
        self._count += 1
        return sha256(b"%d" % self._count)[:n]


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
        self.app_crashes = 0
        self.config_name, self.config_trial = "", False
        self.configs = []   # that came
        self.logged = []
        self.clock = clock or StepClock()
        self.server = Server(http, lambda: None)
        self.files = files
        self.slots = Slots(files, stub, boot["slot"])
        self.update = Update(boot, DEVICE, MODEL, MPY, slots=self.slots, files=files, floors=Floors(files),
                             clock=self.clock, trial_ms=TRIAL_MS, acked=lambda: self.acked, app_crashes=lambda: self.app_crashes,
                             restart=restart, log=self.log, images=images, deltas=deltas)
        self.checkin = CheckIn(self.server, self.clock, chance or Chance(), device=DEVICE, boot=1, period_s=60,
                               metrics=lambda: {"uptime_s": self.clock.ticks_ms() // 1000},
                               heard=lambda: None, log=self.log)
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
