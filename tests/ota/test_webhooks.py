"""Webhooks against a real receiver: what happened is told, signed, again when it was not heard, and never at a device's expense."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from host.settings import SettingsError
from host.webhook import CLAIM_S, FIRST_GAP_S, LONGEST_GAP_S, TRIES
from ota.server.settings import OtaSettings, Webhook
from ota.server.webhooks import Teller, tellers
from ota.store import outbox
from ota.store.session import reading, writing
from provisioning import pki
from tests.monitor import receivers
from tests.monitor.receivers import Receiver
from tests.ota.support import Keys, Plant, PretendDevice, as_device, check_in, code, fleet, operator, until

SECRET = "correct horse battery"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receivers.receiver() as made:
        yield made


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "hook.secret"
    path.touch(mode=0o600)
    path.write_text(SECRET + "\n")
    return path


def teller(server: Plant, url: str, secret_file: Path, **more: object) -> Teller:
    (made,) = tellers((Webhook(url=url, secret_file=secret_file, **more),), server.context.engine, server.clock, lambda: 1.0)
    return made


def tell(made: Teller) -> int:
    """Tell what is due; gives the number of events that were heard."""
    async def work() -> int:
        heard = 0
        with ThreadPoolExecutor(1) as pool:
            async with httpx.AsyncClient(trust_env=False) as http:
                while await made.tell(http, pool):
                    heard += 1
        return heard

    return asyncio.run(work())


def state(server: Plant, url: str) -> dict:
    with reading(server.context.engine) as connection:
        return outbox.state(connection, url)


def test_what_happens_to_a_rollout_is_told_in_order_and_signed(server: Plant, receiver: Receiver, secret_file: Path) -> None:
    hook = teller(server, receiver.url, secret_file)
    manifest = server.publish(*server.keys.release(2)).json()["manifest"]
    devices = fleet(server, 1)
    devices[0].check_in()
    server.pass_time(1)
    rollout = server.rollout(manifest, stages=[100])["rollout"]
    server.post(f"/admin/rollouts/{rollout}/pause")
    server.post(f"/admin/rollouts/{rollout}/abort", {"reason": "wrong week"})
    tell(hook)
    assert receiver.kinds() == ["release.publish", "rollout.create", "rollout.start", "rollout.pause", "rollout.abort"]
    headers, body = receiver.got[-1]
    told = json.loads(body)
    assert (told["rollout"], told["reason"], told["by"], told["release"]) == (rollout, "wrong week", "op.release", "1.2.0")
    assert headers["Tenfold-Event"] == str(told["id"])
    stamp, mark = (part.partition("=")[2] for part in headers["Tenfold-Signature"].split(","))
    assert int(stamp) == int(server.clock.now_s)
    assert hmac.compare_digest(mark, hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest())
    assert tell(hook) == 0
    assert len(receiver.got) == 5


def test_a_halt_a_quarantine_and_a_question_are_told(server: Plant, receiver: Receiver, secret_file: Path, released: str) -> None:
    hook = teller(server, receiver.url, secret_file, events=["rollout.halt", "device."])
    device = PretendDevice(server, "hall-000000000001")
    device.check_in()
    server.pass_time(1)
    rollout = server.rollout(released, stages=[100], quarantine_after=1)["rollout"]
    device.check_in()
    device.install()
    device.fall_back("no such module")
    device.check_in()
    tell(hook)
    assert sorted(receiver.kinds()) == ["device.quarantine", "rollout.halt"]
    told = {json.loads(body)["kind"]: json.loads(body) for _, body in receiver.got}
    assert (told["device.quarantine"]["device"], told["device.quarantine"]["reason"]) == (device.ident, "no such module")
    assert (told["rollout.halt"]["rollout"], told["rollout.halt"]["by"]) == (rollout, "gate")


def test_what_was_rolled_back_is_not_told(
    server: Plant, receiver: Receiver, secret_file: Path, released: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("after its event was written")

    hook = teller(server, receiver.url, secret_file)
    with monkeypatch.context() as patch:
        patch.setattr("ota.store.rollouts.open_stage", broken)
        assert code(server.post("/admin/rollouts", {"manifest": released})) == (500, "server.fault")
    server.rollout(released)
    tell(hook)
    assert receiver.kinds() == ["rollout.create", "rollout.start"]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_what_was_not_heard_is_told_again_at_growing_gaps_and_not_for_ever(
    server: Plant, receiver: Receiver, secret_file: Path, released: str, status: int,
) -> None:
    hook = teller(server, receiver.url, secret_file, events=["rollout.start"])
    server.rollout(released)
    receiver.status = status
    waits = []
    for tries in range(1, TRIES):
        assert tell(hook) <= 1   # what is not wanted passes
        assert (state(server, receiver.url)["tries"], len(receiver.got)) == (tries, tries)
        assert state(server, receiver.url)["error"] == f"status {status}"
        waits.append(state(server, receiver.url)["due_s"] - server.clock.now_s)
        assert tell(hook) == 0
        assert len(receiver.got) == tries   # not before its time
        server.clock.now_s += waits[-1]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (FIRST_GAP_S, LONGEST_GAP_S)
    tell(hook)
    given_up = state(server, receiver.url)
    assert (given_up["given_up"], given_up["tries"]) == (1, 0)
    receiver.status = 200
    (running,) = server.get("/admin/rollouts").json()["rollouts"]
    server.post(f"/admin/rollouts/{running['rollout']}/pause")
    tell(hook)
    assert len(receiver.got) == TRIES   # given up: not told any more


def test_a_receiver_that_is_away_is_told_later(server: Plant, secret_file: Path, receiver: Receiver, released: str) -> None:
    port = receiver.port
    gone = teller(server, "http://127.0.0.1:1/hook", secret_file)
    server.rollout(released)
    assert tell(gone) == 0
    assert "ConnectError" in state(server, gone.hook.url)["error"]
    assert port == receiver.port
    assert tell(teller(server, receiver.url, secret_file)) == 0   # a new webhook begins with what comes


def test_two_processes_do_not_tell_the_same_event_at_once(
    server: Plant, receiver: Receiver, secret_file: Path, released: str,
) -> None:
    first, second = (teller(server, receiver.url, secret_file) for _ in range(2))
    server.rollout(released)
    event = first.take()
    assert event is not None
    assert second.take() is None
    first.settle(event, "")
    assert second.take()["ident"] == event["ident"] + 1   # type: ignore[index]
    server.clock.now_s += CLAIM_S   # the second died with it
    assert first.take()["ident"] == event["ident"] + 1   # type: ignore[index]


def test_events_do_not_pile_up(server: Plant, receiver: Receiver, secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ota.store.outbox.KEPT", 10)
    hook = teller(server, receiver.url, secret_file)
    with writing(server.context.engine) as connection:
        for number in range(25):
            outbox.add(connection, "rollout.start", server.clock.now_s, number=number)
    tell(hook)
    assert [json.loads(body)["number"] for _, body in receiver.got] == list(range(15, 25))


def test_a_receiver_that_never_answers_keeps_no_device_waiting(
    config: dict[str, object], certificates: pki.FleetPki, signing: Keys, receiver: Receiver, secret_file: Path,
    request: pytest.FixtureRequest,
) -> None:
    config["webhooks"] = [{"url": receiver.url, "secret_file": str(secret_file)}]
    receiver.gate.clear()
    port = request.getfixturevalue("port")
    with operator(port, certificates) as desk, as_device(port, certificates) as device:
        desk.publish(*signing.release(2))
        until(lambda: len(receiver.got), 1)
        for number in range(20):
            check_in(device, f"{number:032x}")   # and each with the database, for it is new or on its way
        assert receiver.kinds() == ["release.publish"]
        receiver.gate.set()
        until(lambda: desk.webhooks()[0]["told"], 1)


@pytest.mark.parametrize(("change", "words"), [
    ({"url": "http://plant.example/hook"}, "an https URL"), ({"url": "ftp://localhost/x"}, "an https URL"),
    ({"url": "localhost"}, "an https URL"),
])
def test_events_are_not_sent_in_the_open(tmp_path: Path, config: dict[str, object], change: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        OtaSettings.model_validate(config | {"webhooks": [{"secret_file": tmp_path / "x"} | change]})


def test_a_weak_or_open_secret_is_refused(server: Plant, secret_file: Path, receiver: Receiver) -> None:
    secret_file.chmod(0o644)
    with pytest.raises(SettingsError, match="mode 644"):
        teller(server, receiver.url, secret_file)
    secret_file.chmod(0o600)
    secret_file.write_text("short\n" + "x" * 99)
    with pytest.raises(SettingsError, match="5 characters"):
        teller(server, receiver.url, secret_file)
    secret_file.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        teller(server, receiver.url, secret_file)
