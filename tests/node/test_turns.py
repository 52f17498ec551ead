"""One TLS session at a time: nobody waits for ever, and a turn is given back whatever happens."""

import asyncio
import unittest

from node.agent.turns import LEAST_MS, Turns
from tests.sim.memory import StepClock


class TestTurns(unittest.TestCase):
    def test_two_exchanges_never_overlap_on_a_chip_with_room_for_one(self):
        turns, seen = Turns(False, StepClock()), []

        async def exchange(name):
            await turns.take(lambda: None)
            seen.append("+" + name)
            await asyncio.sleep(0.01)
            seen.append("-" + name)
            turns.give()

        async def main():
            await asyncio.gather(exchange("a"), exchange("b"))

        asyncio.run(main())
        self.assertEqual(seen, ["+a", "-a", "+b", "-b"])
        self.assertFalse(turns.wanted())

    def test_exchange_waits_until_the_uplink_has_closed(self):
        clock = StepClock()
        turns, asked = Turns(False, clock), []
        asyncio.run(turns.enter(lambda: None))
        clock.now_ms += LEAST_MS
        turns.asked = lambda: asked.append(turns.wanted())

        async def main():
            task = asyncio.create_task(turns.take(lambda: None))
            await asyncio.sleep(0.01)
            self.assertFalse(task.done())
            turns.leave()
            await task

        asyncio.run(main())
        self.assertEqual(asked, [True])

    def test_exchange_that_gave_up_waiting_leaves_no_turn_behind(self):
        turns = Turns(False, StepClock())
        asyncio.run(turns.enter(lambda: None))

        async def main():
            try:
                await asyncio.wait_for(turns.take(lambda: None), 0.01)
            except asyncio.TimeoutError:   # noqa: UP041  MicroPython's is another class than the built-in one
                turns.leave()
            self.assertFalse(turns.wanted())
            await asyncio.wait_for(turns.take(lambda: None), 1)

        asyncio.run(main())

    def test_uplink_comes_back_before_the_others_have_had_their_turn(self):
        turns, seen = Turns(False, StepClock()), []

        async def uplink():
            await turns.enter(lambda: None)
            seen.append("uplink")

        async def main():
            await turns.take(lambda: None)
            task = asyncio.create_task(uplink())
            await asyncio.sleep(0.01)
            seen.append("other")
            turns.give()
            await task

        asyncio.run(main())
        self.assertEqual(seen, ["other", "uplink"])

    def test_server_that_asks_without_end_leaves_the_uplink_no_time(self):
        clock = StepClock()
        turns = Turns(False, clock)
        asyncio.run(turns.enter(lambda: None))

        async def main():
            task = asyncio.create_task(turns.take(lambda: None))
            await asyncio.sleep(0.01)
            early = turns.wanted()
            clock.now_ms += LEAST_MS
            self.assertEqual((early, turns.wanted()), (False, True))
            turns.leave()
            await task

        asyncio.run(main())

    def test_nobody_waits_on_a_board_with_room(self):
        turns = Turns(True, StepClock())
        asyncio.run(turns.enter(lambda: None))
        asyncio.run(turns.take(lambda: None))
        self.assertFalse(turns.wanted())
        turns.give()
