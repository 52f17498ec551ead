"""Modbus RTU: the specification's frames, and every answer that is not one to the question."""

import struct
import unittest

from node.app import modbus
from node.errors import CallerError, SensorError
from tests.node.common import code_of


def framed(body):
    return body + struct.pack("<H", modbus.crc16(body))


class TestModbus(unittest.TestCase):
    def test_frames_of_the_specification(self):
        self.assertEqual(modbus.crc16(b"\x02\x07"), 0x1241)   # Serial Line, 6.2.2: sent 41 12
        self.assertEqual(modbus.request(1, modbus.HOLDING, 0, 10), b"\x01\x03\x00\x00\x00\x0a\xc5\xcd")
        # Application Protocol, 6.3: registers 108 to 110 hold 555, 0 and 100
        data = modbus.parse(17, 3, 3, framed(b"\x11\x03\x06\x02\x2b\x00\x00\x00\x64"))
        self.assertEqual([modbus.value(data, i, "u16") for i in range(3)], [555, 0, 100])
        # 6.1: coils 20 to 38
        data = modbus.parse(17, 1, 19, framed(b"\x11\x01\x03\xcd\x6b\x05"))
        self.assertEqual([modbus.bit(data, i) for i in (0, 1, 2, 7, 8, 17, 18)], [1, 0, 1, 1, 1, 0, 1])

    def test_orders_of_bytes_and_words(self):
        raw = struct.pack(">f", 230.5)
        for data, word, byte in ((raw, False, False), (raw[2:] + raw[:2], True, False),
                                 (bytes((raw[1], raw[0], raw[3], raw[2])), False, True), (bytes(reversed(raw)), True, True)):
            self.assertEqual(modbus.value(data, 0, "f32", word, byte), 230.5)
        self.assertEqual(modbus.value(b"\xff\xff\xff\xfe", 0, "s32"), -2)
        self.assertEqual(modbus.value(b"\xff\xff\xff\xfe", 1, "s16"), -2)

    def test_what_is_no_answer_to_the_question_is_believed(self):
        good = framed(b"\x01\x03\x02\x12\x34")
        self.assertEqual(modbus.parse(1, 3, 1, good), b"\x12\x34")
        for frame, code in ((b"", "modbus.silent"), (good[:-1], "modbus.crc"), (good[:3], "modbus.crc"), (b"\0" * 7, "modbus.crc"),
                            (good + b"\0", "modbus.answer"),   # the check holds with a zero behind it
                            (framed(b"\x02\x03\x02\x12\x34"), "modbus.answer"),
                            (framed(b"\x01\x04\x02\x12\x34"), "modbus.answer"),
                            (framed(b"\x01\x03\x04\x12\x34\x56\x78"), "modbus.answer"),
                            (framed(b"\x01\x03\x03\x12\x34"), "modbus.answer"), (framed(b"\x01\x83\x02"), "modbus.exception"),
                            (framed(b"\x02\x83\x02"), "modbus.answer"), (framed(b"\x01\x84\x02"), "modbus.answer")):
            self.assertEqual(code_of(self, SensorError, modbus.parse, 1, 3, 1, frame), code)

    def test_each_damaged_bit_is_found(self):
        good = bytearray(framed(b"\x01\x03\x02\x12\x34"))
        for i in range(8 * len(good)):
            good[i >> 3] ^= 1 << (i & 7)
            self.assertEqual(code_of(self, SensorError, modbus.parse, 1, 3, 1, bytes(good)), "modbus.crc")
            good[i >> 3] ^= 1 << (i & 7)

    def test_questions_that_the_protocol_has_no_room_for(self):
        for question in ((0, 3, 0, 1), (248, 3, 0, 1), (1, 5, 0, 1), (1, 3, 0, 0), (1, 3, 0, 126), (1, 1, 0, 2001),
                         (1, 3, 0xFFFF, 2), (1, 3, -1, 1)):
            self.assertEqual(code_of(self, CallerError, modbus.request, *question), "modbus.request")

    def test_silence_between_frames(self):
        self.assertEqual([modbus.silence_us(baud) for baud in (1200, 9600, 19200, 38400)], [32083, 4010, 2005, 1750])


if __name__ == "__main__":
    unittest.main()
