"""MicroPython of our own: another board, an agent frozen in part and sources of another commit are not built."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from host.cli import boards, firmware
from host.cli.root import app
from node.errors import CallerError
from provisioning.interpreter import build, checkout
from provisioning.interpreter.check import check, check_table
from provisioning.interpreter.definition import CHIPS, MANIFEST, board_name, frozen_sources, render, sdkconfig_files
from provisioning.interpreter.manifest import ManifestError, read
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import read_vfs
from tests.provisioning.esp_images import ESP32, application, merged
from tests.provisioning.test_esp_image import FIRMWARE

IMAGE = FIRMWARE / "image"
PIN = checkout.read_pin(IMAGE / "micropython.json")
AGENT = dict.fromkeys(("main.py", "device.py", "board.py", "umqtt/simple.py", "board/unix/signal.py"), b"x = 1\n")
RECORD = {"release": "1.0.0", "counter": 1, "manifest": "", "model": "hall", "mpy": 6}


def rendered(name, agent=AGENT, /, **changes):
    board = boards.load(name).model_copy(update=changes)
    table = (IMAGE / board.partitions).read_text()
    return board, render(board_name(name), board, table, frozen_sources(agent, RECORD))


def settings(files):
    return dict(line.split("=", 1) for line in files["sdkconfig.board"].decode().splitlines())


@pytest.mark.parametrize("name", boards.names())
def test_every_profile_is_a_definition_with_its_flash_its_table_and_rollback(name):
    board, files = rendered(name)
    said = settings(files)
    assert [key for key, value in said.items() if "FLASHSIZE" in key and value == "y"] == [
        f"CONFIG_ESPTOOLPY_FLASHSIZE_{board.flash_bytes >> 20}MB"]
    assert said["CONFIG_BOOTLOADER_APP_ROLLBACK_ENABLE"] == "y"
    assert said["CONFIG_BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP"] == "n"
    assert said["CONFIG_PARTITION_TABLE_CUSTOM_FILENAME"] == f'"boards/{board_name(name)}/partitions.csv"'
    assert f"set(IDF_TARGET {board.chip})" in files["mpconfigboard.cmake"].decode()
    assert files["partitions.csv"] == (IMAGE / board.partitions).read_bytes()
    assert check(board, IMAGE / board.partitions, files, PIN).modules == len(AGENT)   # none of the simulated board, and the record


def test_psram_of_each_kind_is_told_and_none_where_there_is_none():
    for name, kind, expected in (("esp32-s3", "octal", ["spiram_sx", "spiram_oct"]), ("esp32-s3", "quad", ["spiram_sx"]),
                                 ("esp32-s3", None, []), ("t-a7670", "quad", ["spiram"]), ("esp32-c6", None, [])):
        board = boards.load(name).model_copy(update={"psram": kind})
        named = [file.rpartition("sdkconfig.")[2] for file in sdkconfig_files("X", board)]
        assert [each for each in named if each.startswith("spiram")] == expected
        assert named[-1] == "board"


def test_name_of_a_board_cannot_end_its_string():
    _, files = rendered("esp32-s3", name='a" \\ \u00e9\n')
    assert b'BOARD_NAME "a? ? ??"' in files["mpconfigboard.h"]


def test_flash_without_a_setting_is_refused():
    with pytest.raises(ValueError, match=r"flash_bytes: got 2097152, expected one of 4, 8, 16, 32 MiB"):
        rendered("esp32-s3", flash_bytes=2 << 20)


@pytest.mark.parametrize(("line", "named"), [
    ('freeze("$(BOARD_DIR)/frozen")', "got freeze"),
    ('freeze_as_str("$(PORT_DIR)/x")', "got freeze_as_str"), ("x = 1", "expected a call"),
    ('include("$(PORT_DIR)/" + x)', "values, not expressions"),
    ('package("tenfold", base_path="$(BOARD_DIR)/frozen", opt=9)', "opt: got 9"),
    ('package("other", base_path="$(BOARD_DIR)/frozen", opt=3)', "a folder of the definition"), ("(", "never closed"),
    ('package("tenfold", base_path="$(BOARD_DIR)/frozen", opt=3)', "frozen twice"), ('require("x", version="1")', "got require"),
])
def test_manifest_that_says_what_the_reader_does_not_know_is_refused(line, named):
    _, files = rendered("esp32-s3")
    with pytest.raises(ManifestError, match=named):
        read(MANIFEST + line + "\n", files)


def test_module_that_the_manifest_leaves_out_is_named():
    board, files = rendered("esp32-s3")
    files["manifest.py"] = MANIFEST.rpartition("package")[0].encode()
    with pytest.raises(CallerError, match=r"firmware\.manifest: umqtt/simple\.py.*not frozen"):
        check(board, IMAGE / board.partitions, files, PIN)


def test_module_that_does_not_compile_is_named():
    board, files = rendered("esp32-s3", {**AGENT, "device.py": b"def ("})
    with pytest.raises(CallerError, match=r"firmware\.module: device\.py"):
        check(board, IMAGE / board.partitions, files, PIN)


def test_modules_are_compiled_for_the_boards_chip():
    assert {chip: each.march for chip, each in CHIPS.items()} == {
        "esp32": "xtensawin", "esp32s3": "xtensawin", "esp32c3": "rv32imc", "esp32c6": "rv32imc"}
    native = {**AGENT, "device.py": b"import micropython\n@micropython.native\ndef f(): return 1\n"}
    sizes = []
    for name in ("esp32-s3", "esp32-c6"):
        board, files = rendered(name, native)
        sizes.append(check(board, IMAGE / board.partitions, files, PIN).agent_bytes)
    assert sizes[0] != sizes[1]


def test_agent_larger_than_its_slot_is_refused(tmp_path):
    small = tmp_path / "small.csv"
    small.write_text("otadata,data,ota,0xd000,0x2000\nota_0,app,ota_0,0x10000,0x1000\nota_1,app,ota_1,0x20000,0x1000\n")
    board, files = rendered("esp32-s3", {**AGENT, "device.py": b"x = b'" + b"a" * 5000 + b"'\n"})
    with pytest.raises(CallerError, match=r"firmware\.size: small\.csv: the agent alone takes"):
        check(board, small, files, PIN)


@pytest.mark.parametrize(("rows", "named"), [
    ("ota_0,app,ota_0,0x10000,0x1000\nota_1,app,ota_1,0x20000,0x1000\n", "and otadata"),
    ("otadata,data,ota,0xd000,0x2000\nota_0,app,ota_0,0x10000,0x1000\nota_1,app,ota_1,0x20000,0x2000\n", "of one size"),
    ("otadata,data,ota,0xd000,0x1000\nota_0,app,ota_0,0x10000,0x1000\nota_1,app,ota_1,0x20000,0x1000\n", "0x2000"),
    ("otadata,data,ota,0xd000,0x2000\nota_0,app,ota_0,0x10000,0x1000\nota_1,app,ota_1,0xf00000,0x1000\n", "does not fit"),
])
def test_table_that_an_update_could_not_use_is_refused(tmp_path, rows, named):
    table = tmp_path / "t.csv"
    table.write_text(rows)
    with pytest.raises(CallerError, match=named):
        check_table(table, 4 << 20)


def pinned(tmp_path):
    """A repository as the pinned one, on this machine, and its pin."""
    origin = tmp_path / "origin"
    git = ("git", "-C", str(origin), "-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "init", "-q", str(origin)], check=True)
    (origin / "py.c").write_text("1")
    for words in (("add", "."), ("commit", "-qm", "one"), ("tag", "v9.9.9")):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return PIN.model_copy(update={"repository": origin.as_uri(), "tag": "v9.9.9", "commit": commit})


def test_checkout_is_cloned_once_and_compared_each_time(tmp_path):
    pin = pinned(tmp_path)
    place = checkout.obtain(pin, tmp_path / "to")
    assert (checkout.obtain(pin, tmp_path / "to"), (place / "py.c").read_text()) == (place, "1")
    (place / "py.c").write_text("2")
    with pytest.raises(CallerError, match=r"firmware\.changed: .*py\.c is changed"):
        checkout.obtain(pin, tmp_path / "to")


def test_tag_that_was_moved_is_not_built(tmp_path):
    pin = pinned(tmp_path).model_copy(update={"commit": "0" * 40})
    with pytest.raises(CallerError, match=r"firmware\.commit: .*expected 0{40}"):
        checkout.obtain(pin, tmp_path / "to")


def test_without_the_network_the_message_says_what_to_fetch_and_where_to_put_it(tmp_path):
    pin = pinned(tmp_path).model_copy(update={"repository": (tmp_path / "nowhere").as_uri()})
    with pytest.raises(CallerError, match=rf"firmware\.offline: .*clone --recurse-submodules --branch v9\.9\.9 .*at {tmp_path}"):
        checkout.obtain(pin, tmp_path / "to")
    assert not (tmp_path / "to/v9.9.9").exists()


def test_commands_run_in_the_pinned_container_as_the_user(tmp_path):
    steps = build.steps(PIN, "TENFOLD_X", tmp_path, "docker", None, (7, 8))
    assert [step.command[-3:] for step in steps][-1] == ["-C", "/micropython/ports/esp32", "BOARD=TENFOLD_X"]
    for step in steps:
        assert step.command[:5] == ["docker", "run", "--rm", "--user", "7:8"]
        assert f"espressif/idf:{PIN.idf}" in step.command


def test_esp_idf_of_another_version_is_refused(tmp_path):
    (tmp_path / "tools/cmake").mkdir(parents=True)
    file = tmp_path / "tools/cmake/version.cmake"
    file.write_text("set(IDF_VERSION_MAJOR 5)\nset(IDF_VERSION_MINOR 5)\nset(IDF_VERSION_PATCH 1)\n")
    assert build.tool(PIN, tmp_path, None) == ""
    file.write_text(file.read_text().replace("PATCH 1", "PATCH 0"))
    with pytest.raises(CallerError, match=r"firmware\.idf: .*is ESP-IDF v5\.5\.0, expected v5\.5\.1"):
        build.tool(PIN, tmp_path, None)


def test_esp_idf_that_is_named_gives_its_environment_and_no_shell_reads_the_rest(tmp_path):
    (tmp_path / "export.sh").write_text("export HERE='from export'\n")
    first = build.steps(PIN, "X", tmp_path, "", tmp_path, (0, 0))[0]
    command = [*first.command[:4], sys.executable, "-c", "import os, sys; print(os.environ['HERE'], sys.argv[1])", "$(id);"]
    log, told = tmp_path / "log", []
    build.run(build.Step("look", command), log, told.append)
    assert (log.read_text(), told) == ("from export $(id);\n", ["look"])


def test_step_that_fails_shows_its_last_lines_and_progress_before(tmp_path):
    told = []
    step = build.Step("compile", [sys.executable, "-c", "print('[3/9] x.c'); print('boom'); raise SystemExit(3)"])
    with pytest.raises(CallerError, match=r"(?s)firmware\.step: compile: exit code 3.*boom"):
        build.run(step, tmp_path / "log", told.append)
    assert told == ["compile", "compile: 3 of 9"]


def test_image_without_the_agent_is_neither_delivered_nor_used_as_frozen(tmp_path):
    stock, table = tmp_path / "stock.bin", IMAGE / "partitions.csv"
    stock.write_bytes(merged())
    with pytest.raises(CallerError, match=r"firmware\.agent"):
        build.verify(stock, "esp32", table)
    done = CliRunner().invoke(app, ["image", "build", "--board", "esp32-generic", "--stock", str(stock), "--frozen",
                                    "--out", str(tmp_path / "flash.bin")])
    assert "--frozen: got an image without an agent of ours" in str(done.exception)


def test_image_of_our_own_goes_through_make_image_and_needs_no_factory_bundle(tmp_path):
    own, flash = tmp_path / "own.bin", tmp_path / "flash.bin"
    own.write_bytes(merged(app=application(ESP32, code=build.MARK + bytes(5000))))
    assert build.verify(own, "esp32", IMAGE / "partitions.csv").chip == "esp32"
    done = CliRunner().invoke(app, ["image", "build", "--board", "esp32-generic", "--stock", str(own), "--frozen",
                                    "--out", str(flash)])
    assert done.exit_code == 0, done.exception
    assert {"/boot.py", "/factory/board.json"} <= set(read_vfs(flash.read_bytes()))
    assert not {"/factory/bundle", "/factory/release.json"} & set(read_vfs(flash.read_bytes()))


def test_check_of_a_board_freezes_the_whole_agent():
    fetch_umqtt()
    done = CliRunner().invoke(app, ["firmware", "check", "--board", "esp32-c3", "--json"])
    assert done.exit_code == 0, done.exception
    said = json.loads(done.stdout)["esp32-c3"]
    assert said["modules"] == len([path for path in firmware._agent(None) if not path.startswith("board/unix/")]) + 1
    assert said["fits"] == "unknown"
    with pytest.raises(CallerError, match=r"firmware\.board"):
        CliRunner().invoke(app, ["firmware", "check"], catch_exceptions=False)
