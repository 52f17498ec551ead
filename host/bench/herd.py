"""Ten thousand devices after a common outage: what the servers see, second by second.

A discrete-event simulation of the device's own decisions: the check-in's class with its server's interface, the back-off and the
phase of node.agent; and of the server's: the period that it tells, whom it lets in and when it asks the others to come again
(ota.rules.shed). Networks, handshakes and processing take no time here, which is the worst case: a failure is known at once, and
all that fail together go on together. A broker has no word before a connection, so there the back-off decides alone.

Deterministic: a seed gives the same herd everywhere.
"""

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, TypedDict

from node.agent.checkin import CheckIn
from node.agent.http import Response
from node.agent.scatter import backoff_ms, place_in_ms, uniform
from node.agent.server import Server
from node.wire import checkin
from ota.rules import shed

OUTAGES_S = (0, 10, 60, 300, 1800)   # how long the servers were away; 0: everything lost its power at once
BACKOFF_MAX_S = 300     # node.config's default; raised when the fleet needs it
BOOT_S = 5              # devices that lost their power speak within so long
LIMIT_S = 14_400        # a herd that is not served by then never will be
FACTS = {"device": "", "model": "hall", "release": "1.0.0", "counter": 1, "manifest": "", "slot": "a", "trial": False,
         "failed": None, "root": 1, "seq": 0}


class Outcome(TypedDict):
    """What one outage ended with.

    `arrivals`: requests in each second from when the servers are back, those turned away among them. `peak_over_rate`: of the
    fullest second. `seconds`: until every device was served, from then too. `requests`: of a device until it was served, in vain
    or not, on average and at most.
    """

    outage_s: int
    peak_per_s: int
    peak_over_rate: float
    seconds: float
    requests: float
    most_requests: int
    turned_away: int
    arrivals: list[int]


class Report(TypedDict):
    """`period_s`: what this rate asks for, as uplink_s and as the check-ins' period."""

    devices: int
    rate_per_s: float
    period_s: int
    backoff_max_s: int
    broker: list[Outcome]
    checkins: list[Outcome]


class Chance:
    """The Random port of one device."""

    def __init__(self, seed: str) -> None:
        self.urandom: Callable[[int], bytes] = random.Random(seed).randbytes   # noqa: S311  repeatable


@dataclass
class World:
    """The time, and who acts next.

    Attributes:
        now_ms: of the simulation. back_ms: when the servers are back.
    """

    back_ms: int
    now_ms: int = 0
    arrivals: list[int] = field(default_factory=list)
    turned_away: int = 0

    def arrive(self) -> bool:
        """Somebody asks; whether there is anybody to be asked."""
        if self.now_ms < self.back_ms:
            return False
        second = (self.now_ms - self.back_ms) // 1000
        self.arrivals += [0] * (second + 1 - len(self.arrivals))
        self.arrivals[second] += 1
        return True


def measure(devices: int, rate: float, seed: int, step: Callable[[], None]) -> Report:
    """Simulate every outage of OUTAGES_S, for the broker and for the check-ins.

    Args:
        rate: that the servers were built for, a second.
        step: called after each outage.
    """
    period_s = shed.period(1, devices, rate)
    cap_s = max(BACKOFF_MAX_S, 2 * period_s)
    names = [f"hall-{number:012x}" for number in range(devices)]
    report = Report(devices=devices, rate_per_s=rate, period_s=period_s, backoff_max_s=cap_s, broker=[], checkins=[])
    for outage_s in OUTAGES_S:
        report["broker"].append(broker(names, rate, period_s, cap_s, outage_s, seed))
        report["checkins"].append(checkins(names, rate, period_s, outage_s, seed))
        step()
    return report


def broker(names: Sequence[str], rate: float, uplink_s: int, cap_s: int, outage_s: int, seed: int) -> Outcome:
    """Connections: every session ended in the same moment, and the broker is back after `outage_s`."""
    world = World(outage_s * 1000)
    tries, failures, served_ms = [0] * len(names), [1] * len(names), [-1] * len(names)
    chances = [Chance(f"{seed} broker {name}") for name in names]

    def wait_ms(who: int) -> int:
        return backoff_ms(failures[who], uplink_s * 1000, cap_s * 1000, chances[who].urandom(4))

    queue = [(wait_ms(who), who) for who in range(len(names))]
    heapq.heapify(queue)
    while queue:
        world.now_ms, who = heapq.heappop(queue)
        tries[who] += 1
        if world.arrive():
            served_ms[who] = world.now_ms
        else:
            failures[who] += 1
            heapq.heappush(queue, (world.now_ms + wait_ms(who), who))
    return _outcome(world, rate, outage_s, served_ms, tries)


class Herd:
    """Check-ins of a fleet: real CheckIn objects, and one update server."""

    def __init__(self, names: Sequence[str], rate: float, period_s: int, outage_s: int, seed: int, *, told_s: int = 0) -> None:
        """Make the fleet.

        Args:
            period_s: that devices know at first. told_s: that the server tells; 0: the same.
        """
        self._told_s = told_s or period_s
        self.world = World(outage_s * 1000)
        self._admission = shed.admission(rate, 0.0)
        self._names = names
        self.tries, self.served_ms = [0] * len(names), [-1] * len(names)
        self.let_in: list[int] = []   # a second
        self._devices = [Device(self, who, period_s, seed) for who in range(len(names))]
        self._queue = [(device.first_ms(outage_s), who) for who, device in enumerate(self._devices)]
        heapq.heapify(self._queue)

    def run(self) -> None:
        """Until everybody was served, and a period longer."""
        left, end_ms = len(self._names), self.world.back_ms + LIMIT_S * 1000
        while self._queue and self._queue[0][0] <= end_ms:
            self.world.now_ms, who = heapq.heappop(self._queue)
            before = self.served_ms[who]
            wait_ms = self._devices[who].act()
            heapq.heappush(self._queue, (self.world.now_ms + max(1, wait_ms), who))
            if before < 0 <= self.served_ms[who]:
                left -= 1
                if not left:
                    end_ms = self.world.now_ms + self._told_s * 1000

    def ask(self, who: int, body: bytes) -> Response:
        """One request of a device, noted.

        Raises:
            OSError: the server is away.
        """
        if self.served_ms[who] < 0:
            self.tries[who] += 1
        if not self.world.arrive():
            raise OSError(111)
        answer = self.answer(who, body)
        if answer.status != 200:
            self.world.turned_away += 1
            return answer
        if self.served_ms[who] < 0:
            self.served_ms[who] = self.world.now_ms
        second = (self.world.now_ms - self.world.back_ms) // 1000
        self.let_in += [0] * (second + 1 - len(self.let_in))
        self.let_in[second] += 1
        return answer

    def answer(self, _who: int, _body: bytes) -> Response:
        """What the server says: who is let in, and the period."""
        self._admission, wait_s = self._admission.admit(self.world.now_ms / 1000)
        if wait_s:
            return Response(503, {"retry-after": str(ceil(wait_s))}, b"")
        return Response(200, {}, checkin.encode_response(
            {"now_s": 1_795_306_472, "period_s": self._told_s, "direction": None, "reason": ""}))


class Device:
    """One device's check-ins. Stands for its clock and its HTTP client too."""

    def __init__(self, herd: Herd, who: int, period_s: int, seed: int) -> None:
        self._herd, self._who, self._name = herd, who, herd._names[who]
        self._chance = Chance(f"{seed} checkin {self._name}")
        self._period_ms = period_s * 1000
        self._boot_ms = 0
        me: Any = self   # as clock and HTTP client: what a check-in uses of them is below
        self._checkin = CheckIn(Server(me, _nothing), me, self._chance, device=self._name, boot=1, period_s=period_s,
                                metrics=dict, missed=_nothing, heard=_nothing, log=_nothing)

    def first_ms(self, outage_s: int) -> int:
        """When it checks in next: it has just booted, or its clock has run for a day, each for another while."""
        if outage_s:
            self._boot_ms = -86_400_000 - uniform(self._chance.urandom(4), self._period_ms)
        else:
            self._boot_ms = uniform(self._chance.urandom(4), BOOT_S * 1000)
        begin_ms = max(0, self._boot_ms)
        return begin_ms + place_in_ms(self._name, begin_ms - self._boot_ms, self._period_ms, self._chance.urandom(4))

    def act(self) -> int:
        """Check in; milliseconds until the next time."""
        asking = self._checkin.ask(FACTS | {"device": self._name})
        try:
            asking.send(None)   # nothing in it waits
        except StopIteration as done:
            wait_ms: int = done.value[0]
            return wait_ms
        raise AssertionError("a check-in waited for something")

    def ticks_ms(self) -> int:
        return self._herd.world.now_ms - self._boot_ms

    def learn(self, _unix_ms: int, _quality: int) -> bool:
        return False

    async def request(self, _method: str, _path: str, body: bytes, *, cap: int) -> Response:
        del cap
        return self._herd.ask(self._who, body)


def checkins(names: Sequence[str], rate: float, period_s: int, outage_s: int, seed: int) -> Outcome:
    """Check-ins: devices went on by their own clocks while the server was away, or all booted at once (`outage_s` 0)."""
    herd = Herd(names, rate, period_s, outage_s, seed)
    herd.run()
    return _outcome(herd.world, rate, outage_s, herd.served_ms, herd.tries)


def _outcome(world: World, rate: float, outage_s: int, served_ms: Sequence[int], tries: Sequence[int]) -> Outcome:
    if min(served_ms) < 0:
        raise RuntimeError(f"{sum(one < 0 for one in served_ms)} devices were not served within {LIMIT_S} s")
    peak = max(world.arrivals)
    return Outcome(
        outage_s=outage_s, peak_per_s=peak, peak_over_rate=round(peak / rate, 3),
        seconds=round((max(served_ms) - world.back_ms) / 1000, 1), requests=round(sum(tries) / len(tries), 3),
        most_requests=max(tries), turned_away=world.turned_away, arrivals=world.arrivals)


def _nothing(*_what: object) -> None:
    pass
