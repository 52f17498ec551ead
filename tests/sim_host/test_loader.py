"""The simulated loader without tools: its answers byte by byte, faults counted, flashes that do not start."""

import hashlib
import struct
import zlib
from pathlib import Path

import pytest

from host.sim.boards import chips, slip, startup
from host.sim.boards.errors import BoardError
from host.sim.boards.faults import CablePulled, Fault, Faults, Kind
from host.sim.boards.flash import FlashFile
from host.sim.boards.loader import BAD_CHECKSUM, COMMANDS, FAILED, HELLO, OK, ROM_VERSION, UNKNOWN, Loader, checksum
from host.sim.boards.registers import Registers
from host.sim.flash import PowerCut
from tests.provisioning.secure_boards import flash_image

FLASH_BYTES = 1 << 20


def loader(folder: Path, chip: str = "esp32c3") -> tuple[Loader, FlashFile]:
    kind = chips.CHIPS[chip]
    flash = FlashFile(folder / "flash", FLASH_BYTES)
    return Loader(kind, Registers(kind, chips.born(kind, chips.mac(1)), FLASH_BYTES), flash), flash


def packet(name: str, body: bytes = b"", check: int = 0) -> bytes:
    return slip.encode(struct.pack("<BBHI", 0, COMMANDS[name], len(body), check) + body)


def ask(one: Loader, name: str, body: bytes = b"", check: int = 0) -> tuple[int, bytes]:
    """The value and the data of the first answer."""
    first = slip.Decoder().feed(one.feed(packet(name, body, check)))[0]
    kind, code, size, value = struct.unpack_from("<BBHI", first)
    assert (kind, code, size) == (1, COMMANDS[name], len(first) - 8)
    return value, first[8:]


def block(data: bytes, number: int) -> bytes:
    return struct.pack("<IIII", len(data), number, 0, 0) + data


def test_frames_that_come_in_single_bytes_are_put_together() -> None:
    packets = [b"\xc0\xdb\xdc\xdd", b"\xdb\xdc", b"x"]
    decoder = slip.Decoder()
    stream = b"".join(map(slip.encode, packets))
    assert [frame for byte in stream for frame in decoder.feed(bytes([byte]))] == packets
    assert not decoder.stray


def test_bytes_between_frames_are_told_apart() -> None:
    decoder = slip.Decoder()
    assert decoder.feed(b"\r\x03" + slip.encode(b"a") + b"b") == [b"a"]
    assert bytes(decoder.stray) == b"\r\x03b"


def test_rom_and_stub_are_told_apart_by_their_answers(tmp_path: Path) -> None:
    one, _ = loader(tmp_path)
    answers = slip.Decoder().feed(one.feed(packet("sync", b"\x07\x07\x12\x20" + b"U" * 32)))
    assert len(answers) == 8
    assert ask(one, "sync") == (ROM_VERSION, OK + bytes(2))
    assert ask(one, "erase-flash") == (0, UNKNOWN + bytes(2))
    frames = slip.Decoder().feed(one.feed(packet("mem-end", struct.pack("<II", 0, 0x40380000))))
    assert frames[1] == HELLO
    assert ask(one, "sync") == (0, OK)
    assert ask(one, "erase-flash") == (0, OK)
    assert ask(one, "read-flash-slow", bytes(8)) == (0, UNKNOWN)


def test_block_damaged_on_the_line_is_not_written(tmp_path: Path) -> None:
    one, flash = loader(tmp_path)
    assert ask(one, "flash-data", block(b"x", 0), checksum(b"x"))[1][:2] == FAILED   # nothing was begun
    ask(one, "flash-begin", struct.pack("<IIIII", 4096, 1, 1024, 0x1000, 0))
    assert ask(one, "flash-data", block(b"abc", 0), checksum(b"abd"))[1][:2] == BAD_CHECKSUM
    assert flash.read(0x1000, 3) == b"\xff" * 3
    assert ask(one, "flash-data", block(b"abc", 1), checksum(b"abc"))[1][:2] == OK
    assert flash.read(0x1400, 3) == b"abc"


def test_what_lies_beyond_the_flash_is_refused(tmp_path: Path) -> None:
    one, _ = loader(tmp_path)
    for name in ("flash-begin", "flash-defl-begin"):
        assert ask(one, name, struct.pack("<IIII", 8192, 2, 4096, FLASH_BYTES - 4096))[1][:2] == FAILED
    assert ask(one, "spi-flash-md5", struct.pack("<IIII", FLASH_BYTES, 1, 0, 0))[1][:2] == FAILED
    assert ask(one, "flash-begin", b"")[1][:2] == FAILED


def test_compressed_data_that_is_none_is_refused(tmp_path: Path) -> None:
    one, flash = loader(tmp_path)
    content = bytes(range(256)) * 40
    packed = zlib.compress(content)
    ask(one, "flash-defl-begin", struct.pack("<IIII", len(content), 2, 20, 0x2000))
    for number in range(0, len(packed), 20):
        assert ask(one, "flash-defl-data", block(packed[number:number + 20], number // 20),
                   checksum(packed[number:number + 20]))[1][:2] == OK
    assert flash.read(0x2000, len(content)) == content
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest().encode()
    assert ask(one, "spi-flash-md5", struct.pack("<IIII", 0x2000, len(content), 0, 0))[1][:32] == digest
    ask(one, "flash-defl-begin", struct.pack("<IIII", 4096, 1, 20, 0))
    assert ask(one, "flash-defl-data", block(b"nonsense", 0), checksum(b"nonsense"))[1][:2] == FAILED


def test_reading_sends_no_more_ahead_than_the_host_wants(tmp_path: Path) -> None:
    one, flash = loader(tmp_path)
    flash.program(0, b"tenfold")
    one.feed(packet("mem-end", struct.pack("<II", 0, 1)))
    frames = slip.Decoder().feed(one.feed(packet("read-flash", struct.pack("<IIII", 0, 5000, 1024, 2))))
    assert [len(frame) for frame in frames[1:]] == [1024, 1024]
    for acknowledged, sent in ((1024, 1), (2048, 1), (3072, 1), (4096, 0)):
        assert len(slip.Decoder().feed(one.feed(slip.encode(struct.pack("<I", acknowledged))))) == sent
    digest, = slip.Decoder().feed(one.feed(slip.encode(struct.pack("<I", 5000))))
    assert digest == hashlib.md5(flash.read(0, 5000), usedforsecurity=False).digest()


@pytest.mark.parametrize("data", [b"", b"a", b"ab\xef", bytes(range(256)) * 5 + b"\x01"])
def test_checksum_is_every_bytes_xor(data: bytes) -> None:
    slow = 0xEF
    for byte in data:
        slow ^= byte
    assert checksum(data) == slow


def test_power_that_goes_leaves_half_an_operation(tmp_path: Path) -> None:
    _, flash = loader(tmp_path)
    flash.cut_power_at(2)
    with pytest.raises(PowerCut):
        flash.program(0x1000, b"a" * 8192)
    assert flash.read(0x1000, 8192) == b"a" * 6144 + b"\xff" * 2048
    flash.power_on()
    flash.erase(0x1000, 8192)
    assert flash.read(0x1000, 8192) == b"\xff" * 8192


def test_cable_comes_out_at_the_byte_and_at_the_command_it_should() -> None:
    faults = Faults()
    faults.add(Fault.parse("cable-bytes:10"))
    assert faults.heard(b"1234567") == (b"1234567", False)
    assert faults.heard(b"890xx") == (b"890", True)
    assert faults.heard(b"again") == (b"again", False)
    faults.add(Fault.parse("cable-command:flash-data*2"))
    faults.command("flash-data")
    faults.command("sync")
    with pytest.raises(CablePulled):
        faults.command("flash-data")
    faults.command("flash-data")


def test_noise_comes_before_each_nth_answer() -> None:
    faults = Faults()
    faults.add(Fault(Kind.NOISE, 2))
    noisy = [faults.answered(b"answer") != b"answer" for _ in range(4)]
    assert noisy == [False, True, False, True]


@pytest.mark.parametrize("text", ["", "fire", "slow", "slow:x", "cable-command:dance", "power:"])
def test_fault_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BoardError, match="expected one of"):
        Fault.parse(text)


@pytest.mark.parametrize(("spoil", "said"), [
    (slice(0x1000, 0x2000), "invalid header: 0xffffffff"), (slice(0x1100, 0x1101), "bootloader"),
    (slice(0x8000, 0x9000), "partition table"), (slice(0x10100, 0x10101), "ota_0 at 0x10000 is damaged"),
    (slice(0x10000, 0x11000), "ota_0 at 0x10000 has no image"),
])
def test_damaged_flash_does_not_start(spoil: slice, said: str) -> None:
    flash = bytearray(flash_image("esp32"))
    assert startup.find("esp32", lambda at, size: bytes(flash[at:at + size])).label == "ota_0"
    flash[spoil] = b"\xff" * len(flash[spoil])
    with pytest.raises(startup.NothingToRunError, match=said):
        startup.find("esp32", lambda at, size: bytes(flash[at:at + size]))
