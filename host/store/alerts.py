"""Rows of alerts: what a tick remembers, its history and silences.

Decides SQL and nothing else; what happens is decided by host.monitor.alerting. A tick is one transaction: states, history and what
is to be sent are written together or not at all.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update

from host.clock import DAY_MS
from host.monitor.alerting.engine import Memory, Notice, Transition
from host.monitor.alerting.group import Group, Level
from host.monitor.alerting.member import Member, State
from host.monitor.alerting.rise import Mark
from host.monitor.alerting.rules import key_of
from host.monitor.alerting.silences import Silence
from host.monitor.alerting.words import title
from host.rows import insert_new, upsert
from host.store import tables as t

DELETE_AT_ONCE = 500     # rows of one DELETE
HISTORY_ROWS = 1_000_000   # a flood of transitions ends here, whatever their age


class OvertakenError(Exception):
    """Another runner has done a tick on this database since ours; nothing was written."""


def turn(connection: Connection) -> tuple[int, int]:
    """Tell which tick was the last one, and when it was (Unix milliseconds; 0: never)."""
    row = connection.execute(select(t.alert_turn.c.turn, t.alert_turn.c.at_ms)).first()
    return (0, 0) if row is None else (row.turn, row.at_ms)


def take_turn(connection: Connection, before: int, now_ms: int) -> None:
    """Begin to write a tick.

    Raises:
        OvertakenError: the last tick is not the one that ours goes on from.
    """
    # The first statements: from here on no other writer comes between.
    insert_new(connection, t.alert_turn, [{"id": 1, "turn": 0, "at_ms": 0}])
    done = connection.execute(update(t.alert_turn).where(t.alert_turn.c.turn == before).values(turn=before + 1, at_ms=now_ms))
    if done.rowcount != 1:
        raise OvertakenError(f"another runner evaluates alerts on this database: tick {before + 1} is there already")


def load(connection: Connection) -> Memory:
    """Read what the last tick remembered."""
    memory = Memory()
    for row in connection.execute(select(t.alert_member)):
        memory.members.setdefault(row.rule, {})[row.key] = Member(
            row.key, row.grp, json.loads(row.labels), State(row.state), row.since_ms, row.held_ms, row.seen_ms, row.value, row.told)
    for row in connection.execute(select(t.alert_group)):
        memory.groups.setdefault(row.rule, {})[row.grp] = Group(
            row.grp, row.severity, Level(row.told), row.told_ms, row.since_ms, row.change_ms, row.flaps)
    for row in connection.execute(select(t.alert_mark)):
        memory.marks.setdefault(row.rule, {})[row.key] = Mark(row.old_ms, row.old, row.new_ms, row.new)
    return memory


def save(connection: Connection, before: Memory, after: Memory) -> None:
    """Write what has changed from one memory to the next."""
    _differ(connection, t.alert_member, "key", before.members, after.members, _member_row)
    _differ(connection, t.alert_group, "grp", before.groups, after.groups, _group_row)
    _differ(connection, t.alert_mark, "key", before.marks, after.marks, _mark_row)


def _differ(
    connection: Connection, table: Table, name: str, before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]], row: Callable[[str, str, Any], dict[str, Any]],
) -> None:
    changed: list[dict[str, Any]] = []
    for rule in before.keys() | after.keys():
        old, new = before.get(rule, {}), after.get(rule, {})
        changed += [row(rule, key, each) for key, each in new.items() if each is not old.get(key) and each != old.get(key)]
        gone = sorted(old.keys() - new.keys())
        for start in range(0, len(gone), DELETE_AT_ONCE):
            connection.execute(delete(table).where(table.c.rule == rule, table.c[name].in_(gone[start:start + DELETE_AT_ONCE])))
    upsert(connection, table, changed)


def _member_row(rule: str, _key: str, one: Member) -> dict[str, Any]:
    return {
        "rule": rule, "key": one.key, "grp": one.group, "labels": key_of(one.labels), "state": one.state.value,
        "since_ms": one.since_ms, "held_ms": one.held_ms, "seen_ms": one.seen_ms, "value": one.value, "told": one.told,
    }


def _group_row(rule: str, _key: str, one: Group) -> dict[str, Any]:
    return {
        "rule": rule, "grp": one.key, "severity": one.severity, "told": one.told.value, "told_ms": one.told_ms,
        "since_ms": one.since_ms, "change_ms": one.change_ms, "flaps": one.flaps,
    }


def _mark_row(rule: str, key: str, one: Mark) -> dict[str, Any]:
    return {"rule": rule, "key": key, "old_ms": one.old_ms, "old": one.old, "new_ms": one.new_ms, "new": one.new}


def quarantined(connection: Connection) -> int:
    """How many messages ever went into quarantine."""
    return connection.scalar(select(t.tally.c.value).where(t.tally.c.name == "quarantined")) or 0


# --- history


def add_history(connection: Connection, now_ms: int, transitions: Iterable[Transition], notices: Iterable[Notice]) -> None:
    """Write down what a tick did."""
    rows = [
        _history(now_ms, one.rule, one.group, f"{one.before.value}>{one.after.value}", one.count, one.value, one.members)
        for one in transitions
    ] + [
        _history(now_ms, one.rule, one.group, f"told.{one.kind.value}", one.firing, one.value, one.names, title(one))
        for one in notices
    ]
    if rows:
        connection.execute(t.alert_history.insert(), rows)


def _history(
    now_ms: int, rule: str, group: str, change: str, count: int, value: float | None, members: Iterable[str], note: str = "",
) -> dict[str, Any]:
    return {"at_ms": now_ms, "rule": rule, "grp": group, "change": change, "count": count, "value": value,
            "members": json.dumps(list(members)), "note": note}


def add_given_up(connection: Connection, now_ms: int, told: Mapping[str, Any], target: str, error: str) -> None:
    """Write down that a notice could not be delivered. `told` is its body."""
    connection.execute(t.alert_history.insert(), [_history(
        now_ms, told["rule"], key_of(told["labels"]), "undelivered", told["firing"], told["value"], (), f"{target}: {error}")])


def history(connection: Connection, *, rule: str = "", since_ms: int = 0, limit: int = 100) -> list[dict[str, Any]]:
    """Read what happened, newest first."""
    query = select(t.alert_history).where(t.alert_history.c.at_ms >= since_ms).order_by(t.alert_history.c.id.desc()).limit(limit)
    if rule:
        query = query.where(t.alert_history.c.rule == rule)
    return [
        {**{name: value for name, value in row._mapping.items() if name != "grp"},
         "group": json.loads(row.grp), "members": json.loads(row.members)}
        for row in connection.execute(query)
    ]


def prune(connection: Connection, now_ms: int, days: int, rows: int = HISTORY_ROWS) -> int:
    """Remove history beyond an age or a number of rows, and silences that ended as long ago."""
    old_ms = now_ms - days * DAY_MS
    connection.execute(delete(t.alert_silence).where(t.alert_silence.c.until_ms < old_ms))
    newest = connection.scalar(select(func.max(t.alert_history.c.id))) or 0
    return connection.execute(
        delete(t.alert_history).where((t.alert_history.c.at_ms < old_ms) | (t.alert_history.c.id <= newest - rows))).rowcount


# --- silences


def silences(connection: Connection, *, ending_after_ms: int = 0) -> list[Silence]:
    """Read silences that end after a time, the first to end first."""
    query = select(t.alert_silence).where(t.alert_silence.c.until_ms > ending_after_ms).order_by(t.alert_silence.c.until_ms)
    return [
        Silence(row.id, json.loads(row.matchers), row.from_ms, row.until_ms, row.author, row.reason)
        for row in connection.execute(query)
    ]


def add_silence(connection: Connection, silence: Silence) -> Silence:
    """Keep a silence; its number is made here."""
    done = connection.execute(t.alert_silence.insert().values(
        matchers=key_of(silence.matchers), from_ms=silence.from_ms, until_ms=silence.until_ms, author=silence.author,
        reason=silence.reason))
    (ident,) = done.inserted_primary_key or (0,)
    return replace(silence, ident=ident)


def end_silence(connection: Connection, ident: int, now_ms: int) -> bool:
    """End a silence now; False when there is none of that number that has not ended."""
    done = connection.execute(update(t.alert_silence).where(
        t.alert_silence.c.id == ident, t.alert_silence.c.until_ms > now_ms).values(until_ms=now_ms))
    return done.rowcount == 1
