"""One tick: rules, samples and what is remembered go in; new memory, transitions and notices come out.

Decides which members are one group, what one rule need not say because another did, and what is dropped when there is too much.
Reads no clock and no database. The order of the samples does not matter.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from host.monitor.alerting import group as groups
from host.monitor.alerting import member as members
from host.monitor.alerting.group import Group, Kind, Level, Seen
from host.monitor.alerting.member import Member, Observation, State
from host.monitor.alerting.observe import Names, name_of, observe, risen
from host.monitor.alerting.rise import Mark
from host.monitor.alerting.rules import Rule, key_of
from host.monitor.alerting.silences import Silence, active, is_mute
from host.monitor.sample import Sample

MOST_MEMBERS = 100_000   # of one rule that are not ok; 400 bytes each. More are counted, and told as "overflow"
SHOWN = 20               # members that a notice names
LISTED = 50              # members that a line of history names

Memories = dict[str, dict[str, Member]]     # rule -> member's key -> member
Grouped = dict[str, dict[str, Group]]       # rule -> group's key -> group
Marked = dict[str, dict[str, Mark]]         # rule -> member's key -> mark, of rules with `rise_s`


@dataclass(frozen=True, slots=True)
class Memory:
    """All that alerts remember from tick to tick."""

    members: Memories = field(default_factory=dict)
    groups: Grouped = field(default_factory=dict)
    marks: Marked = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transition:
    """Members of one group that went from one state to another in this tick; `members` names at most LISTED of `count`."""

    rule: str
    group: str
    before: State
    after: State
    count: int
    members: tuple[str, ...]
    value: float | None   # the worst


@dataclass(frozen=True, slots=True)
class Notice:
    """What somebody is to be told of one group.

    Attributes:
        total: members of the group, as far as known. firing: how many fire now; `names` and `values` are of the first SHOWN,
            `value` is the worst of all.
        over: names of those that ended since the last notice. lost: of those given up, not heard for too long.
        message: the rule's template. note: why it ended, where that is not its members' doing.
    """

    rule: str
    severity: str
    kind: Kind
    level: Level
    group: str
    at_ms: int
    since_ms: int
    firing: int
    total: int
    names: tuple[str, ...]
    values: tuple[float | None, ...]
    value: float | None = None
    over: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    flapping: bool = False
    message: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tick:
    """What came out. `overflow`: breaches that found no room, by rule. `blind`: rules without any sample."""

    memory: Memory
    transitions: tuple[Transition, ...]
    notices: tuple[Notice, ...]
    overflow: Mapping[str, int]
    blind: tuple[str, ...]


def step(
    rules: Sequence[Rule], memory: Memory, samples: Iterable[Sample], silences: Iterable[Silence], now_ms: int, *, most_ms: int,
    most_members: int = MOST_MEMBERS,
) -> Tick:
    """Do one tick.

    Args:
        samples: all that is known now; what is missing is unknown.
        most_ms: time since the tick before counts for `for_s` up to this.
    """
    by_metric: dict[str, list[Sample]] = defaultdict(list)
    wanted = {rule.metric for rule in rules}
    for sample in samples:
        if sample.metric in wanted and sample.value == sample.value:   # NaN is unknown
            by_metric[sample.metric].append(sample)
    quiet = active(silences, now_ms)
    new, names = Memory(), Names()
    transitions: list[Transition] = []
    notices: list[Notice] = []
    overflow: dict[str, int] = {}
    blind: list[str] = []
    for rule in rules:
        seen = observe(rule, by_metric.get(rule.metric, ()), names)
        if rule.rise_s is not None:
            seen, marks = risen(rule, rule.rise_s, memory.marks.get(rule.name, {}), seen, now_ms, most_members)
            new.marks[rule.name] = marks
        if not seen and not rule.absent:
            blind.append(rule.name)
        known = memory.members.get(rule.name, {})
        after, lost = _move(rule, known, seen, now_ms, most_ms, most_members)
        if lost:
            overflow[rule.name] = lost
        transitions += _transitions(rule, known, after)
        cover = _Cover([other for other in rules if other.name in rule.unless], new.groups)
        at = _Grouping(rule, memory.groups.get(rule.name, {}), after, seen, quiet, cover)
        notices += at.tell(now_ms)
        if at.members:
            new.members[rule.name] = at.members
        if at.groups:
            new.groups[rule.name] = at.groups
    notices += _close(memory, {rule.name for rule in rules}, now_ms)
    return Tick(new, tuple(transitions), tuple(notices), overflow, tuple(blind))


def _move(
    rule: Rule, known: Mapping[str, Member], seen: Mapping[str, Observation], now_ms: int, most_ms: int, most_members: int,
) -> tuple[dict[str, Member], int]:
    """Step the members that are known, then take in those that breach, in the order of their keys, as far as there is room."""
    after: dict[str, Member] = {}
    for key, one in known.items():
        moved = members.step(rule, one, seen.get(key), now_ms, most_ms)
        if moved.state is not State.OK:
            after[key] = moved
    lost = 0
    for key in sorted(seen.keys() - known.keys()):
        told = seen[key]
        if not rule.breached(told.value):
            continue
        if len(after) >= most_members:
            lost += 1
            continue
        after[key] = members.step(rule, Member(key, told.group, told.labels), told, now_ms, most_ms)
    return after, lost


def _transitions(rule: Rule, known: Mapping[str, Member], after: Mapping[str, Member]) -> list[Transition]:
    moved: dict[tuple[str, State, State], list[Member]] = defaultdict(list)
    for key in known.keys() | after.keys():
        was, now = known.get(key), after.get(key)
        before = State.OK if was is None else was.state
        behind = State.OK if now is None else now.state
        one = now or was
        if before is not behind and one is not None:
            moved[one.group, before, behind].append(one)
    found = []
    for (group, before, behind), some in sorted(moved.items(), key=lambda item: (item[0][0], item[0][1].value, item[0][2].value)):
        names = sorted(name_of(one.key) for one in some)[:LISTED]
        worst = _worst(rule, [one.value for one in some])
        found.append(Transition(rule.name, group, before, behind, len(some), tuple(names), worst))
    return found


def _worst(rule: Rule, values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return (max(known) if rule.above is not None else min(known)) if known else None


def _close(memory: Memory, names: set[str], now_ms: int) -> list[Notice]:
    """End what was told of rules that are not in the file any more."""
    return [
        Notice(rule, group.severity, Kind.RESOLVED, Level.NONE, group.key, now_ms, group.since_ms, 0, 0, (), (),
               note="the rule was taken out of the file")
        for rule in sorted(memory.groups.keys() - names)
        for group in memory.groups[rule].values() if group.told is not Level.NONE
    ]


class _Cover:
    """What other rules have told in this tick, so that one need not say it again."""

    def __init__(self, rules: Sequence[Rule], told: Grouped) -> None:
        self._told = [
            (rule.group_by, {key for key, group in told.get(rule.name, {}).items() if group.told is not Level.NONE})
            for rule in rules
        ]

    def hides(self, labels: Mapping[str, str]) -> bool:
        return any(told and key_of({label: labels.get(label, "") for label in by}) in told for by, told in self._told)


class _Grouping:
    """The groups of one rule in one tick."""

    def __init__(
        self, rule: Rule, known: Mapping[str, Group], after: dict[str, Member], seen: Mapping[str, Observation],
        quiet: Sequence[Silence], cover: _Cover,
    ) -> None:
        self._rule, self._seen = rule, seen
        self.members = after
        self.groups = dict(known)
        totals = Counter(each.group for each in seen.values())
        totals.update(one.group for key, one in after.items() if key not in seen)
        within: dict[str, list[tuple[Member, bool]]] = defaultdict(list)
        for key in sorted(after):
            one = after[key]
            mute = cover.hides(one.labels) or (bool(quiet) and is_mute(quiet, rule.name, rule.severity, one.labels))
            within[one.group].append((one, mute))
        self._within = {key: Seen(within.get(key, ()), totals[key]) for key in within.keys() | known.keys()}

    def tell(self, now_ms: int) -> list[Notice]:
        """Decide group by group; members and groups are as they should be remembered afterwards."""
        notices = []
        for key in sorted(self._within):
            seen = self._within[key]
            before = self.groups.get(key) or Group(key, self._rule.severity)
            after, kind = groups.decide(self._rule, before, seen, now_ms)
            if kind is not None:
                notices.append(self._notice(after, kind, seen, now_ms))
            self._settle(after, seen, told=kind is not None)
            busy = any(one.key in self.members for one, _ in seen.members)
            if (key in self.groups or after.told_ms or after.change_ms is not None) and (busy or not groups.is_done(after, now_ms)):
                self.groups[key] = after
            else:
                self.groups.pop(key, None)
        return notices

    def _settle(self, group: Group, seen: Seen, *, told: bool) -> None:
        """After a notice its members are told; what is over and known to nobody is dropped in any case."""
        for one, mute in seen.members:
            if one.state is State.FIRING and told and not mute and not one.told:
                self.members[one.key] = replace(one, told=True)
            elif one.state is State.RESOLVED and (not one.told or (told and not mute) or group.told is Level.NONE):
                del self.members[one.key]

    def _notice(self, group: Group, kind: Kind, seen: Seen, now_ms: int) -> Notice:
        firing = seen.firing()
        values = [self._seen[one.key].value if one.key in self._seen else one.value for one in firing]
        over = seen.over()
        rule = self._rule
        return Notice(
            rule.name, rule.severity, kind, group.told, group.key, now_ms, group.since_ms, len(firing), seen.total,
            tuple(name_of(one.key) for one in firing[:SHOWN]), tuple(values[:SHOWN]), _worst(rule, values),
            tuple(name_of(one.key) for one in over if one.value is not None)[:SHOWN],
            tuple(name_of(one.key) for one in over if one.value is None)[:SHOWN],
            flapping=group.flaps >= groups.FLAPPING, message=rule.message,
        )
