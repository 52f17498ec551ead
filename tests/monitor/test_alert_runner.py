"""Alerts with their database: a restart repeats nothing and loses nothing, a tick is written whole or not at all."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import OperationalError

from host.db import open_engine
from host.monitor.alerting.rules import Rule
from host.monitor.alerting.runner import PRUNE_MS, Runner
from host.monitor.alerting.silences import Silence
from host.monitor.sample import Sample
from host.store import alert_outbox, alerts
from host.store import tables as t
from tests.databases import migrated
from tests.monitor.alerts import TICK_S, rule, samples, site_rule
from tests.monitor.receivers import receiver

BEGUN_MS = 1_800_000_000_000
HISTORY_DAYS = 180


class Nobody:
    """A target that is told through the outbox only."""

    name, least = "hook", "info"

    def send(self, ident: str, body: dict[str, Any]) -> str:
        raise AssertionError("the runner sends nothing itself")


@dataclass
class Desk:
    """Runners on one database; `read` is what the fleet says now."""

    engine: Engine
    rules: Sequence[Rule]
    now_ms: int = BEGUN_MS
    read: Iterable[Sample] = ()
    runner: Runner = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.runner = Runner(self.rules, self.engine, [Nobody()], lambda _: self.read, lambda: self.now_ms, evaluate_s=TICK_S,
                             history_days=HISTORY_DAYS)

    def tick(self, read: Iterable[Sample]) -> None:
        self.now_ms += TICK_S * 1000
        self.read = read
        self.runner.tick()

    def told(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [json.loads(row) for row in connection.scalars(select(t.alert_notice.c.body).order_by(t.alert_notice.c.id))]

    def kinds(self) -> list[str]:
        return [each["kind"] for each in self.told()]

    def count(self, table: Any) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Any]:
    engines = []

    def made(name: str, rules: Sequence[Rule]) -> Desk:
        engine = open_engine(migrated(tmp_path / f"{name}.db"))
        engines.append(engine)
        return Desk(engine, rules)

    yield made
    for each in engines:
        each.dispose()


def story(seed: int) -> list[list[Sample]]:
    """Forty ticks of two sites: devices go, come back and fall silent."""
    chance = random.Random(seed)
    value = {(site, f"{site}-{number}"): 0.0 for site in ("nord", "syd") for number in range(6)}
    ticks = []
    for at in range(40):
        for key in value:
            if chance.random() < 0.2:
                value[key] = chance.choice([0.0, 500.0, 1000.0])
        if at in (10, 25):
            value = {key: (1000.0 if key[0] == "nord" else now) for key, now in value.items()}
        ticks.append([
            one for (site, device), now in value.items() if chance.random() < 0.95 for one in samples({device: now}, site)
        ])
    return ticks


@pytest.mark.parametrize("seed", range(4))
def test_a_restart_at_every_tick_repeats_nothing_and_loses_nothing(make: Any, seed: int):
    rules = [site_rule(for_s=60, wait_s=30, every_s=90, clear=400), rule(name="rising", rise_s=120, above=300, repeat_s=300)]
    steady, restless = make("steady", rules), make("restless", rules)
    for read in story(seed):
        steady.tick(read)
        restless.restart()
        restless.tick(read)
    assert len(steady.told()) > 3
    assert restless.told() == steady.told()


def test_postgresql_remembers_the_same(make: Any, postgresql_url: str):
    rules = [site_rule(for_s=60, wait_s=30, every_s=90, clear=400), rule(name="rising", rise_s=120, above=300, repeat_s=300)]
    steady = make("steady", rules)
    engine = open_engine(postgresql_url)
    try:
        desk, other = Desk(engine, rules), Desk(engine, rules)
        for read in story(0):
            steady.tick(read)
            desk.restart()
            desk.tick(read)
        assert desk.told() == steady.told()
        other.restart()
        other.tick(story(0)[-1])
        with pytest.raises(alerts.OvertakenError):
            desk.tick(story(0)[-1])
        one = first(engine, "hook", desk.now_ms)
        with engine.begin() as connection:
            assert alert_outbox.claim(connection, one, desk.now_ms + 1)
            alert_outbox.failed(connection, one, desk.now_ms, "status 500")
        with engine.begin() as connection:
            alert_outbox.taken(connection, one)
            silence = alerts.add_silence(connection, Silence(0, {"site": "ø\0"}, 0, BEGUN_MS * 2, "anna", "roof"))
            assert alerts.silences(connection) == [silence]
            assert alerts.end_silence(connection, silence.ident, desk.now_ms)
            assert alerts.prune(connection, desk.now_ms, HISTORY_DAYS, rows=5) > 0
            assert len(alerts.history(connection, rule="offline")) <= 5
            assert alert_outbox.waiting(connection)[0]["waiting"] == len(desk.told()) - 1
    finally:
        engine.dispose()


def first(engine: Engine, target: str, now_ms: int) -> alert_outbox.Delivery:
    with engine.connect() as connection:
        found = alert_outbox.next_for(connection, target, now_ms)
    assert found is not None
    return found


def test_a_tick_that_cannot_be_written_has_not_happened(make: Any, monkeypatch: pytest.MonkeyPatch):
    def full(*_arguments: Any) -> int:
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    desk = make("desk", [rule(), rule(name="second")])
    with monkeypatch.context() as patch:
        patch.setattr(alert_outbox, "add", full)
        with pytest.raises(OperationalError):
            desk.tick(samples({"d": 1000.0}))
    assert [desk.count(table) for table in (t.alert_member, t.alert_group, t.alert_history, t.alert_notice)] == [0, 0, 0, 0]
    desk.tick(samples({"d": 1000.0}))
    assert desk.kinds() == ["alert.firing", "alert.firing"]


def test_two_runners_do_not_tell_twice(make: Any):
    desk = make("desk", [rule()])
    other = Desk(desk.engine, desk.rules)
    desk.tick(samples({"d": 0.0}))
    other.tick(samples({"d": 0.0}))
    with pytest.raises(alerts.OvertakenError, match="another runner"):
        desk.tick(samples({"d": 1000.0}))
    other.tick(samples({"d": 1000.0}))
    desk.tick(samples({"d": 1000.0}))   # it has read what the other wrote
    assert desk.kinds() == ["alert.firing"]


def test_a_runner_survives_a_database_that_is_away(make: Any, monkeypatch: pytest.MonkeyPatch):
    desk, stop, turns = make("desk", [rule()]), Event(), []

    def reading(_now_ms: int) -> list[Sample]:
        turns.append(1)
        if len(turns) == 1:
            raise OperationalError("SELECT", {}, Exception("away"))
        stop.set()
        return samples({"d": 1000.0})

    runner = Runner(desk.rules, desk.engine, [Nobody()], reading, lambda: BEGUN_MS, evaluate_s=0.01, history_days=1)
    runner.run(stop)
    assert desk.kinds() == ["alert.firing"]


def test_targets_are_told_of_their_severities_alone(make: Any):
    desk = make("desk", [rule(severity="info"), rule(name="bad", severity="critical")])
    high = Nobody()
    high.least = "warning"
    desk.runner = Runner(desk.rules, desk.engine, [high], lambda _: desk.read, lambda: desk.now_ms, evaluate_s=TICK_S,
                         history_days=HISTORY_DAYS)
    desk.tick(samples({"d": 1000.0}))
    assert (desk.count(t.alert_notice), desk.count(t.alert_delivery)) == (2, 1)


def test_a_site_outage_writes_few_rows_of_history(make: Any):
    desk = make("desk", [site_rule(wait_s=0)])
    for _ in range(5):
        desk.tick(samples({f"d{number}": 1000.0 for number in range(400)}))
    with desk.engine.connect() as connection:
        rows = alerts.history(connection)
    told = [(row["change"], row["count"], len(row["members"])) for row in rows]
    assert told == [("told.firing", 400, 20), ("ok>firing", 400, 50)]
    assert rows[0]["group"] == {"site": "nord"}


def test_history_ends_by_age_and_by_rows(make: Any, monkeypatch: pytest.MonkeyPatch):
    desk = make("desk", [rule()])
    for value in (1000.0, 0.0, 1000.0):
        desk.tick(samples({"d": value}))
    before = desk.count(t.alert_history)
    desk.now_ms += PRUNE_MS
    desk.tick(samples({"d": 1000.0}))
    assert desk.count(t.alert_history) == before
    with desk.engine.begin() as connection:
        alerts.prune(connection, desk.now_ms, HISTORY_DAYS, rows=2)
    assert desk.count(t.alert_history) == 2
    desk.now_ms += (HISTORY_DAYS + 1) * 86_400_000
    desk.tick(samples({"d": 1000.0}))
    assert desk.count(t.alert_history) == 0


def test_a_silence_is_kept_ends_by_itself_and_goes_with_the_history(make: Any):
    desk = make("desk", [rule()])
    with desk.engine.begin() as connection:
        made = alerts.add_silence(connection, Silence(0, {"rule": "off*"}, BEGUN_MS, BEGUN_MS + 60_000, "anna", "roof"))
    desk.tick(samples({"d": 1000.0}))
    assert desk.kinds() == []
    with desk.engine.connect() as connection:
        assert alerts.silences(connection, ending_after_ms=desk.now_ms) == [made]
    desk.tick(samples({"d": 1000.0}))
    assert desk.kinds() == ["alert.firing"]
    with desk.engine.begin() as connection:
        assert not alerts.end_silence(connection, made.ident, desk.now_ms)
        alerts.prune(connection, desk.now_ms + HISTORY_DAYS * 86_400_000 + 1, HISTORY_DAYS)
        assert alerts.silences(connection) == []


def test_what_was_written_is_read_again(make: Any):
    desk = make("desk", [site_rule(for_s=60), rule(name="rising", rise_s=60)])
    for read in story(1)[:15]:
        desk.tick(read)
    memory = desk.runner._memory
    with desk.engine.connect() as connection:
        assert alerts.load(connection) == memory
    assert memory.members
    assert memory.groups
    assert memory.marks


# --- the process


def test_the_process_tells_a_real_receiver_and_stops_when_told(make: Any, tmp_path: Path):
    make("telemetry", [])
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "nobody"\nmetric = "tenfold_device_online"\nabsent = true\nwait_s = 0\n'
                                         'message = "no devices"\n')
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("correct horse battery")
    with receiver() as hears:
        (tmp_path / "alerts.toml").write_text(
            f'database = "sqlite:///{tmp_path}/telemetry.db"\nrules = "{tmp_path}/rules.toml"\nevaluate_s = 1\n'
            f'[[webhooks]]\nname = "hook"\nurl = "{hears.url}"\nsecret_file = "{secret}"\n')
        tenfold = [sys.executable, "-c", "from host.cli import main; main()"]
        command = [*tenfold, "alerts", "run", "--config", str(tmp_path / "alerts.toml")]
        place = Path(__file__).parents[2]
        with subprocess.Popen(command, cwd=place, env=os.environ, stderr=subprocess.PIPE, text=True) as process:
            try:
                hears.wait()
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 0
        assert [(each["rule"], each["text"]) for each in hears.bodies()] == [("nobody", "no devices")]
        assert hears.url not in said
        broken = tmp_path / "broken.toml"
        broken.write_text('rules = "rules.toml"\nevaluate_s = 0\n')
        again = subprocess.run([*command[:-1], str(broken)], cwd=Path(__file__).parents[2], capture_output=True,
                               text=True, check=False)
        assert (again.returncode, "setting evaluate_s" in again.stderr) == (2, True)
