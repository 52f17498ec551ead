"""Modbus units on a line: dead ones beside live ones, answers that come too late, damaged or to another question."""

import asyncio
import unittest

from board.sensors.build import merged
from board.sensors.line import Block, Line, Unit
from node.app.sampler import BAD_AFTER, Sampler
from node.app.scaling import scale_of
from node.errors import SensorError
from tests.node.common import code_of
from tests.sim.machine import Machine
from tests.sim.modbus import Slave, Uart

RAW = {"id": 2, "tx": 17, "rx": 16, "de": None, "baud": 9600, "parity": "even", "stop": 1, "timeout_ms": 100}


def unit_on(line, number, *registers):
    """A unit of u16 registers, one a block, as channels 10 * number and on."""
    blocks = [Block(number, 3, register, 1) for register in registers]
    picks = [(block, 0, "u16", (False, False), scale_of("1")) for block in blocks]
    return Unit(line, blocks, tuple(10 * number + i for i in range(len(blocks))), picks)


def line_of(slaves, **changes):
    raw = dict(RAW)
    raw.update(changes)
    machine = Machine()
    uart = Uart(slaves, raw["de"])
    machine.UART = uart
    if raw["de"] is not None:
        machine.watch(raw["de"], lambda level: setattr(uart, "de_level", level))
    return Line(machine, raw, uart.sleep_ms), uart


async def settled(line):
    while line._task is not None:
        await asyncio.sleep(0)


def sampled(sampler, line, places):
    """One sample, with all the time that it needs."""
    async def run():
        sampler.start(places)
        await settled(line)
        return sampler.take(places)
    return asyncio.run(run())


class TestLine(unittest.TestCase):
    def test_unit_that_is_silent_stops_another(self):
        line, _ = line_of({1: Slave({5: 1234, 9: 2})})
        sampler = Sampler([unit_on(line, 2, 5), unit_on(line, 1, 5, 9)], 3)
        for _ in range(40):
            self.assertEqual(sampled(sampler, line, (20, 10, 11)), [None, 1234, 2])
        self.assertEqual(sampler.bad, 1)

    def test_line_on_which_a_unit_answers_is_not_opened_again_and_a_dead_one_is(self):
        line, uart = line_of({1: Slave({5: 1})})
        sampler = Sampler([unit_on(line, 2, 5), unit_on(line, 1, 5)], 2)
        for _ in range(20):
            sampled(sampler, line, (20, 10))
        self.assertEqual(len(uart.settings), 1)
        del uart.slaves[1]
        for _ in range(20):
            sampled(sampler, line, (20, 10))
        self.assertGreater(len(uart.settings), 2)
        self.assertEqual(uart.settings[0][1]["parity"], 0)

    def test_answers_take_longer_than_the_line_says(self):
        slaves = {1: Slave({5: 1, 9: 2}, delay_ms=100), 2: Slave({5: 3}, delay_ms=100)}
        line, uart = line_of(slaves)
        sampler = Sampler([unit_on(line, 1, 5, 9), unit_on(line, 2, 5)], 3)
        self.assertEqual(sampled(sampler, line, (10, 11, 20)), [1, 2, 3])
        self.assertLessEqual(uart.now, sampler.lead_ms((10,)))
        uart.now, uart.slaves = 0, {}
        self.assertEqual(sampled(sampler, line, (10, 11, 20)), [None, None, None])
        self.assertLessEqual(uart.now, sampler.lead_ms((10,)))

    def test_questions_follow_each_other_without_silence(self):
        slaves = {1: Slave({5: 1, 9: 2}, delay_ms=0)}
        line, uart = line_of(slaves)
        sampled(Sampler([unit_on(line, 1, 5, 9)], 2), line, (10, 11))
        self.assertGreaterEqual(uart.frames[1][0] - uart.frames[0][0], 5)   # 4.01 ms at 9600 baud

    def test_damaged_answer_is_given_as_a_reading(self):
        slave = Slave({5: 1234})
        slave.noise = 0x40
        line, _ = line_of({1: slave})
        unit = unit_on(line, 1, 5)
        self.assertEqual(sampled(Sampler([unit], 1), line, (10,)), [None])
        self.assertEqual(code_of(self, SensorError, unit.read), "modbus.crc")

    def test_exception_of_one_register_takes_the_others_with_it(self):
        line, _ = line_of({1: Slave({5: 7})})
        unit = unit_on(line, 1, 5, 6)
        sampler = Sampler([unit], 2)
        for _ in range(BAD_AFTER + 1):
            self.assertEqual(sampled(sampler, line, (10, 11)), [7, None])
        self.assertEqual(sampler.bad, 0)
        unit = unit_on(line, 1, 6)
        sampled(Sampler([unit], 2), line, (10,))
        self.assertEqual(code_of(self, SensorError, unit.read), "modbus.exception")

    def test_late_answer_is_taken_for_the_next_question(self):
        slave = Slave({5: 5, 9: 9}, delay_ms=150)   # register 5's value comes when register 9 is asked for
        line, _ = line_of({1: slave, 2: Slave({5: 25})})
        sampler = Sampler([unit_on(line, 1, 5, 9), unit_on(line, 2, 5)], 3)
        self.assertEqual(sampled(sampler, line, (10, 11, 20)), [None, None, 25])
        slave.delay_ms = 10
        self.assertEqual(sampled(sampler, line, (10, 11, 20)), [5, 9, 25])

    def test_answer_to_the_sample_before_is_given_to_this_one(self):
        line, uart = line_of({1: Slave({5: 5})})
        unit = unit_on(line, 1, 5)

        async def run():
            unit.start()
            await asyncio.sleep(0)   # asked
            uart.slaves[1].registers[5] = 6
            unit.start()
            code = code_of(self, SensorError, unit.read)
            unit.start()
            await settled(line)
            return code, unit.read()

        self.assertEqual(asyncio.run(run()), ("modbus.late", [6]))

    def test_read_before_the_answer_blocks_or_keeps_asking(self):
        line, uart = line_of({1: Slave({5: 5, 9: 9})})
        unit = unit_on(line, 1, 5, 9)

        async def run():
            unit.start()
            code = code_of(self, SensorError, unit.read)
            await settled(line)
            return code

        self.assertEqual((asyncio.run(run()), uart.frames), ("modbus.late", []))

    def test_direction_pin_is_held_while_others_answer(self):
        for echo in (False, True):
            line, uart = line_of({1: Slave({5: 5})}, de=4)
            uart.echo = echo
            self.assertEqual(sampled(Sampler([unit_on(line, 1, 5)], 1), line, (10,)), [5])
            self.assertEqual(uart.de_level, 0)

    def test_uart_that_raises_anything_ends_the_lines_task(self):
        line, uart = line_of({1: Slave({5: 5})})
        read, uart.read = uart.read, None
        sampler = Sampler([unit_on(line, 1, 5)], 1)
        self.assertEqual(sampled(sampler, line, (10,)), [None])
        uart.read = read
        self.assertEqual(sampled(sampler, line, (10,)), [5])


class TestBlocks(unittest.TestCase):
    def test_what_touches_is_asked_for_together(self):
        self.assertEqual(merged([(3, 10, 2), (3, 0, 4), (3, 4, 1), (4, 5, 1), (3, 11, 1), (1, 0, 1)]),
                         [(1, 0, 1), (3, 0, 5), (3, 10, 2), (4, 5, 1)])

    def test_block_of_more_than_the_protocol_allows(self):
        self.assertEqual(merged([(3, 2 * i, 2) for i in range(100)]), [(3, 0, 124), (3, 124, 76)])
        self.assertEqual(merged([(1, i, 1) for i in range(2001)]), [(1, 0, 2000), (1, 2000, 1)])


if __name__ == "__main__":
    unittest.main()
