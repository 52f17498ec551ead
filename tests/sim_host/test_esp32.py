"""What is known of an emulated board without the emulator: eFuse bytes, command lines, and refusals that say what to do."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from host.sim.door import join
from host.sim.errors import DemoError
from host.sim.esp32 import efuse, line
from host.sim.esp32.qemu import MODELS, Emulator, EmulatorError, check
from node.wire.identity import is_device_id
from provisioning.errors import ProvisioningError
from provisioning.line.image import ImageError
from provisioning.line.serial import SITE, provision

FAKE = """#!{python}
import sys
version, machines, complaint = {version!r}, {machines!r}, {complaint!r}
if "--version" in sys.argv:
    print(version)
elif "help" in sys.argv:
    print("Supported machines are:")
    for machine in machines:
        print(machine + "   a machine")
else:
    assert "quit" in sys.stdin.read()
    sys.stderr.write(complaint)
    sys.exit({code})
"""


def fake_qemu(folder: Path, version: str = "QEMU emulator version 8.1", machines: tuple[str, ...] = ("none", "esp32"),
              complaint: str = "", code: int = 0) -> Path:
    """A program that answers as a QEMU does."""
    program = folder / "qemu-system-fake"
    program.write_text(FAKE.format(python=sys.executable, version=version, machines=machines, complaint=complaint, code=code))
    program.chmod(0o755)
    return program


def refusal(program: Path, chip: str = "esp32", roms: Path | None = None) -> str:
    with pytest.raises(EmulatorError) as caught:
        check(program, chip, roms)
    return str(caught.value)


def test_chip_with_a_wrong_mac_checksum_would_not_start() -> None:
    assert efuse.crc8(b"123456789") == 0xA1   # the published check value of CRC-8/MAXIM-DOW
    mac = bytes.fromhex("0242ac120001")
    fuses = efuse.image("esp32", mac)
    assert fuses[4:11] == mac[::-1] + bytes([efuse.crc8(mac)])
    assert fuses[12:16] == bytes.fromhex("00800000")
    assert len(fuses) == 124


def test_c3_that_is_too_old_for_the_image_would_not_start() -> None:
    fuses = efuse.image("esp32c3", bytes.fromhex("0242ac12abcd"))
    assert fuses[0x18:0x1E] == bytes.fromhex("cdab12ac4202")
    assert int.from_bytes(fuses[0x24:0x28], "little") >> 18 & 7 == 3
    assert len(fuses) == 1024


def test_boards_never_share_an_address_with_each_other_or_a_foreign_maker() -> None:
    macs = [efuse.mac(number) for number in (1, 2, 0xFFFF)]
    assert len(set(macs)) == 3
    assert all(mac[0] & 3 == 2 for mac in macs)   # locally administered, no group address
    assert all(is_device_id(line.device(number)) for number in (1, 0xFFFF))


@pytest.mark.parametrize("chip", MODELS)
def test_every_chip_has_fuses_and_channels(chip: str) -> None:
    assert efuse.image(chip, efuse.mac(1))
    assert line.CHANNELS[chip]


def test_comma_in_a_path_is_not_read_as_an_option() -> None:
    argv = Emulator(Path("/q"), "esp32").argv(Path("/a,readonly=on.bin"), Path("/e"), 7)
    assert "file=/a,,readonly=on.bin,if=mtd,format=raw" in argv
    assert "socket,id=uart,fd=7,server=on,wait=on" in argv


def test_roms_are_named_only_when_the_user_names_them() -> None:
    assert "-L" not in Emulator(Path("/q"), "esp32").argv(Path("/f"), Path("/e"), 7)
    argv = Emulator(Path("/q"), "esp32", Path("/roms")).argv(Path("/f"), Path("/e"), 7)
    assert argv[argv.index("-L") + 1] == "/roms"


def test_loaded_machine_ends_a_chips_deadlines_early() -> None:
    assert "-icount" not in Emulator(Path("/q"), "esp32").argv(Path("/f"), Path("/e"), 7)   # the demo's chip knows the time of day
    argv = Emulator(Path("/q"), "esp32", steady=True).argv(Path("/f"), Path("/e"), 7)
    assert argv[argv.index("-icount") + 1] == "shift=4,sleep=on"


def test_missing_qemu(tmp_path: Path) -> None:
    assert "--qemu" in refusal(tmp_path / "gone")


def test_qemu_that_may_not_be_executed(tmp_path: Path) -> None:
    program = fake_qemu(tmp_path)
    program.chmod(0o644)
    if os.access(program, os.X_OK) or not stat.S_ISREG(program.stat().st_mode):
        pytest.skip("this user may execute everything")
    assert "chmod +x" in refusal(program)


def test_program_of_another_machine(tmp_path: Path) -> None:
    program = tmp_path / "qemu-system-xtensa"
    program.write_bytes(b"\x7fELF, but not for this machine")
    program.chmod(0o755)
    assert "cannot be started" in refusal(program)


def test_program_that_is_not_qemu(tmp_path: Path) -> None:
    assert "is not QEMU" in refusal(fake_qemu(tmp_path, version="some other program 1.0"))


def test_qemu_for_another_chip(tmp_path: Path) -> None:
    message = refusal(fake_qemu(tmp_path, machines=("none", "esp32c3-picsimlab")))
    assert "esp32c3" in message
    assert "qemu-system-xtensa" in message


def test_qemu_without_the_chips(tmp_path: Path) -> None:
    assert "no machine esp32" in refusal(fake_qemu(tmp_path, machines=("none", "virt")))


def test_qemu_without_wifi(tmp_path: Path) -> None:
    warning = "qemu: warning: requested NIC (anonymous, model esp32_wifi) was not created (not supported by this machine?)\n"
    assert "without Wi-Fi" in refusal(fake_qemu(tmp_path, complaint=warning))


def test_qemu_that_does_not_find_its_roms(tmp_path: Path) -> None:
    message = refusal(fake_qemu(tmp_path, complaint="could not load ROM esp32-v3-rom.bin\n", code=1))
    assert "esp32-v3-rom.bin" in message
    assert "--roms" in message


def test_rom_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "no such folder" in refusal(fake_qemu(tmp_path), roms=tmp_path / "gone")


def test_chip_that_nobody_emulates(tmp_path: Path) -> None:
    assert "esp32c6" in refusal(fake_qemu(tmp_path), chip="esp32c6")


def test_qemu_that_can_is_taken(tmp_path: Path) -> None:
    assert check(fake_qemu(tmp_path), "esp32").chip == "esp32"


def test_missing_image_is_told_before_qemu(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        line.Parts.find(tmp_path / "gone", tmp_path / "gone.bin", line.Wifi())


def test_password_never_stands_on_a_command_line(tmp_path: Path) -> None:
    argv = Emulator(Path("/q"), "esp32").argv(tmp_path / "f", tmp_path / "e", 7)
    written = line.files(line.Wifi("net", "s3cret"), {"host": "localhost"}, b"ca", b"root", 1_800_000_000)
    assert b"s3cret" in written["/state/wifi.json"]
    assert not any("s3cret" in word for word in argv)
    assert list(written)[-1] == SITE


def test_site_keeps_the_plants_words_but_the_boards_own_way_to_it() -> None:
    site = line.site({"host": "localhost", "mqtt_port": 1, "channels": [], "lot": "x"}, "esp32", "lot", 1_800_000_000)
    assert (site["host"], site["mqtt_port"], site["address"], site["ntp"]) == ("localhost", 1, line.GATEWAY, "")
    assert (site["lot"], site["time_floor_s"]) == ("lot", 1_800_000_000)
    assert site["channels"] == line.CHANNELS["esp32"]


def test_serial_port_where_nobody_answers_is_told_with_the_port() -> None:
    with pytest.raises(ProvisioningError, match=r"socket://127\.0\.0\.1:1:"):
        provision("socket://127.0.0.1:1", {SITE: b"{}"})


def test_board_is_not_sent_off_without_its_site() -> None:
    with pytest.raises(ProvisioningError, match=SITE):
        provision("socket://127.0.0.1:1", {"/trust/ca.der": b"x"})


def test_no_demo_to_join_is_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="KEEP=1"):
        join(tmp_path)


def test_command_ends_in_one_line(tmp_path: Path) -> None:
    command = [str(Path(sys.prefix) / "bin" / "tenfold"), "sim", "esp32", "--qemu", "/gone", "--image", str(tmp_path / "gone.bin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "gone.bin" in done.stderr
