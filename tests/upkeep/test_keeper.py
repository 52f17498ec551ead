"""Upkeep at work: one task that fails stops no other, is named by its code, and comes again."""

from threading import Event

import pytest
from sqlalchemy.exc import OperationalError

from host.settings import SettingsError
from host.store.maintenance import MaintenanceError
from host.upkeep.keeper import FAULT, SLICE_S, Done, Keeper, Task, code_of
from host.upkeep.schedule import RETRY_S
from ota.client import UNREACHABLE, OtaError


class Clock:
    """Time that goes on when a task works or the keeper waits."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


class Worker:
    def __init__(self, clock, took_s=1.0, error=None, more=0):
        self.clock, self.took_s, self.error, self.more, self.at = clock, took_s, error, more, []

    def __call__(self, over):
        self.at.append(self.clock.now_s)
        self.clock.now_s += self.took_s
        if self.error:
            raise self.error
        self.more -= 1
        return Done("done", self.more >= 0)


def keep(clock, for_s, **workers):
    keeper = Keeper([Task(name, 100.0, worker) for name, worker in workers.items()], lambda: 0.0, clock, lambda: 1e9 + clock.now_s)
    while clock.now_s < for_s:
        clock.now_s += keeper.turn(Event())
    return {(sample.metric, sample.labels["task"]): sample.value for sample in keeper.samples()}


def figure(found, name, task):
    return found[f"tenfold_upkeep_{name}", task]


def test_a_task_that_always_fails_delays_no_other(caplog):
    clock = Clock()
    bad, good = Worker(clock, error=OtaError(0, UNREACHABLE, "no answer")), Worker(clock)
    found = keep(clock, 1000, bad=bad, good=good)
    assert len(good.at) == 10
    assert figure(found, "failures_total", "good") == 0
    assert figure(found, "last_success_timestamp_seconds", "good") > 1e9 + 900
    assert figure(found, "failures_total", "bad") == len(bad.at) >= 10
    assert figure(found, "last_success_timestamp_seconds", "bad") == 0
    gaps = [late - early for early, late in zip(bad.at, bad.at[1:], strict=False)]
    assert gaps[0] == pytest.approx(RETRY_S / 2 + 1, abs=1)   # soon, a server restarts
    assert gaps[-1] <= 102                                     # and at last as often as it is done
    assert f"bad failed ({UNREACHABLE}): no answer" in caplog.messages


def test_a_task_with_more_to_do_shares_the_time_with_the_others():
    clock = Clock()
    large, small = Worker(clock, took_s=SLICE_S, more=10), Worker(clock)
    found = keep(clock, 1000, large=large, small=small)
    assert large.at[10] == 10 * 2 * SLICE_S   # half of the time
    assert max(late - early for early, late in zip(small.at, small.at[1:], strict=False)) <= 100 + SLICE_S + 1
    assert figure(found, "duration_seconds", "large") == SLICE_S


def test_a_turn_is_over_after_its_slice_or_at_the_stop():
    clock, said = Clock(), []

    def work(over):
        said.append(over())
        clock.now_s += SLICE_S
        said.append(over())
        return Done("")

    Keeper([Task("one", 100.0, work)], lambda: 0.0, clock).turn(Event())
    assert said == [False, True]
    stop = Event()
    stop.set()
    Keeper([Task("one", 100.0, lambda over: Done(str(said.append(over()))))], lambda: 0.0, clock).turn(stop)
    assert said[-1] is True


def test_a_long_turn_makes_nobody_late_by_more_than_the_shortest_period():
    clock = Clock()

    def long(over):
        while not over():
            clock.now_s += 0.5
        return Done("", more=True)

    often = Worker(clock, took_s=0.1)
    keeper = Keeper([Task("long", 100.0, long), Task("often", 2.0, often)], lambda: 0.0, clock)
    while clock.now_s < 60:
        clock.now_s += keeper.turn(Event())
    assert max(late - early for early, late in zip(often.at, often.at[1:], strict=False)) <= 4.0


@pytest.mark.parametrize(("error", "code"), [
    (OtaError(403, "operator.read_only", "x"), "operator.read_only"), (SettingsError("a", "b", "c"), "upkeep.setting"),
    (MaintenanceError("x"), "upkeep.maintenance"), (OperationalError("x", {}, ValueError()), "upkeep.database"),
    (OSError(28, "no space"), "upkeep.file"), (ZeroDivisionError("x"), FAULT),
])
def test_each_failure_has_a_code_and_only_our_own_faults_a_traceback(error, code, caplog):
    assert code_of(error) == code
    clock = Clock()
    keep(clock, 1, one=Worker(clock, error=error))
    (record,) = caplog.records
    assert f"one failed ({code}): " in record.getMessage()
    assert bool(record.exc_info) is (code == FAULT)
