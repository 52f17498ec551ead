"""Flash images: what goes in comes out, and what cannot be a table is refused by line."""

import subprocess

import pytest

from provisioning.line.image import (
    SECTOR_BYTES,
    ImageError,
    build_flash,
    build_vfs,
    read_partitions,
    read_table,
    read_vfs,
)
from tests.firmware.boards import CSV, FIRMWARE, MICROPYTHON, append_to_new_ring

FILES = {"/boot.py": b"x = 1\n", "/state/site.json": b"{}", "/factory/node/wire/a.mpy": bytes(range(256)) * 40, "/empty": b""}


def table(tmp_path, text):
    path = tmp_path / "p.csv"
    path.write_text(text)
    return path


def test_files_come_back_as_they_went_in():
    flash = build_flash(CSV, FILES)
    assert read_vfs(flash) == FILES
    assert len(flash) == 2 << 20
    assert build_flash(CSV, dict(reversed(FILES.items()))) == flash   # the same image whatever the order


def test_ring_of_a_new_image_is_empty_and_writable():
    flash = bytearray(build_flash(CSV, FILES))
    append_to_new_ring(flash)
    assert read_vfs(bytes(flash)) == FILES


def test_tables_of_board_and_simulator_are_sound():
    for name in ("partitions.csv", "partitions-8m.csv", "partitions-unix.csv"):
        labels = [one.label for one in read_partitions(FIRMWARE / "image" / name)]
        assert {"ring", "vfs"} <= set(labels)
    assert [one.label for one in read_table(build_flash(CSV, {}))] == ["vfs", "ring"]


@pytest.mark.parametrize(("text", "said"), [
    ("a, data, x, 0x1000\n", "p.csv:1: got 4 columns"),
    ("a, data, x, 0x1000, lots\n", "p.csv:1: got offset '0x1000' and size 'lots'"),
    ("# c\na, data, x, 0x1000, 0x1001\n", "p.csv:2: got 0x1000 + 0x1001"),
    ("a, data, x, 0x1000, 0x2000\nb, data, x, 0x2000, 0x1000\n", "p.csv:2: got offset 0x2000, expected 0x3000"),
])
def test_unusable_table_is_refused_by_line(tmp_path, text, said):
    with pytest.raises(ImageError) as caught:
        read_partitions(table(tmp_path, text))
    assert said in str(caught.value)


def test_table_that_leaves_no_room_for_itself_is_refused(tmp_path):
    with pytest.raises(ImageError, match="first sector"):
        build_flash(table(tmp_path, "vfs, data, littlefs, 0x0, 0x10000\n"), {})


def test_files_too_large_for_the_partition_are_refused():
    with pytest.raises(ImageError, match=r"/b: .* the files have 40000 of 32768 bytes"):
        build_vfs(8 * SECTOR_BYTES, {"/b": bytes(40000)})


def test_flash_of_something_else_is_refused():
    for flash in (b"\xff" * 8192, b'{"vfs": [4096, 32768]}' + b"\xff" * 40000, b"[]" + b"\xff" * 8192):
        with pytest.raises(ImageError):
            read_vfs(flash)


def test_micropython_writes_into_the_image_what_the_host_reads(tmp_path):
    boot = b'import os\nos.mkdir("/new")\nwith open("/new/file", "w") as f:\n    f.write("from the device " * 100)\n'
    boot += b"raise SystemExit\n"
    flash = tmp_path / "flash"
    flash.write_bytes(build_flash(CSV, {"/boot.py": boot}))
    (tmp_path / "bench").mkdir()
    rom = FIRMWARE / "board/unix/rom.py"
    subprocess.run([MICROPYTHON, rom, "--flash", flash, "--mac", "0242ac110001", "--bench", tmp_path / "bench"], check=True)
    assert read_vfs(flash.read_bytes()) == {"/boot.py": boot, "/new/file": b"from the device " * 100}
