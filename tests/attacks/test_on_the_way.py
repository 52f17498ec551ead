"""Between a device and the real server: with the server's TLS key but none that signs, or without any."""

import datetime as dt
import socket
import threading
from contextlib import suppress

import pytest

from node.agent import update
from node.wire import checkin
from ota.client import OtaClient
from provisioning import pki
from tests.attacks.middle import Answer, Middle, Request, Upstream
from tests.attacks.victim import Victim
from tests.ota.support import PEER, Keys, operator, until


@pytest.fixture
def desk(port: int, certificates: pki.FleetPki):
    with operator(port, certificates) as desk:
        yield desk


@pytest.fixture
def way(middle: Middle, port: int, certificates: pki.FleetPki) -> Upstream:
    """The way to the real server, through the attacker."""
    middle.rule = made = Upstream(port, certificates)
    return made


def roll_out(desk: OtaClient, victim: Victim, signing: Keys, counter: int, **policy: float) -> str:
    """Publish a release and offer it to everybody."""
    raw, artifact = signing.release(counter)
    name = desk.publish(raw, artifact)["manifest"]
    victim.cycle()   # the server knows the device
    until(lambda: len(list(desk.devices())), 1)
    desk.start_rollout(name, **policy)
    return name


def unchanged(_request: Request, answer: Answer) -> Answer:
    return answer


def arrives(victim: Victim) -> bool:
    """Whether the update comes after all; first the device may have to tell of a refusal."""
    return any(victim.live() == "update" for _ in range(3))


def only(path: str, changed):
    """A change of the answers under one path."""
    return lambda request, answer: changed(answer) if request.path.startswith(path) else answer


def test_honest_way_updates_the_device_and_the_server_hears_of_it(
        way: Upstream, desk: OtaClient, victim: Victim, signing: Keys) -> None:
    roll_out(desk, victim, signing, 2)
    assert victim.live() == "update"
    assert victim.info["release"]["counter"] == 2
    until(lambda: desk.explain(PEER)["counter"], 2)


def test_replay_of_a_direction_is_refused_in_another_check_in_and_in_another_boot(
        way: Upstream, desk: OtaClient, victim: Victim, signing: Keys) -> None:
    answers = []

    def record(answer: Answer) -> Answer:
        answers.append(answer)
        return Answer(status=503)   # the device hears nothing

    roll_out(desk, victim, signing, 2)
    way.change = only("/v1/checkin", record)
    victim.cycle()
    way.change = only("/v1/checkin", lambda _answer: answers[0])
    for again in range(2):
        assert checkin.parse_response(answers[0].body)["direction"] is not None
        assert victim.cycle() is None
        assert victim.device.logged[-1][1].startswith("direction.nonce")
        if not again:
            victim.boot()
    way.change = unchanged
    assert arrives(victim)


def test_freeze_with_old_answers_ends_when_the_attacker_does(way: Upstream, desk: OtaClient, victim: Victim, signing: Keys) -> None:
    old = []

    def freeze(answer: Answer) -> Answer:
        old.append(answer)
        return old[0]   # "nothing for you", genuine, for ever

    way.change = only("/v1/checkin", freeze)
    roll_out(desk, victim, signing, 2)
    for _ in range(3):
        assert victim.live() is None
    way.change = unchanged
    assert arrives(victim)


@pytest.mark.parametrize("path", ["/v1/roots/", "/v1/manifests/", "/v1/artifacts/"])
def test_malicious_mirror_that_withholds_uses_up_no_attempt(
        way: Upstream, desk: OtaClient, victim: Victim, signing: Keys, path: str) -> None:
    roll_out(desk, victim, signing, 2)
    for status in (302, 403, 500, 503):
        way.change = only(path, lambda _answer, status=status: Answer(b"a proxy's page", status))
        assert victim.live() is None
        assert victim.device.update.failed is None
    way.change = unchanged
    assert arrives(victim)


@pytest.mark.parametrize(("path", "reason"), [("/v1/manifests/", "manifest.hash"), ("/v1/artifacts/", "download.hash")])
def test_malicious_mirror_that_alters_is_found_out_and_told(
        way: Upstream, desk: OtaClient, victim: Victim, signing: Keys, path: str, reason: str) -> None:
    roll_out(desk, victim, signing, 2)
    way.change = only(path, lambda answer: Answer(answer.body[:-1] + b"!"))
    assert victim.live() is None
    assert set(victim.holds()) == {"factory"}
    victim.live()
    until(lambda: [(attempt["state"], attempt["reason"]) for attempt in desk.explain(PEER)["attempts"]], [("offered", reason)])
    assert desk.explain(PEER)["code"] == "altered"


@pytest.mark.parametrize("path", ["/v1/manifests/", "/v1/artifacts/"])
def test_malicious_mirror_that_alters_for_long_halts_nothing_and_quarantines_nobody(
        way: Upstream, desk: OtaClient, victim: Victim, signing: Keys, path: str) -> None:
    roll_out(desk, victim, signing, 2, retry_s=0)
    way.change = only(path, lambda answer: Answer(answer.body[:-1] + b"!"))

    def times_altered() -> bool:
        victim.live()
        return [each["event"] for each in desk.history(PEER, 100)].count("altered") > 3

    until(times_altered, True)   # more often than quarantine_after
    assert set(victim.holds()) == {"factory"}
    assert desk.explain(PEER)["failures"] == []
    assert [each["state"] for each in desk.rollouts()] == ["running"]
    way.change = unchanged
    until(victim.live, "update")


def test_direction_with_any_byte_changed_is_refused(way: Upstream, desk: OtaClient, victim: Victim, signing: Keys) -> None:
    roll_out(desk, victim, signing, 2)
    for place in (0, 4, 5, 6, 20, 60, 80, 150, -1):
        def change(answer: Answer, place=place) -> Answer:
            told = checkin.parse_response(answer.body)
            raw = bytearray(told["direction"])
            raw[place] ^= 1
            return Answer(checkin.encode_response(
                {name: told[name] for name in ("now_s", "period_s", "reason")} | {"direction": bytes(raw)}))

        way.change = only("/v1/checkin", change)
        assert victim.live() is None
        assert set(victim.holds()) == {"factory"}


def test_dropped_requests_stop_nothing_but_the_update_and_the_gap_is_told(
        way: Upstream, desk: OtaClient, victim: Victim, signing: Keys, middle: Middle) -> None:
    roll_out(desk, victim, signing, 2)
    heard = []

    def drop(_request: Request) -> Answer:
        raise ConnectionResetError

    middle.rule = drop
    for _ in range(4):
        victim.clock.now_ms += 60_000
        assert victim.live() is None
        assert victim.device.update.state == update.IDLE

    def hear(request: Request) -> Answer:
        if request.path == "/v1/checkin":
            heard.append(checkin.parse_request(request.body))
        return way(request)

    middle.rule = hear
    assert victim.live() == "update"
    assert heard[0]["metrics"]["uptime_s"] >= 240   # the same boot, all the time


@pytest.mark.parametrize("impostor", ["another authority", "another name", "expired"])
def test_eavesdropper_without_the_servers_key_is_told_nothing(
        impostor: str, certificates: pki.FleetPki, signing: Keys, tmp_path) -> None:
    then = dt.datetime.now(dt.UTC) - dt.timedelta(days=20 * 365)
    own = certificates if impostor == "another name" else pki.make_fleet_pki(
        tmp_path / "own", now=then if impostor == "expired" else None)
    trusted = own if impostor == "expired" else certificates
    with Middle(own) as middle:
        host = "fleet.example" if impostor == "another name" else "localhost"
        victim = Victim(middle.port, certificates, signing, host=host, root=trusted.cert("root"))
        assert victim.live() is None
        assert "certificate" in victim.device.logged[-1][1].lower()
        assert not middle.asked


def test_listener_on_the_wire_sees_neither_what_is_asked_nor_what_is_sent(
        way: Upstream, middle: Middle, desk: OtaClient, certificates: pki.FleetPki, signing: Keys) -> None:
    with Tap(middle.port) as tap:
        victim = Victim(tap.port, certificates, signing)
        roll_out(desk, victim, signing, 2)
        assert victim.live() == "update"
        taken = tap.taken()
    raw, artifact = signing.release(2)
    assert len(taken) > len(artifact)
    for secret in (b"/v1/checkin", b"counter", PEER.encode() + b'"', artifact[-40:], raw[-40:]):
        assert secret not in taken


class Tap:
    """A wire with a listener: a TCP relay that keeps what goes both ways."""

    def __init__(self, port: int) -> None:
        self._to, self._listener, self._kept, self._threads = port, socket.create_server(("127.0.0.1", 0)), [], []
        self.port = self._listener.getsockname()[1]

    def __enter__(self) -> "Tap":
        self._start(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def taken(self) -> bytes:
        return b"".join(self._kept)

    def _start(self, run, *arguments) -> None:
        self._threads.append(threading.Thread(target=run, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._relay, near)

    def _relay(self, near) -> None:
        with near, socket.create_connection(("127.0.0.1", self._to)) as far:
            back = threading.Thread(target=self._copy, args=(far, near))
            back.start()
            self._copy(near, far)
            back.join()

    def _copy(self, source, sink) -> None:
        try:
            while data := source.recv(4096):
                self._kept.append(data)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for link in (source, sink):
                with suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
