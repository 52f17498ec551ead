"""The desk where devices check in: from a parsed check-in to its answer.

Most check-ins change nothing. Those cost no database access: the desk remembers each device's last word and the rollouts, both
at most a moment old, and gathers sightings for one transaction a second. Whatever changes an attempt or makes an offer is read
again and committed before it is answered. A process that dies loses at most the gathered second of last-seen times.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine

from host.ecdsa import Signer
from node.wire import direction as direction_format
from node.wire import signed
from ota.release.sign import envelope
from ota.rules import configs as config_rules
from ota.rules import shed
from ota.rules.configs import ConfigState
from ota.rules.events import Happened
from ota.rules.rollout import NO_LABELS, Decision, Kind, Reason
from ota.rules.values import ACTIVE, Labels, Release, Report, Rollout
from ota.server import control
from ota.server.settle import Known, Settled, may_offer, offered, rollouts_for, settle, word
from ota.store import attempts, configs, devices, history, labels, outbox, releases
from ota.store import rollouts as rollout_rows
from ota.store.devices import Device, Sighting
from ota.store.session import reading, writing

REMEMBERED = 200_000   # devices whose last word one process keeps, about 140 MB; the others cost a read each time
COUNT_S = 10           # between counts of the active devices, the one look that grows with the fleet: 50 ms of a million
MAX_SEQ = 2**31 - 1    # a device's direction sequence has ended; it takes a new root to start over
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """What all check-ins share, at most `flush_s` old. Never used to make an offer, only to see that none is due.

    Attributes:
        rollouts: that a device may be offered something from, by model.
        devices: active ones.
        orders: numbers of the last orders of a configuration and of labels: after one, every device's row is looked at once.
    """

    rollouts: Mapping[str, tuple[Rollout, ...]] = field(default_factory=dict)
    releases: tuple[Release, ...] = ()
    devices: int = 0
    orders: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class LastWord:
    """What a device with which nothing is under way said last, and what its rows said then.

    Attributes:
        orders: as the snapshot's when the rows were read.
        tried: rollouts in which it has an attempt.
    """

    report: Report
    boot: int
    config: ConfigState
    orders: tuple[int, int]
    labels: Labels
    tried: frozenset[str]


@dataclass(frozen=True)
class Answer:
    """What a device is told.

    Attributes:
        direction: signed envelope, or None.
        config: name and bytes of a configuration, or None.
    """

    period_s: int
    reason: str
    direction: bytes | None = None
    config: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Pace:
    """How fast devices may come; `server.settings` tells what each is."""

    period_s: float
    busy_s: float
    checkins_per_s: float
    offers_per_s: float
    direction_s: float
    active_s: float


class Desk:
    """One process's desk. Thread-safe: check-ins run on threads, flush and refresh on the background's.

    Args:
        key: signs directions.
        chance: gives 0..1, even; spreads those who are turned away.
    """

    def __init__(self, engine: Engine, key: Signer, pace: Pace, now_s: float, chance: Callable[[], float]) -> None:
        self._engine, self._key, self._pace, self._chance = engine, key, pace, chance
        self._snapshot = Snapshot()
        self._counted_s = 0.0
        self._gathered: dict[str, Sighting] = {}
        self._last_words: OrderedDict[str, LastWord] = OrderedDict()
        self._offers = shed.admission(pace.offers_per_s, now_s)
        self._admission = shed.admission(pace.checkins_per_s, now_s)
        self._under_way: set[str] = set()   # devices with an attempt or a configuration that has to get on
        self._lock = threading.Lock()   # held for dictionary operations only, never across the database

    def idle(self, sighting: Sighting) -> Answer | None:
        """Answer a check-in without the database, if nothing can come of it; None when `settle` has to look."""
        report, snapshot = sighting.report, self._snapshot
        with self._lock:
            last = self._last_words.get(report.device)
        if last is None or (last.report, last.boot, last.config, last.orders) != (
                report, sighting.boot, sighting.config, snapshot.orders):
            return None
        known = Known(snapshot.rollouts.get(report.model, ()), {}, {}, snapshot.releases, last.labels)
        if may_offer(report, known, last.tried, sighting.at_s):
            return None
        self._gather(sighting)
        return self._answer(word(report, known, sighting.at_s), sighting.at_s)

    def admit(self, sighting: Sighting) -> float:
        """Tell how long a device that `idle` has no answer for stays away; 0.0: `settle` may look.

        Whoever is in a trial, tells of a failure or has an update under way is always let in: there are few of them, and time
        counts against them. The others are seen, so that none is taken for lost, and nothing else is counted.
        """
        report = sighting.report
        with self._lock:
            if report.trial or report.failed_manifest or report.device in self._under_way:
                return 0.0
            self._admission, wait_s = self._admission.admit(sighting.at_s)
        if wait_s:
            self._gather(sighting)
        return wait_s

    def busy(self, sighting: Sighting) -> Answer:
        """Answer a check-in that there is no room to look at."""
        self._gather(sighting)
        return Answer(shed.retry_after(self._pace.busy_s, self._chance()), Reason.SHED)

    def settle(self, sighting: Sighting, nonce: str, seq: int) -> Answer:
        """Answer a check-in with the database; what changes is committed when this returns.

        Args:
            nonce: the check-in's, in hex; the direction is bound to it.
            seq: highest direction sequence that the device has accepted.
        """
        orders = self._snapshot.orders   # before the row is read
        with reading(self._engine) as connection:
            row = devices.get(connection, sighting.report.device)
            found = self._look(connection, sighting, row)
            config = None if sighting.report.trial else _config_for(connection, row, sighting.config)   # one change at a time
        if found.decision.takes_place:
            with self._lock:
                self._offers, wait_s = self._offers.admit(sighting.at_s)
            if wait_s:   # put off; this is no attempt
                self._gather(sighting)
                return Answer(shed.retry_after(wait_s, 0.0), Reason.SHED)   # each hears another time
        answer = None
        if found.needs_writing or (row is not None and config_rules.events(row.config, sighting.config)):
            with writing(self._engine) as connection:
                row = devices.get(connection, sighting.report.device)
                found = self._look(connection, sighting, row)
                answer = self._commit(connection, sighting, found, nonce, max(seq, 0 if row is None else row.direction_seq))
        quiet = found.quiet and found.decision.kind is not Kind.OFFER and config is None
        self._remember(sighting.report.device, LastWord(
            sighting.report, sighting.boot, sighting.config, orders, _labels(row), found.tried) if quiet else None)
        if answer is None:
            self._gather(sighting)
            answer = self._answer(found.decision, sighting.at_s)
        return answer if answer.direction is not None else replace(answer, config=config)   # one change at a time

    def flush(self) -> int:
        """Write the gathered sightings; tells how many. They stay gathered if that fails."""
        with self._lock:
            group, self._gathered = self._gathered, {}
        if not group:
            return 0
        try:
            with writing(self._engine) as connection:
                devices.record(connection, group.values())
        except Exception:   # whatever it was, the caller is told and nothing is lost
            with self._lock:
                self._gathered = group | self._gathered
            raise
        return len(group)

    def refresh(self, now_s: float) -> None:
        """Renew what all check-ins share."""
        with reading(self._engine) as connection:
            known = rollout_rows.all_rollouts(connection)
            models = {model for each in known for model in each.release.models}
            number = self._snapshot.devices
            if not 0 <= now_s - self._counted_s < COUNT_S:
                self._counted_s, number = now_s, devices.active(connection, now_s - self._pace.active_s)
            self._snapshot = Snapshot(
                {model: rollouts_for(model, known) for model in models}, releases.usable(connection),
                number, (configs.last_order(connection), labels.last_order(connection)))

    def recall(self, now_s: float) -> None:
        """Take the last words of quiet devices from the database, so that a server that has just started knows its fleet."""
        with reading(self._engine) as connection:
            orders = configs.last_order(connection), labels.last_order(connection)   # before the rows are read
            tried = attempts.tried(connection)
            for report, boot, config, labelled in devices.quiet(connection, now_s - self._pace.active_s, REMEMBERED):
                self._last_words[report.device] = LastWord(
                    report, boot, config, orders, labelled, tried.get(report.device, frozenset()))
            self._under_way = set(attempts.under_way(connection))

    def _look(self, connection: Connection, sighting: Sighting, row: Device | None) -> Settled:
        report = sighting.report
        known = Known(
            tuple(rollout_rows.all_rollouts(connection)), attempts.of_devices(connection, [report.device])[report.device],
            attempts.failures(connection, [report.device])[report.device], releases.usable(connection), _labels(row))
        return settle(report, known, sighting.at_s)

    def _commit(self, connection: Connection, sighting: Sighting, found: Settled, nonce: str, seq: int) -> Answer:
        report, now_s = sighting.report, sighting.at_s
        devices.record(connection, [sighting])
        for rollout, attempt in found.changed:
            attempts.put(connection, rollout.ident, attempt)
        history.note(connection, [
            history.Event(report.device, int(now_s), what, attempt.counter, attempt.reason) for what, attempt in found.happened])
        for what, attempt in found.happened:
            if what is Happened.ALTERED:
                log.warning("%s: what came was not what was signed: %s; look at what lies between", report.device, attempt.reason)
        for rollout, attempt in found.failed:
            times = attempts.add_failure(connection, attempt, now_s)
            if times == rollout.policy.quarantine_after:
                outbox.add(connection, "device.quarantine", now_s, device=report.device, manifest=attempt.manifest,
                           rollout=rollout.ident, reason=attempt.reason)
            log.warning("%s failed %s: %s", report.device, rollout.release.release, attempt.reason)
            if rollout.state in ACTIVE:   # a bad release halts now, not at the next tick
                control.act(connection, rollout, releases.usable(connection), now_s)
        return self._offer(connection, sighting, found, nonce, seq)

    def _offer(self, connection: Connection, sighting: Sighting, found: Settled, nonce: str, seq: int) -> Answer:
        """Make the decision's offer, if it is one, and sign the direction."""
        device, now_s, decision = sighting.report.device, sighting.at_s, found.decision
        if decision.kind is not Kind.OFFER or found.rollout is None or decision.manifest is None:
            return self._answer(decision, now_s)
        next_seq = seq + 1
        if next_seq > MAX_SEQ:
            return self._answer(Decision(Kind.REFUSE, Reason.SEQUENCE), now_s)
        if decision.takes_place and not rollout_rows.take_place(connection, found.rollout):
            return self._answer(Decision(Kind.HOLD, Reason.STAGE_FULL), now_s)
        attempt, is_new = offered(found, sighting.report, now_s)
        attempts.put(connection, found.rollout.ident, attempt)
        if is_new:
            history.note(connection, [
                history.Event(device, int(now_s), Happened.OFFERED, attempt.counter, found.rollout.ident)])
        devices.set_direction_seq(connection, device, next_seq)
        payload = direction_format.build(
            device, nonce, next_seq, decision.manifest, int(now_s), int(now_s + self._pace.direction_s))
        return self._answer(decision, now_s, envelope(signed.DIRECTION, payload, [self._key]))

    def _answer(self, decision: Decision, now_s: float, direction: bytes | None = None) -> Answer:
        period_s = shed.period(self._pace.period_s, self._snapshot.devices, self._pace.checkins_per_s)
        if decision.reason is Reason.WINDOW:
            period_s = shed.before(period_s, (decision.from_s + decision.until_s) / 2 - now_s)
        return Answer(period_s, decision.reason, direction)

    def _gather(self, sighting: Sighting) -> None:
        with self._lock:
            self._gathered[sighting.report.device] = sighting

    def _remember(self, device: str, last: LastWord | None) -> None:
        with self._lock:
            self._last_words.pop(device, None)
            if last is None:
                self._under_way.add(device)
                return
            self._under_way.discard(device)
            self._last_words[device] = last
            if len(self._last_words) > REMEMBERED:
                self._last_words.popitem(last=False)


def sighting_of(request: dict[str, Any], now_s: float) -> Sighting:
    """Take from a parsed check-in what is decided by and what is kept."""
    failed = request["failed"] or {"manifest": "", "reason": ""}
    report = Report(
        request["device"], request["model"], request["release"], request["counter"], request["manifest"], request["trial"],
        failed["manifest"], failed["reason"], request["config_trial"])
    told = request["config_failed"] or {"name": "", "reason": ""}
    config = ConfigState(request["config"], request["config_trial"], told["name"], told["reason"])
    return Sighting(report, request["boot"], request["slot"], request["root"], request["metrics"], now_s, config)


def _labels(row: Device | None) -> Labels:
    return NO_LABELS if row is None else row.labels


def _config_for(connection: Connection, row: Device | None, said: ConfigState) -> tuple[str, bytes] | None:
    """The configuration to send now, if there is one."""
    if row is None or not config_rules.is_due(row.config_wanted, row.config.failed, said):
        return None
    body = configs.body_of(connection, row.config_wanted)
    return None if body is None else (row.config_wanted, body.encode())
