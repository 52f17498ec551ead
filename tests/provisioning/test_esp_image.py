"""Stock images and flashes of an ESP32: what is not a whole, sound image for a chip of ours never reaches a board."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from esptool.bin_image import LoadFirmwareImage
from typer.testing import CliRunner

from host.cli.root import app
from provisioning.line import esp_image
from provisioning.line.esp_image import build_esp_flash, layout, read_stock, rooms
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import (
    TABLE_BYTES,
    ImageError,
    Partition,
    base_files,
    decode_table,
    device_files,
    encode_table,
    read_partitions,
    read_table,
    read_vfs,
)
from tests.firmware.boards import append_to_new_ring
from tests.provisioning.esp_images import ESP32, ESP32C2, ESP32C3, ESP32C6, ESP32S3, STOCK_TABLE, application, merged

MIB = 1 << 20
FIRMWARE = Path(__file__).parents[2] / "firmware"
LAYOUT = FIRMWARE / "image" / "partitions.csv"
FILES = {"/boot.py": b"x = 1\n", "/factory/release.json": b"{}"}


@pytest.fixture
def stock_file(tmp_path):
    def write(raw):
        path = tmp_path / "stock.bin"
        path.write_bytes(raw)
        return path
    return write


def changed(raw, at, value):
    return raw[:at] + value + raw[at + len(value):]


@pytest.mark.parametrize(("name", "chip"), [("esp32", ESP32), ("esp32c3", ESP32C3), ("esp32s3", ESP32S3), ("esp32c6", ESP32C6)])
def test_stock_image_becomes_a_flash_in_our_layout(stock_file, name, chip):
    stock = read_stock(stock_file(merged(chip)))
    assert (stock.chip, stock.bootloader_offset, stock.version, stock.project, stock.idf) == (
        name, chip[1], "v1.26.0", "micropython", "v5.4.2")
    assert stock.app == application(chip)

    flash = build_esp_flash(stock, LAYOUT, FILES)
    assert len(flash) == 4 * MIB
    assert read_table(flash) == read_partitions(LAYOUT)
    assert read_vfs(flash) == FILES
    assert flash[0x10000:0x10000 + len(stock.app)] == stock.app
    assert flash[chip[1]:chip[1] + len(stock.bootloader)] == stock.bootloader   # it says 4 MB already
    for label in ("nvs", "otadata", "phy_init", "ota_1", "ring"):
        one = next(one for one in read_table(flash) if one.label == label)
        assert set(flash[one.offset:one.end]) == {0xFF}, label
    assert build_esp_flash(stock, LAYOUT, dict(reversed(FILES.items()))) == flash   # the same image whatever the order


def test_version_of_an_application_that_says_none_is_empty(stock_file):
    for silent in (application(ESP32, version=""), application(ESP32, version="", digest=False)):
        stock = read_stock(stock_file(merged(app=silent)))
        assert (stock.version, stock.app) == ("", silent)


def test_bytes_behind_the_application_are_left_behind(stock_file):
    assert read_stock(stock_file(merged() + b"\xff" * 5000)).app == application(ESP32)


@pytest.mark.parametrize(("raw", "said"), [
    (b"", "stock.bin: empty; expected a board's full image"),
    (b"UF2\n" + bytes(508), "got a UF2 file, no ESP image"),
    (b"<!DOCTYPE html>", "got 3c 21 44 4f at its start, no ESP image"),
    (b"\xe9\x03", "bootloader: cut off or damaged"),
    (application(ESP32), "got an application alone, without bootloader and partition table"),
    (application(ESP32, version="", code=bytes(0x9000)), "got an application alone"),
    (merged(ESP32C2), "got an image for esp32c2, expected one for esp32, esp32s3, esp32c3, esp32c6"),
    (merged()[:0x800], "bootloader: cut off or damaged"),
    (merged()[:0x7000], "cut off at 0x8000 of the flash, before its partition table's end"),
    (merged()[:0xF000], "application at 0x10000: cut off"),
    (merged()[:0xF800], "application at 0x10000: cut off"),
    (merged()[:-60], "application at 0x10000: cut off"),
    (merged()[:-1], "application at 0x10000: cut off or damaged: got SHA-256"),
    (changed(merged(), len(merged()) - 1, b"\0"), "application at 0x10000: cut off or damaged: got SHA-256"),
    (changed(merged(), 0xF300, b"\xa5"), "application at 0x10000: damaged: got checksum"),
    (changed(merged(), 0x0200, b"\0"), "bootloader: damaged: got checksum"),
    (changed(merged(), 0x7004, b"\1"), "partition table: its MD5 is wrong"),
    (merged(table=b"\xff" * TABLE_BYTES), "partition table: got ffff in row 0, expected aa50 or an MD5"),
    (merged(table=encode_table(STOCK_TABLE[:1])), "got nvs, expected an application too: factory or ota_0"),
    (merged(app=application(ESP32C3)), "got an application for esp32c3, expected esp32 as its bootloader is"),
])
def test_what_is_no_sound_stock_image_is_refused(stock_file, raw, said):
    with pytest.raises(ImageError) as caught:
        read_stock(stock_file(raw))
    assert said in str(caught.value)


def test_missing_stock_image_says_where_to_get_it(tmp_path):
    with pytest.raises(ImageError, match=r"no such file\. Download the full image for your board from micropython\.org"):
        read_stock(tmp_path / "ESP32_GENERIC.bin")


def test_bootloader_is_told_the_size_of_a_larger_flash(stock_file):
    stock = read_stock(stock_file(merged()))
    flash = build_esp_flash(stock, LAYOUT.parent / "partitions-8m.csv", FILES, 16 * MIB)
    boot = LoadFirmwareImage("esp32", flash[0x1000:0x8000])
    assert boot.flash_size_freq & 0xF0 == 0x40   # 16 MB
    assert boot.stored_digest == boot.calc_digest
    assert boot.segments[0].data == b"\x07" * 0x1000
    assert len(flash) == 16 * MIB
    assert rooms(stock, flash)[-1] == esp_image.Room("(no partition)", 0, 8 * MIB)


VFS = "vfs, data, littlefs, 0x390000, 0x70000\n"


@pytest.mark.parametrize(("csv", "said"), [
    ("nvs, data, nvs, 0x8000, 0x1000\nota_0, app, ota_0, 0x10000, 0x10000\n" + VFS, "got nvs at 0x8000, expected 0x9000 or more"),
    ("ota_0, app, ota_0, 0x10000, 0x10000\n", "got ota_0, expected a partition 'vfs' too"),
    ("ota_0, app, ota_0, 0x10000, 0x4000\n" + VFS, "ota_0 has 16384 bytes, the stock application takes 16720"),
    ("ota_0, app, ota_0, 0x10000, 0x10000\nota_1, app, ota_1, 0x20000, 0x4000\n" + VFS, "ota_1 has 16384 bytes"),
    ("ota_0, app, ota_0, 0x10000, 0x10000\n" + VFS.replace("0x7", "0x8"), "vfs ends at 0x410000, the flash at 0x400000"),
    ("ota_0, app, ota_0, 0x11000, 0x10000\n" + VFS, "got offset 0x11000, expected a multiple of 0x10000"),
])
def test_table_that_cannot_hold_it_is_refused(stock_file, tmp_path, csv, said):
    (tmp_path / "p.csv").write_text(csv)
    with pytest.raises(ImageError) as caught:
        build_esp_flash(read_stock(stock_file(merged())), tmp_path / "p.csv", FILES)
    assert said in str(caught.value)


def test_what_does_not_fit_is_refused_with_its_size(stock_file):
    stock = read_stock(stock_file(merged()))
    for change, files, size, said in [
        ({"app": bytes(0x1B0001)}, FILES, 4 * MIB, "ota_0 has 1769472 bytes, the stock application takes 1769473"),
        ({"bootloader": bytes(0x7001)}, FILES, 4 * MIB, "bootloader: got 28673 bytes, expected at most 28672"),
        ({}, {"/large": bytes(460_000)}, 4 * MIB, "/large: .* of 458752 bytes"),
        ({}, FILES, 2 * MIB, "flash size: got 2097152 bytes, expected one of 4MB, 8MB"),
        ({}, FILES, 4 * MIB + 1, "flash size: got 4194305 bytes"),
    ]:
        with pytest.raises(ImageError, match=said):
            build_esp_flash(replace(stock, **change), LAYOUT, files, size)


@pytest.mark.parametrize(("size", "name"), [("4MB", "partitions.csv"), ("8MB", "partitions-8m.csv"), ("16MB", "partitions-16m.csv"),
                                            ("32mb", "partitions-16m.csv")])
def test_layout_follows_the_size_of_the_flash(size, name):
    csv = layout(LAYOUT.parent, esp_image.flash_size(size))
    assert csv.name == name
    slots = [one.size for one in read_partitions(csv) if one.type == "app"]
    assert slots[0] == slots[1]   # an application that fits one fits the other


@pytest.mark.parametrize("text", ["4", "4KB", "MB", "-4MB", "", "2MB"])
def test_flash_size_without_a_layout_is_refused(text):
    with pytest.raises(ImageError, match="flash size: got"):
        layout(LAYOUT.parent, esp_image.flash_size(text))


def test_ring_of_a_new_flash_is_empty_and_writable(stock_file):
    flash = bytearray(build_esp_flash(read_stock(stock_file(merged())), LAYOUT, FILES))
    append_to_new_ring(flash)
    assert read_vfs(bytes(flash)) == FILES


def test_table_keeps_every_row_and_shows_damage():
    rows = [*read_partitions(LAYOUT), Partition("sixteen bytes ok", "0x40", "0x7", 0x400000, 0x1000)]
    raw = encode_table(rows)
    assert len(raw) == TABLE_BYTES
    assert decode_table(raw) == decode_table(raw + b"\xff" * 0x400) == rows
    for damaged in (changed(raw, 4, b"\1"), changed(raw, 32 * len(rows) + 20, b"\0"), raw[:64], b"", changed(raw, 32, b"\0\0")):
        with pytest.raises(ImageError, match="partition table: "):
            decode_table(damaged)


@pytest.mark.parametrize(("row", "said"), [
    (Partition("a", "game", "nvs", 0x9000, 0x1000), "partition 'a': got 'game', expected one of app, data or a number"),
    (Partition("a", "data", "0x1ff", 0x9000, 0x1000), "partition 'a': got '0x1ff', expected one of ota, phy, nvs"),
    (Partition("seventeen bytes..", "data", "nvs", 0x9000, 0x1000), "got a label of 17 bytes, expected 1..16"),
    (Partition("a", "app", "ota_0", 0x9000, 0x1000), "got offset 0x9000, expected a multiple of 0x10000"),
])
def test_row_that_no_bootloader_would_read_is_refused(row, said):
    with pytest.raises(ImageError) as caught:
        encode_table([row])
    assert said in str(caught.value)


def test_table_of_too_many_rows_is_refused():
    rows = [Partition(f"p{number}", "data", "0x40", 0x9000 + number * 0x1000, 0x1000) for number in range(95)]
    assert decode_table(encode_table(rows[:94])) == rows[:94]
    with pytest.raises(ImageError, match="got 95 rows, expected at most 94"):
        encode_table(rows)


def test_image_without_a_plant_holds_no_trust_and_no_site():
    code, release = {"main.mpy": b"M"}, {"release": "1.0.0"}
    base = base_files(FIRMWARE, code, release, boots=7)
    whole = device_files(FIRMWARE, code, release, ca_der=b"ca", root=b"root", site={}, boots=7)
    assert {path: data for path, data in whole.items() if path not in base} == {
        "/trust/ca.der": b"ca", "/trust/root.bin": b"root", "/state/site.json": b"{}"}
    assert base.items() <= whole.items()


def test_command_builds_a_flash_and_tells_the_room(stock_file, tmp_path, monkeypatch, capfd):
    fetch_umqtt(FIRMWARE.parent / "build")
    (tmp_path / "build").symlink_to(FIRMWARE.parent / "build")
    monkeypatch.chdir(tmp_path)
    stock, out = stock_file(merged()), tmp_path / "new" / "flash.bin"
    command = ["image", "build", "--stock", str(stock), "--out", str(out), "--release", "7.0.0", "--counter", "7"]
    told = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    flash = out.read_bytes()
    report = json.loads(told.stdout)
    assert (report["chip"], report["size"], report["sha256"]) == ("esp32", 4 * MIB, hashlib.sha256(flash).hexdigest())
    parts = {part["part"]: part for part in report["parts"]}
    assert list(parts) == ["bootloader", *(one.label for one in read_partitions(LAYOUT))]
    assert parts["ota_0"] == {"part": "ota_0", "used": len(application(ESP32)), "size": 0x1B0000}
    assert 50_000 < parts["vfs"]["used"] < parts["vfs"]["size"]
    files = read_vfs(flash)
    assert json.loads(files["/factory/release.json"])["release"] == "7.0.0"
    assert {"/boot.py", "/choose.py", "/stub.py", "/state/boot_count"} <= set(files)
    assert not [path for path in files if path.startswith("/trust") or path in ("/state/site.json", "/state/wifi.json")]
    table = CliRunner().invoke(app, command, catch_exceptions=False).output
    assert "ota_0" in table
    assert "Next: tenfold flash" in table
    assert capfd.readouterr().out == ""   # esptool's own progress stays away from ours
