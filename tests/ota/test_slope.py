"""Devices that all come back are a slope: the firmware's check-ins against the server over HTTP, in simulated time."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.bench.herd import Herd
from node.agent.http import Response
from ota.rules import shed
from ota.rules.values import Report
from ota.server import app as application
from ota.store import devices
from ota.store.devices import Sighting
from ota.store.session import writing
from tests.ota.support import DEVICE, MODEL, Plant, PretendDevice, code, plant, post_raw, request_of, restart

RATE = 100.0
PULSE_MS = 5_000


class Fleet(Herd):
    """The herd of `tenfold bench herd`, whose server is the real one; it has just started and remembers nobody."""

    def __init__(self, server: Plant, number: int, outage_s: int, *, known_s: int = 0) -> None:
        self._plant, self._start_s, self._pulse_ms = server, server.clock.now_s, 0
        self.first: Counter[int] = Counter()   # devices that were let in for the first time, by second
        names = [f"{MODEL}-{index:012x}" for index in range(number)]
        with writing(server.context.engine) as connection:
            devices.record(connection, [
                Sighting(Report(name, MODEL, "1.0.0", 1, "", trial=False), 1, "a", 1, {}, self._start_s - 60) for name in names])
        application.pulse(server.context)
        server.clock.now_s += 10   # the devices are counted
        application.pulse(server.context)
        self.period_s = shed.period(1, number, RATE)
        super().__init__(names, RATE, known_s or self.period_s, outage_s, 3, told_s=self.period_s)

    def answer(self, who: int, body: bytes) -> Response:
        self._plant.clock.now_s = self._start_s + 10 + self.world.now_ms / 1000
        if self.world.now_ms >= self._pulse_ms:
            self._pulse_ms = self.world.now_ms + PULSE_MS
            application.pulse(self._plant.context)
        told = self._plant.client.post("/v1/checkin", content=body, headers={"x-test-peer": self._names[who]})
        if told.status_code == 503:
            assert told.json()["code"] == "checkin.later"
        elif self.served_ms[who] < 0:
            self.first[self.world.now_ms // 1000] += 1
        return Response(told.status_code, {"retry-after": told.headers.get("retry-after", "")}, told.content)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Plant]:
    with plant(tmp_path, checkins_per_s=RATE, period_s=1) as made:
        yield made


@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_fleet_after_an_outage_is_a_slope(server: Plant, number: int) -> None:
    crowd = Fleet(server, number, 60)
    crowd.run()
    assert min(crowd.served_ms) >= 0
    assert max(crowd.world.arrivals) <= 1.25 * RATE
    assert max(crowd.served_ms) / 1000 < 60 + 1.3 * crowd.period_s


@pytest.mark.parametrize("number", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_fleet_that_knows_too_short_a_period_is_let_in_at_the_rate(server: Plant, number: int) -> None:
    """All booted together, three times as many as their period was made for."""
    crowd = Fleet(server, number, 0, known_s=shed.period(1, number, RATE) // 3)
    crowd.run()
    assert min(crowd.served_ms) >= 0
    assert crowd.world.turned_away > number // 10
    for second in crowd.first:
        assert crowd.first[second] + crowd.first[second + 1] <= 3 * RATE + 1   # a second's burst, and two seconds
    assert max(crowd.served_ms) / 1000 < 3 * crowd.period_s
    assert max(crowd.world.arrivals[-crowd.period_s // 2:]) <= 1.25 * RATE
    assert server.get("/admin/versions").json()["versions"][0]["devices"] == number


def exhaust(server: Plant) -> None:
    """Strangers take every token of the second."""
    server.context.desk._admission = shed.Admission(shed.Tokens(RATE, RATE, 0.0, server.clock.now_s), 0.0)


def test_turned_away_is_told_when_and_let_in_then(server: Plant) -> None:
    exhaust(server)
    answers = [post_raw(server, request_of(f"{MODEL}-{index:012x}"), f"{MODEL}-{index:012x}") for index in range(150)]
    assert {code(answer) for answer in answers} == {(503, "checkin.later")}
    waits = [int(answer.headers["retry-after"]) for answer in answers]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (1, 3)   # 50 a second
    server.clock.now_s += waits[-1]
    assert post_raw(server, request_of(f"{MODEL}-{149:012x}"), f"{MODEL}-{149:012x}").status_code == 200


def test_idle_device_is_answered_whoever_else_comes(server: Plant) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    exhaust(server)
    device.live(5)
    assert device.check_in()["reason"] == "no rollout for this model is under way"


def test_update_under_way_is_never_turned_away(server: Plant) -> None:
    """Offer, trial, confirmation and failure while the server turns others away: time counts against such a device."""
    device = PretendDevice(server, DEVICE)
    device.check_in()
    application.pulse(server.context)
    manifest = server.publish(*server.keys.release(2)).json()["manifest"]
    ident = server.rollout(manifest, stages=[100])["rollout"]
    device.check_in()
    for step in (lambda: None, device.install, lambda: None, device.fall_back):
        step()
        exhaust(server)
        device.check_in()
    assert server.status(ident)["state"] == "halted"


def test_restarted_server_lets_in_what_was_under_way(server: Plant) -> None:
    device = PretendDevice(server, DEVICE)
    device.check_in()
    application.pulse(server.context)
    server.rollout(server.publish(*server.keys.release(2)).json()["manifest"], stages=[100])
    device.check_in()
    restart(server)
    exhaust(server)
    device.check_in()
    assert device.directed


def test_being_turned_away_is_seen_and_no_attempt(server: Plant) -> None:
    """A confirmed device that the server itself kept away must not be lost for its silence."""
    device = PretendDevice(server, DEVICE)
    device.check_in()
    application.pulse(server.context)
    manifest = server.publish(*server.keys.release(2)).json()["manifest"]
    ident = server.rollout(manifest, stages=[100], soak_s=[600], lease_s=60)["rollout"]
    device.check_in()
    device.install()
    device.check_in()
    device.trial = False
    device.check_in()
    device.reboot()
    for _ in range(5):
        server.clock.now_s += 50
        exhaust(server)
        asked = request_of(DEVICE, counter=2, release=device.release, manifest=device.manifest, boot=device.boot)
        assert post_raw(server, asked).status_code == 503
        server.pass_time(0)
    (attempt,) = server.get(f"/admin/devices/{DEVICE}/explain").json()["attempts"]
    assert attempt["state"] == "confirmed"
    assert server.status(ident)["state"] == "running"
