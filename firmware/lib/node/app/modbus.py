"""Modbus RTU from values only: what a master asks, and what the answer says.

Sources: MODBUS over Serial Line V1.02, MODBUS Application Protocol V1.1b3.

Decides whether an answer is one to that question, and what its registers mean. Touches no serial port and keeps no time; a
driver does.
"""

import struct

from node.compat import const
from node.errors import CallerError, SensorError

COILS, DISCRETE_INPUTS, HOLDING, INPUTS = 1, 2, 3, 4   # function codes
MAX_BITS, MAX_REGISTERS = const(2000), const(125)       # of one answer (6.1, 6.3)
FAILED = const(0x80)     # set in the function code of an exception
HEAD_BYTES, CRC_BYTES = const(3), const(2)

# kind: (registers, struct format). A register is big-endian; of two or four, which comes first differs by maker.
KINDS = {"u16": (1, ">H"), "s16": (1, ">h"), "u32": (2, ">I"), "s32": (2, ">i"), "f32": (2, ">f"), "u64": (4, ">Q"),
         "s64": (4, ">q")}


def crc16(data: "bytes | bytearray | memoryview") -> int:
    """The check of a frame, sent low byte first (appendix B): 0xA001 reflected, from 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def request(unit: int, function: int, start: int, count: int) -> bytes:
    """The frame that asks for `count` bits or registers from `start` on.

    Raises:
        CallerError: `modbus.request`.
    """
    most = MAX_BITS if function in (COILS, DISCRETE_INPUTS) else MAX_REGISTERS
    if not (1 <= unit <= 247 and COILS <= function <= INPUTS and start >= 0 and 1 <= count <= most and start + count <= 0x10000):
        raise CallerError("modbus.request", "unit %d, function %d, %d from %d" % (unit, function, count, start))
    return _framed(struct.pack(">BBHH", unit, function, start, count))


def answer_bytes(function: int, count: int) -> int:
    """How long the answer is, exceptions aside."""
    return HEAD_BYTES + (count + 7 >> 3 if function in (COILS, DISCRETE_INPUTS) else 2 * count) + CRC_BYTES


def parse(unit: int, function: int, count: int, frame: "bytes | bytearray") -> bytes:
    """The data of an answer.

    Returns:
        bytes: the registers as they came; of bits, eight to a byte, the first one lowest.

    Raises:
        SensorError: `modbus.silent`, `modbus.crc`, `modbus.answer` (of another unit, function or length), `modbus.exception`, its
            number in the message.
    """
    if not frame:
        raise SensorError("modbus.silent", "unit %d does not answer" % unit)
    if len(frame) < 5 or _framed(frame[:-2]) != bytes(frame):
        raise SensorError("modbus.crc", "got %d bytes that do not check" % len(frame))
    if frame[0] == unit and frame[1] == function | FAILED and len(frame) == 5:
        raise SensorError("modbus.exception", "unit %d refuses function %d: exception %d" % (unit, function, frame[2]))
    if frame[0] != unit or frame[1] != function or len(frame) != answer_bytes(function, count) or frame[2] != len(frame) - 5:
        raise SensorError("modbus.answer", "got %d bytes of unit %d, function %d" % (len(frame), frame[0], frame[1]))
    return bytes(frame[HEAD_BYTES:-CRC_BYTES])


def bit(data: bytes, index: int) -> int:
    """One of an answer's bits."""
    return data[index >> 3] >> (index & 7) & 1


def value(data: bytes, index: int, kind: str, low_word_first: bool = False, low_byte_first: bool = False) -> "int | float":
    """A number in an answer.

    Args:
        index: its first register, from 0. kind: of KINDS.
        low_word_first, low_byte_first: the maker's order, where it is not the standard's.
    """
    registers, layout = KINDS[kind]
    words = [data[2 * i:2 * i + 2] for i in range(index, index + registers)]
    if low_byte_first:
        words = [bytes((word[1], word[0])) for word in words]
    if low_word_first:
        words.reverse()
    number: int | float = struct.unpack(layout, b"".join(words))[0]
    return number


def silence_us(baud: int) -> int:
    """How long the line must be silent between frames: 3.5 characters of 11 bits, 1750 us above 19200 baud (2.5.1.1)."""
    return 1750 if baud > 19200 else 38_500_000 // baud


def _framed(body: "bytes | bytearray | memoryview") -> bytes:
    return bytes(body) + struct.pack("<H", crc16(body))
