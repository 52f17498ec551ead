"""A Modbus RTU master on a UART, with an RS-485 direction pin if there is one; each unit on the line is a source.

start() asks for a unit's blocks of registers, and a task of the line asks one after another while sampling goes on, each with a
deadline; read() takes what has been answered since. Whatever is in the UART before a question is thrown away, and an answer to a
question of an earlier sample is nobody's. So the age of a value is at most the line's `lead_ms`: the sum of the longest time of
each question on it. That must be less than the sample period. Frames are told apart by their length and check, not by the silence
within them. Modbus RTU does not say which question an answer is to. So a unit that did not answer in time is not asked again in the
same sample; `timeout_ms` must be so long that its answer cannot come as late as into the next one.
"""

import asyncio

from board.sensors.bus import Bus
from node.app import modbus
from node.errors import SensorError

CHARACTER_BITS = 11   # start, eight, parity or a second stop, stop (Serial Line, 2.5.1)
REQUEST_BYTES = 8
POLL_MS = 3           # between looks at the UART: three characters at 9600 baud
PARITY = {"none": None, "even": 0, "odd": 1}   # as machine.UART has it


class Line(Bus):
    """One UART. Args: sleep_ms: a coroutine function."""

    def __init__(self, machine, raw, sleep_ms):
        super().__init__(machine, raw)
        self._sleep_ms = sleep_ms
        self._asked = []       # blocks to be asked for
        self._task = None
        self.lead_ms = 0       # of all questions

    def add(self, block):
        """One more question of each sample."""
        self.lead_ms += self._silence_ms() + self._patience_ms(block)

    def ask(self, blocks):
        self._asked.extend(blocks)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def forget(self, blocks):
        """What has not been asked yet will not be."""
        self._asked = [block for block in self._asked if block not in blocks]

    async def _run(self):
        try:
            while self._asked:
                block = self._asked.pop(0)
                number = block.number
                try:
                    answer = await self._exchange(block)
                    self.answered = True
                except Exception as error:   # it is the source's, who asked
                    answer = error
                if block.number == number:   # else it was asked again meanwhile
                    block.answer = answer
        finally:
            self._task = None

    async def _exchange(self, block):
        uart = self.handle()
        await self._sleep_ms(self._silence_ms())
        uart.read()   # what came unasked, or too late
        self._send(uart, block.request)
        frame = b""
        for _ in range(self._patience_ms(block) // POLL_MS):
            await self._sleep_ms(POLL_MS)
            frame += uart.read() or b""
            if block.whole(frame):
                break
        if not block.whole(frame):
            self._asked = [each for each in self._asked if each.unit != block.unit]
        return block.parse(frame)

    def _send(self, uart, request):
        if self._raw["de"] is None:
            uart.write(request)
            return
        self._drive(1)
        try:
            uart.write(request)
            uart.flush()   # blocks, 8 ms at 9600 baud: the unit may answer 4 ms after it
        finally:
            self._drive(0)
        uart.read()   # our own words, where the receiver hears them

    def _open(self, machine, raw):
        if raw["de"] is not None:
            self._drive = machine.Pin(raw["de"], machine.Pin.OUT, value=0)
        return machine.UART(raw["id"], baudrate=raw["baud"], bits=8, parity=PARITY[raw["parity"]], stop=raw["stop"],
                            tx=machine.Pin(raw["tx"]), rx=machine.Pin(raw["rx"]), timeout=0)

    def _patience_ms(self, block):
        """How long a question and its answer may take, whole looks at the UART."""
        count = REQUEST_BYTES + block.answer_bytes
        return self._raw["timeout_ms"] + count * CHARACTER_BITS * 1000 // self._raw["baud"] + POLL_MS

    def _silence_ms(self):
        return modbus.silence_us(self._raw["baud"]) // 1000 + 1


class Block:
    """One question: registers or bits side by side.

    Attributes:
        answer: the data, an exception, or None while there is none. number: of the question.
    """

    def __init__(self, unit, function, start, count):
        self.unit = unit
        self._what = unit, function, count
        self.request = modbus.request(unit, function, start, count)
        self.answer_bytes = modbus.answer_bytes(function, count)
        self.answer = None
        self.number = 0

    def whole(self, frame):
        return len(frame) >= (5 if len(frame) > 1 and frame[1] & modbus.FAILED else self.answer_bytes)

    def parse(self, frame):
        return modbus.parse(*self._what, frame)


class Unit:
    """The source of one unit's registers.

    Args:
        picks: (block, place in it, kind, (low word first, low byte first), scale) of each channel; kind "bit" is a bit.
    """

    def __init__(self, line, blocks, channels, picks):
        self._line, self._blocks, self._picks = line, blocks, picks
        self.channels = channels
        for block in blocks:
            line.add(block)

    @property
    def lead_ms(self):
        return self._line.lead_ms

    def start(self):
        self._line.forget(self._blocks)
        for block in self._blocks:
            block.answer = None
            block.number += 1
        self._line.ask(self._blocks)

    def read(self):
        """Steps; None for a register whose question failed. Raises what the last one failed with, when nothing else is left."""
        self._line.forget(self._blocks)   # too late for this sample
        found, fault = [], None
        for block, place, kind, orders, scale in self._picks:
            data = block.answer
            try:
                if data is None:
                    raise SensorError("modbus.late", "not answered in time")
                if isinstance(data, Exception):
                    raise data
                value = modbus.bit(data, place) if kind == "bit" else modbus.value(data, place, kind, *orders)
                found.append(scale.steps(value))
            except Exception as error:   # a driver of the machine may raise anything
                found.append(None)
                fault = error
        if fault and all(value is None for value in found):
            raise fault
        return found

    def recover(self):
        self._line.recover()
