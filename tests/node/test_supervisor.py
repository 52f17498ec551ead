"""The supervisor: no crash stops the others, and what restarting does not mend, a reset does."""

import asyncio
import unittest

from node.agent import supervisor as module
from node.agent.metrics import Metrics
from node.agent.supervisor import MAX_FAILURES, RESET, RESTART, SILENCE_RESET_MS, STABLE_MS, Supervisor, verdict
from node.errors import CallerError, FlashError
from tests.sim.network import Zeros


class Reset(SystemExit):
    """The board went down, as on the simulated board."""


class Clock:
    def __init__(self):
        self.now = 0

    def ticks_ms(self):
        return self.now


class System:
    def __init__(self):
        self.fed = 0
        self.resets = []
        self.logs = []

    def reset(self, reason, fault):
        self.resets.append((reason, fault))
        raise Reset

    def feed_watchdog(self):
        self.fed += 1

    def log(self, event, detail):
        self.logs.append((event, detail))


class TestVerdict(unittest.TestCase):
    def test_agent_task_that_keeps_failing_resets_the_board(self):
        failures, actions = 0, []
        for _ in range(MAX_FAILURES + 1):
            action, failures = verdict(failures, 10, True)
            actions.append(action)
        self.assertEqual(actions, [RESTART] * MAX_FAILURES + [RESET])

    def test_app_that_always_crashes_never_resets_the_board(self):
        failures = 0
        for _ in range(1000):
            action, failures = verdict(failures, 10, False)
            self.assertEqual(action, RESTART)

    def test_stable_minute_gives_a_clean_record(self):
        self.assertEqual(verdict(MAX_FAILURES, STABLE_MS, True), (RESTART, 1))


class TestSupervisor(unittest.TestCase):
    def setUp(self):
        self.clock, self.system, self.metrics = Clock(), System(), Metrics()
        self.supervisor = Supervisor(self.clock, Zeros(), self.system, self.metrics)
        self.runs = 0
        self.base_ms, module.RESTART_BASE_MS = module.RESTART_BASE_MS, 0   # no waits between restarts

    def tearDown(self):
        module.RESTART_BASE_MS = self.base_ms

    def run_until(self, done):
        async def main():
            task = asyncio.create_task(self.supervisor.run())
            for _ in range(500):
                if done() or task.done():
                    break
                await asyncio.sleep(0.001)

        asyncio.run(main())

    async def crash(self):
        self.runs += 1
        raise FlashError("ring.worn", "test")

    async def end(self):
        self.runs += 1

    async def work(self):
        while True:
            self.runs += 1
            await asyncio.sleep(0.001)

    def test_crashing_app_stops_no_other_task(self):
        self.supervisor.add("app", self.crash, vital=False)
        other = []

        async def agent():
            while True:
                other.append(1)
                await asyncio.sleep(0.001)

        self.supervisor.add("agent", agent)
        self.run_until(lambda: self.runs > 20 and len(other) > 5)
        self.assertGreater(self.runs, 20)
        self.assertEqual(self.system.resets, [])
        self.assertGreater(self.metrics.get("app_crashes"), 19)
        self.assertEqual(self.metrics.get("task_restarts"), 0)
        self.assertIn("app:ring.worn", self.metrics.faults)

    def test_agent_task_that_fails_is_restarted_then_the_board_is_reset_as_a_fault(self):
        self.supervisor.add("uplink", self.crash)
        with self.assertRaises(Reset):
            self.run_until(lambda: False)
        self.assertEqual(self.system.resets[0], ("uplink:ring.worn", True))
        self.assertEqual(self.runs, MAX_FAILURES + 1)

    def test_task_that_returns_is_a_failure_too(self):
        self.supervisor.add("app", self.end, vital=False)
        self.run_until(lambda: self.runs > 2)
        self.assertIn(("task", "app:returned"), self.system.logs)

    def test_watchdog_is_fed_while_all_is_well(self):
        self.supervisor.add("work", self.work)
        self.run_until(lambda: self.runs > 2)
        self.assertGreater(self.system.fed, 0)

    def test_stuck_task_resets_the_board(self):
        alive = self.supervisor.watch("uplink", 1000)
        self.clock.now = 5000
        self.supervisor.beat()   # it has not begun: there may be no certificate yet
        alive()
        self.clock.now = 6000
        self.supervisor.beat()
        self.clock.now = 6001
        with self.assertRaises(Reset):
            self.supervisor.beat()
        self.assertEqual(self.system.resets, [("stuck:uplink", True)])

    def test_world_that_is_silent_for_hours_is_tried_with_a_fresh_boot_without_blame(self):
        self.clock.now = SILENCE_RESET_MS
        self.supervisor.beat()
        self.supervisor.heard()
        self.clock.now = 2 * SILENCE_RESET_MS
        self.supervisor.beat()
        self.clock.now += 1
        with self.assertRaises(Reset):
            self.supervisor.beat()
        self.assertEqual(self.system.resets, [("silence", False)])

    def test_heartbeat_is_well_below_the_watchdog(self):
        self.assertLess(module.HEARTBEAT_MS * 10, 60000)


class TestMetrics(unittest.TestCase):
    def test_unknown_name_is_the_callers_fault(self):
        metrics = Metrics()
        for call in (metrics.add, metrics.put, metrics.peak, metrics.low):
            with self.assertRaises(CallerError):
                call("nonsense", 1)

    def test_largest_and_smallest_are_kept(self):
        metrics = Metrics()
        for value in (5, 9, 7):
            metrics.peak("late_max_ms", value)
            metrics.low("heap_free", value)
        self.assertEqual((metrics.get("late_max_ms"), metrics.get("heap_free")), (9, 5))


if __name__ == "__main__":
    unittest.main()
