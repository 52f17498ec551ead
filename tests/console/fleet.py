"""A made-up fleet for the console: a telemetry database filled through ingest's own commit, and an OTA server's words.

Times are Unix milliseconds, given; nothing here reads a clock, so tests are the same at any time of day.
"""

import random

import httpx

from host.console.ota import HttpOta
from host.db import open_engine
from host.ingest.commit import Committer
from host.ingest.sort import sort
from host.sim import hall
from host.sim.signals import MISSING
from host.store.telemetry import Telemetry
from node.wire import batch, schema, topics
from tests.databases import migrated

PERIOD_MS = 250
SAMPLES = 20                 # of a batch: 5 seconds
BATCH_MS = SAMPLES * PERIOD_MS
OLD, NEW, BAD = ("1.0.0", 1), ("1.1.0", 2), ("1.2.0", 3)


def names(count):
    return [f"hall-0242ac11{number:04x}" for number in range(1, count + 1)]


class Fleet:
    """Devices that send what a machine hall shows. `advance` brings the database up to a time."""

    def __init__(self, folder, count, start_ms, *, minutes=10):
        self.path = folder / "telemetry.db"
        self.url = migrated(self.path)
        self.engine = open_engine(self.url)
        self.devices = names(count)
        self.start_ms, self.at_ms = start_ms, start_ms
        self.committer = Committer(Telemetry(self.engine))
        self.tables = hall.tables(10, self.devices, minutes=minutes, row_ms=PERIOD_MS)
        self.canonical = schema.build([(one.name, one.unit, one.resolution) for one in hall.CHANNELS])
        self.hash = schema.schema_hash(self.canonical)
        self.seq = dict.fromkeys(self.devices, 0)
        self.boot = dict.fromkeys(self.devices, 1)
        self.release = dict.fromkeys(self.devices, OLD)
        self.silent = set()
        self.columns = {device: [[None if value == MISSING else int(value) for value in column] for column in table.steps.T]
                        for device, table in self.tables.items()}
        self.send([message for device in self.devices for message in (self.hello(device), self.record(device, batch.schema_record(
            1, self._next(device), self.canonical)))])

    def advance(self, to_ms):
        """Send all batches that end before a time, about a minute in one commit."""
        group = []
        while self.at_ms + BATCH_MS <= to_ms:
            group += [self.record(device, self.batch(device, self.at_ms)) for device in self.devices if device not in self.silent]
            self.at_ms += BATCH_MS
            if len(group) > 240 or self.at_ms + BATCH_MS > to_ms:
                self.send(group)
                group = []

    def batch(self, device, at_ms):
        columns = self.columns[device]
        row = (at_ms - self.start_ms) // PERIOD_MS + self.devices.index(device) * 97
        index = [(row + each) % len(columns[0]) for each in range(SAMPLES)]
        return batch.encode(
            self.boot[device], self._next(device), self.hash, at_ms - self.start_ms, self.start_ms, batch.QUALITY_SERVER, PERIOD_MS,
            [[column[each] for each in index] for column in columns], [])

    def add_windows(self, device, columns, period_ms=10_000):
        """A second group of the device: its schema, and a batch of windows of the current, the first one 10 s after the start."""
        canonical = schema.build([("current." + kind, "A", "0.01") for kind in ("min", "mean", "max", "std")])
        self.send([self.record(device, batch.schema_record(self.boot[device], self._next(device), canonical)),
                   self.record(device, batch.encode(
                       self.boot[device], self._next(device), schema.schema_hash(canonical), period_ms, self.start_ms,
                       batch.QUALITY_SERVER, period_ms, columns, []))])

    def drop(self, device):
        """The link breaks."""
        self.silent.add(device)
        self.send([(topics.state(device), topics.OFFLINE)])

    def back(self, device, release=None, *, rebooted=False):
        """It comes back, perhaps with another release."""
        self.silent.discard(device)
        self.release[device] = release or self.release[device]
        self.send([self.hello(device)])

    def hello(self, device):
        boot, (release, counter) = self.boot[device], self.release[device]
        return topics.state(device), topics.encode_state(boot, release, counter, (boot, self.seq[device]), "power")

    def record(self, device, payload):
        return topics.up(device), payload

    def send(self, messages):
        if messages:
            self.committer.commit([sort(topic, payload) for topic, payload in messages], self.at_ms)

    def _next(self, device):
        seq = self.seq[device]
        self.seq[device] += 1
        return seq


class OtaWords:
    """An OTA server's answers, in its own shapes (ota/server/views.py). `down` makes it unreachable."""

    def __init__(self, fleet, now_ms):
        self.fleet, self.now_ms, self.down = fleet, now_ms, False
        self.rollouts, self.attempts, self.configs, self.asked = [], {}, {}, []

    def source(self):
        return HttpOta("https://localhost:8443", None, 1.0, httpx.MockTransport(self.answer))

    def answer(self, request):
        self.asked.append(request.url.path)
        if self.down:
            raise httpx.ConnectError("connection refused")
        path = request.url.path.removeprefix("/admin/")
        match path.split("/"):
            case ["rollouts"]:
                lines = [{"rollout": each["rollout"], "state": each["state"]} for each in self.rollouts]
                return httpx.Response(200, json={"rollouts": lines})
            case ["rollouts", ident]:
                return httpx.Response(200, json=next(each for each in self.rollouts if each["rollout"] == ident))
            case ["devices"]:
                after = request.url.params["after"]
                page = [each for each in self.fleet.devices if each > after][:10]
                rest = None if page[-1:] == self.fleet.devices[-1:] or not page else page[-1]
                return httpx.Response(200, json={"devices": [self.device(each) for each in page], "next": rest})
            case ["devices", device, "explain"]:
                if device not in self.fleet.devices:
                    return httpx.Response(404, json={"code": "ota.unknown", "message": "has not checked in yet"})
                metrics = {"uptime_s": 512, "heap_free": 61_440, "drops": 1, "connects": 2}
                return httpx.Response(200, json=self.device(device) | {"metrics": metrics, "failures": [], "attempts": []})
            case ["metrics", "devices"]:
                return httpx.Response(200, json={"devices": [self.told(each) for each in self.fleet.devices], "next": None})
            case ["metrics", "totals"]:
                totals = {"checkins": 500, "uptime_s": 40_000, "app_crashes": 2}
                row = {"model": "hall", "counter": 1, "release": "1.0.0", "totals": totals}
                return httpx.Response(200, json={"totals": [row | {"site": site} for site in ("nord", "sued")]})
            case ["versions"]:
                seen = {OLD, *self.fleet.release.values(), *([BAD] if len(self.rollouts) > 1 else [])}
                return httpx.Response(200, json={"versions": [self.version(*each) for each in sorted(seen)]})
        return httpx.Response(404, json={"code": "http.404", "message": path})

    def version(self, release, counter):
        running = sum(each == (release, counter) for each in self.fleet.release.values())
        totals = {"checkins": 500, "uptime_s": 40_000, "app_crashes": 3 if counter == BAD[1] else 0}
        return {"model": "hall", "counter": counter, "release": release, "first_seen_s": 1.0, "last_seen_s": 2.0,
                "devices": running, "totals": totals}

    def told(self, device):
        """A row of /admin/metrics/devices: the first half stands at nord, the others at sued."""
        place = self.fleet.devices.index(device)
        release, counter = self.fleet.release[device]
        return {"device": device, "model": "hall", "release": release, "counter": counter, "cohort": 2,
                "site": "nord" if 2 * place < len(self.fleet.devices) else "sued", "last_seen_s": self.now_ms() / 1000 - 5,
                "metrics": {"uptime_s": 512, "heap_free": 61_440, "ring_used": 128}}

    def device(self, device):
        release, counter = self.fleet.release[device]
        runs, trial, wanted, failed, gave_up = self.configs.get(device, ("", False, "", "", ""))
        attempt, reason, why = self.attempts.get(device, (None, "", "no rollout for this model is under way"))
        return {
            "device": device, "model": "hall", "release": release, "counter": counter, "manifest": "ab" * 32,
            "trial": attempt == "trial", "slot": "a" if counter > 1 else "factory", "boot": 1, "root": 1, "first_seen_s": 1.0,
            "last_seen_s": self.now_ms() / 1000, "rollout": None, "bucket": None, "limit": None, "attempt": attempt,
            "attempt_reason": reason, "decision": "hold", "code": "no_rollout", "why": why,
            "config": runs, "config_trial": trial, "config_wanted": wanted, "config_failed": failed, "config_reason": gave_up,
        }

    def rollout(self, ident, release, state, stage, *, reason="", counts=(), gate=("unknown", ""), soak_left_s=None, attempts=(),
                asked_by=None, start_at=0.0):
        """Add a rollout; `counts` are (eligible, offered, under way, confirmed, soaked, failed, lost), one an opened stage."""
        now_s, population = self.now_ms() / 1000, len(self.fleet.devices)
        stages = []
        for index, pct in enumerate((1, 5, 10, 100)):
            done = index < stage or state == "done"
            each = {"index": index, "pct": pct, "soak_s": 8.0, "opened_s": None, "closed_s": None, "soak_remaining_s": None,
                    "eligible": max(1, population * pct // 100),
                    "state": "done" if done else "current" if index == stage else "waiting"}
            if index < len(counts):
                each |= self.opened(counts[index], ("pass", "all checks passed") if done else gate) | {"opened_s": now_s - 60}
            if each["state"] == "current":
                each["soak_remaining_s"] = soak_left_s
            stages.append(each)
        self.rollouts.insert(0, {
            "rollout": ident, "manifest": "ab" * 32, "release": release[0], "counter": release[1], "models": ["hall"],
            "state": state, "reason": reason, "stage": stage, "pct": stages[stage]["pct"], "population": population, "offered": 1,
            "stage_since_s": now_s, "policy": {"start_at": start_at},
            "approval": asked_by and {"event": "start", "asked_s": now_s - 90, "asked_by": asked_by, "reason": "cures the drops"},
            "added_s": now_s - 200, "added_by": "op.release", "now_s": now_s,
            "stages": stages,
            "history": [{"at_s": now_s - 200, "event": "start", "stage": 0, "by": "op.release", "reason": "start by op.release"}],
            "attempts": [
                {"device": device, "manifest": "ab" * 32, "counter": release[1], "state": how, "stage": 0, "first_s": 1.0,
                 "lease_until_s": 2.0, "confirmed_s": 0.0, "settled_s": 3.0, "reason": why} for device, how, why in attempts],
        })

    def opened(self, counts, gate):
        verdict, why = gate
        failing, _, reason = why.partition(": ")
        checks = [
            {"name": name, "reason": reason or why, "numbers": {},
             "verdict": verdict if verdict != "fail" or name == failing else "pass"}
            for name in ("failures", "lost", "confirms", "online", "crashes", "drops", "resets", "traffic")]
        names_ = ("eligible", "offered", "under_way", "confirmed", "soaked", "failed", "lost")
        return dict(zip(names_, counts, strict=True)) | {
            "needed": 1, "soaking": 0, "waiting": 0, "reason": why, "gate": {"verdict": verdict, "reason": why, "checks": checks}}


def evening(fleet, words, to_ms):
    """A whole demo: an update rolled out, a broker outage, a bad release halted at its canary."""
    chance = random.Random(3)
    begin, span = fleet.start_ms, to_ms - fleet.start_ms
    fleet.advance(begin + span // 3)
    for device in fleet.devices[:-2]:
        fleet.drop(device)
        fleet.back(device, NEW)
    fleet.advance(begin + span // 2)
    for device in chance.sample(fleet.devices, 9):
        fleet.drop(device)
        fleet.back(device)
    fleet.advance(to_ms - 40_000)
    canary = fleet.devices[6]
    fleet.drop(canary)
    fleet.back(canary, BAD)
    fleet.advance(to_ms - 20_000)
    fleet.drop(canary)
    fleet.back(canary, NEW)
    fleet.drop(fleet.devices[11])
    fleet.send([(topics.up(fleet.devices[3]), b"\x01 not a batch")])
    fleet.advance(to_ms)
    total = len(fleet.devices)
    words.rollout("r1", NEW, "done", 3, counts=[(1, 1, 0, 1, 1, 0, 0), (1, 1, 0, 1, 1, 0, 0), (2, 2, 0, 2, 2, 0, 0),
                                                (total, total, 0, total - 2, total - 2, 0, 0)])
    words.rollout("r2", BAD, "halted", 0, counts=[(1, 1, 0, 0, 0, 1, 0)],
                  reason="failures: 1 of 1 devices came back; 0.2 % allowed (e = 281)",
                  gate=("fail", "failures: 1 of 1 devices came back; 0.2 % allowed (e = 281)"),
                  attempts=[(canary, "failed", "trial: the app crashed 3 times")])
    why = "the device came back from the release; it is offered again later"
    words.attempts[canary] = ("failed", "trial: the app crashed 3 times", why)
