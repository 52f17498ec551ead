"""Notices against real receivers: signed, again when they were not taken, in order for each alert, and nothing lost by a crash."""

import hashlib
import hmac
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from host import webhook
from host.monitor.alerting.sender import Sender
from host.monitor.alerting.settings import AlertSettings
from host.monitor.alerting.targets import Apprise, Webhook, make_targets, wants
from host.settings import SettingsError, validated
from host.store import alert_outbox as outbox
from host.store import alerts
from tests.monitor.receivers import Receiver, receiver

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")   # Apprise's, until Python 3.13
SECRET = "correct horse battery"


@dataclass
class Clock:
    now_ms: int = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def hears() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


def private(path: Path, content: str, mode: int = 0o600) -> Path:
    path.touch(mode=0o600)
    path.write_text(content)
    path.chmod(mode)
    return path


def body(alert: str = "a1", kind: str = "firing", severity: str = "warning") -> dict[str, Any]:
    return {"kind": f"alert.{kind}", "alert": alert, "rule": "offline", "labels": {"site": "nord"}, "severity": severity,
            "firing": 1, "value": None, "title": f"{severity}: offline", "text": "one device"}


def put(engine: Engine, clock: Clock, *bodies: dict[str, Any], target: str = "hook") -> list[int]:
    with engine.begin() as connection:
        return [outbox.add(connection, clock(), each["severity"], each, [target]) for each in bodies]


def hook(url: str, clock: Clock, name: str = "hook") -> Webhook:
    return Webhook(name, "info", url, SECRET.encode(), httpx.Client(timeout=5, trust_env=False), lambda: clock() / 1000)


def sender(engine: Engine, clock: Clock, url: str, name: str = "hook") -> Sender:
    return Sender(hook(url, clock, name), engine, clock, lambda: 1.0)


def drain(made: Sender) -> None:
    while made.tell():
        pass


def waiting(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        return outbox.waiting(connection)


def test_a_notice_is_signed_with_its_time_and_told_once(engine: Engine, hears: Receiver, clock: Clock):
    (ident,) = put(engine, clock, body())
    made = sender(engine, clock, hears.url)
    drain(made)
    ((headers, content),) = hears.got
    assert headers["Tenfold-Event"] == hears.bodies()[0]["id"] == str(ident)
    stamp, mark = (part.partition("=")[2] for part in headers["Tenfold-Signature"].split(","))
    assert int(stamp) == clock() // 1000
    assert hmac.compare_digest(mark, hmac.new(SECRET.encode(), stamp.encode() + b"." + content, hashlib.sha256).hexdigest())
    drain(made)
    assert (len(hears.got), waiting(engine)) == (1, [])


@pytest.mark.parametrize("status", [500, 503, 404, 302])
def test_what_was_not_taken_is_told_again_at_growing_gaps_and_not_for_ever(
    engine: Engine, hears: Receiver, clock: Clock, status: int,
):
    put(engine, clock, body())
    hears.status = status
    made = sender(engine, clock, hears.url)
    begun_ms, waits = clock(), []
    for tries in range(1, webhook.TRIES):
        drain(made)
        assert len(hears.got) == tries
        assert waiting(engine)[0]["error"] == f"status {status}"
        with engine.connect() as connection:
            due_ms = connection.scalar(text("SELECT due_ms FROM alert_delivery"))
        clock.now_ms, before_ms = due_ms - 1, clock()
        drain(made)
        assert len(hears.got) == tries   # not before its time
        waits.append(due_ms - before_ms)
        clock.now_ms = due_ms
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (webhook.FIRST_GAP_S * 1000, webhook.LONGEST_GAP_S * 1000)
    drain(made)
    assert (waiting(engine), clock() - begun_ms < 86_400_000) == ([], True)
    with engine.connect() as connection:
        (row,) = alerts.history(connection)
    assert (row["change"], row["note"], row["group"]) == ("undelivered", f"hook: status {status}", {"site": "nord"})


def test_a_receiver_that_recovers_is_told_all_in_the_order_of_each_alert(engine: Engine, hears: Receiver, clock: Clock):
    put(engine, clock, body("a1"), body("a2"), body("a1", "resolved"))
    hears.status = 500
    made = sender(engine, clock, hears.url)
    drain(made)
    hears.status = 204
    drain(made)   # a1 waits; its end does not overtake it, a2 does
    assert [each["alert"] for each in hears.bodies()] == ["a1", "a2"]
    clock.now_ms += int(webhook.FIRST_GAP_S * 1000)
    drain(made)
    assert [(each["alert"], each["kind"]) for each in hears.bodies()[1:]] == [
        ("a2", "alert.firing"), ("a1", "alert.firing"), ("a1", "alert.resolved")]
    assert hears.bodies()[0]["id"] == hears.bodies()[2]["id"]   # by which the receiver knows a repeat


def test_a_crash_after_sending_repeats_with_the_same_id_and_loses_nothing(engine: Engine, hears: Receiver, clock: Clock):
    put(engine, clock, body())

    class Crash(BaseException):
        pass

    class Dying(Sender):
        def _settle(self, *_arguments: Any) -> None:
            raise Crash

    dying = Dying(hook(hears.url, clock), engine, clock, lambda: 1.0)
    with pytest.raises(Crash):
        dying.tell()
    after = sender(engine, clock, hears.url)
    drain(after)
    assert len(hears.got) == 1   # it may still be under way elsewhere
    clock.now_ms += int(webhook.CLAIM_S * 1000)
    drain(after)
    assert [each["id"] for each in hears.bodies()] == ["1", "1"]
    assert waiting(engine) == []


def test_two_senders_do_not_tell_the_same_notice(engine: Engine, hears: Receiver, clock: Clock):
    put(engine, clock, body())
    with engine.connect() as connection:
        one = outbox.next_for(connection, "hook", clock())
    assert one is not None
    with engine.begin() as connection:
        assert outbox.claim(connection, one, clock() + 60_000)
    with engine.begin() as connection:
        assert not outbox.claim(connection, one, clock() + 60_000)
    drain(sender(engine, clock, hears.url))
    assert hears.got == []


def test_a_receiver_that_hangs_delays_no_other(engine: Engine, hears: Receiver, clock: Clock):
    with receiver() as well:
        with engine.begin() as connection:
            outbox.add(connection, clock(), "warning", body(), ["hangs", "well"])
        hears.gate.clear()
        both = [sender(engine, clock, hears.url, "hangs"), sender(engine, clock, well.url, "well")]
        threads = [Thread(target=each.run) for each in both]
        for each in threads:
            each.start()
        hears.wait()
        well.wait()
        assert len(well.got) == 1
        hears.gate.set()
        for one in both:
            one.stop()
        for each in threads:
            each.join(60)
            assert not each.is_alive()


def test_a_receiver_that_never_answers_is_left_after_the_timeout(engine: Engine, hears: Receiver, clock: Clock):
    hears.gate.clear()
    target = Webhook("hook", "info", hears.url, SECRET.encode(), httpx.Client(timeout=0.2, trust_env=False), lambda: 0.0)
    assert target.send("1", body()).startswith("ReadTimeout")


def test_a_receiver_that_is_away_is_told_when_it_is_back(engine: Engine, hears: Receiver, clock: Clock):
    put(engine, clock, body())
    drain(sender(engine, clock, "http://127.0.0.1:1/hook"))
    assert "ConnectError" in waiting(engine)[0]["error"]
    clock.now_ms += int(webhook.FIRST_GAP_S * 1000)
    drain(sender(engine, clock, hears.url))
    assert len(hears.got) == 1


def test_notices_do_not_pile_up(engine: Engine, hears: Receiver, clock: Clock, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outbox, "KEPT", 10)
    put(engine, clock, *(body(f"a{number}") for number in range(25)))
    drain(sender(engine, clock, hears.url))
    assert [each["alert"] for each in hears.bodies()] == [f"a{number}" for number in range(15, 25)]


def test_ids_do_not_come_again_when_all_was_sent(engine: Engine, clock: Clock):
    (first,) = put(engine, clock, body())
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alert_notice"))
    assert put(engine, clock, body()) == [first + 1]


# --- Apprise, for real


def test_apprise_tells_a_real_server_again_after_it_failed(engine: Engine, hears: Receiver, clock: Clock, tmp_path: Path):
    (target,) = make_targets(config(tmp_path, apprise=[{"name": "ops", "urls_file": private(
        tmp_path / "urls", f"# where people are\njson://user:pass-1234@127.0.0.1:{hears.port}/in\n")}]))
    assert isinstance(target, Apprise)
    put(engine, clock, body(severity="critical"), target="ops")
    made = Sender(target, engine, clock, lambda: 1.0)
    hears.status = 500
    drain(made)
    assert waiting(engine)[0]["error"] == "apprise: the service did not take it"
    hears.status = 200
    clock.now_ms += int(webhook.FIRST_GAP_S * 1000)
    drain(made)
    assert waiting(engine) == []
    told = hears.bodies()[-1]
    assert (told["title"], told["type"]) == ("critical: offline", "failure")
    assert told["message"].splitlines() == ["one device", "notice 1"]


def test_apprise_that_hangs_is_left_after_its_timeout(hears: Receiver, tmp_path: Path):
    (target,) = make_targets(config(tmp_path, apprise=[{"name": "ops", "urls_file": private(
        tmp_path / "urls", f"json://127.0.0.1:{hears.port}/?rto=0.2&cto=0.2")}]))
    hears.gate.clear()
    assert target.send("1", body()) == "apprise: the service did not take it"


# --- settings and secrets


def config(tmp_path: Path, **more: Any) -> AlertSettings:
    return validated(AlertSettings, {"rules": tmp_path / "rules.toml"} | more)


def test_several_urls_of_a_file_are_several_targets(tmp_path: Path):
    urls = private(tmp_path / "urls", "json://127.0.0.1:1/\n\n# second\njson://127.0.0.1:2/\n")
    targets = make_targets(config(tmp_path, apprise=[{"name": "ops", "urls_file": urls, "least": "critical"}]))
    assert [each.name for each in targets] == ["ops-1", "ops-2"]
    assert [wants(targets[0], severity) for severity in ("info", "warning", "critical")] == [False, False, True]


@pytest.mark.parametrize(("content", "mode", "words"), [
    ("json://x/", 0o644, "mode 644"), ("# nothing\n", 0o600, "without a URL"), ("\n\nnoservice://secret-word\n", 0o600, "line 3"),
])
def test_apprise_urls_that_others_can_read_or_that_are_none_are_refused_without_being_shown(
    tmp_path: Path, content: str, mode: int, words: str,
):
    urls = private(tmp_path / "urls", content, mode)
    with pytest.raises(SettingsError, match=words) as caught:
        make_targets(config(tmp_path, apprise=[{"name": "ops", "urls_file": urls}]))
    assert "secret-word" not in str(caught.value)


@pytest.mark.parametrize(("secret", "mode", "words"), [(SECRET, 0o640, "mode 640"), ("short", 0o600, "5 characters")])
def test_a_weak_or_open_secret_is_refused(tmp_path: Path, secret: str, mode: int, words: str):
    path = private(tmp_path / "hook.secret", secret + "\n", mode)
    with pytest.raises(SettingsError, match=words):
        make_targets(config(tmp_path, webhooks=[{"name": "hook", "url": "https://example.com/", "secret_file": path}]))


@pytest.mark.parametrize("url", ["http://plant.example/hook", "ftp://localhost/x", "localhost"])
def test_notices_are_not_sent_in_the_open(tmp_path: Path, url: str):
    with pytest.raises(SettingsError, match="an https URL"):
        config(tmp_path, webhooks=[{"name": "hook", "url": url, "secret_file": tmp_path / "x"}])


def test_a_name_stands_for_one_target(tmp_path: Path):
    hooks = [{"name": "hook", "url": "https://example.com/", "secret_file": "x"}] * 2
    with pytest.raises(SettingsError, match="once"):
        config(tmp_path, webhooks=hooks)


def test_no_secret_of_a_url_reaches_the_log_or_the_database(
    engine: Engine, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)   # as the process does
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    urls = private(tmp_path / "urls", "json://user:hidden-word@127.0.0.1:1/hidden-word\n")
    (target,) = make_targets(config(tmp_path, apprise=[{"name": "ops", "urls_file": urls}]))
    put(engine, clock, body(), target="ops")
    put(engine, clock, body())
    drain(Sender(target, engine, clock, lambda: 1.0))
    drain(sender(engine, clock, "http://127.0.0.1:1/hidden-word?token=hidden-word"))
    assert len(waiting(engine)) == 2
    assert "hidden-word" not in caplog.text
    engine.dispose()
    assert not [path for path in tmp_path.glob("telemetry.db*") if b"hidden-word" in path.read_bytes()]
