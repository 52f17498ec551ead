"""Pinned stock images: what is not the file that somebody looked at never reaches a board."""

import functools
import hashlib
import http.server
import json
import re
import threading

import pytest
from typer.testing import CliRunner

from host.cli import boards, image
from host.cli.root import app
from provisioning.line import stock
from provisioning.line.fetch import FetchError, fetch_umqtt
from provisioning.line.image import read_partitions, read_table, read_vfs
from tests.provisioning.esp_images import ESP32, ESP32C6, ESP32S3, merged
from tests.provisioning.test_esp_image import FIRMWARE

NAME, FILE = "ESP32_GENERIC", "ESP32_GENERIC-20250101-v9.9.9.bin"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Nobody wants to read it."""


@pytest.fixture
def site(tmp_path):
    """A download place on loopback: (its folder, its address)."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def lock(tmp_path):
    place = tmp_path / FILE
    place.write_bytes(merged())
    stock.pin(tmp_path / "lock.json", NAME, place, "a test's")
    return tmp_path / "lock.json"


def test_image_is_downloaded_once_and_by_its_hash(site, lock, tmp_path):
    folder, base = site
    (folder / FILE).write_bytes(merged())
    place = stock.obtain(NAME, lock, tmp_path / "cache", base)
    assert place.read_bytes() == merged()
    (folder / FILE).unlink()
    assert stock.obtain(NAME, lock, tmp_path / "cache", base) == place


@pytest.mark.parametrize("served", [merged() + b"\0", b"", b"<html>"])
def test_download_that_is_another_file_is_kept(site, lock, tmp_path, served):
    folder, base = site
    (folder / FILE).write_bytes(served)
    with pytest.raises(FetchError, match=r"stock\.hash: .*: it is not the file that was pinned|do not flash it"):
        stock.obtain(NAME, lock, tmp_path / "cache", base)
    assert not list((tmp_path / "cache").iterdir())


def test_cached_file_that_was_changed_is_used(site, lock, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FILE).write_bytes(merged(boot_bytes=0x1010))
    with pytest.raises(FetchError, match=r"stock\.hash: .*delete it"):
        stock.obtain(NAME, lock, tmp_path / "cache", site[1])


def test_offline_without_what_to_fetch_and_where_to_put_it(site, lock, tmp_path):
    with pytest.raises(FetchError) as caught:
        stock.obtain(NAME, lock, tmp_path / "cache", site[1])   # 404
    for said in ("stock.offline", site[1] + FILE, hashlib.sha256(merged()).hexdigest(), str(tmp_path / "cache" / FILE)):
        assert said in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())


def test_board_without_a_pinned_image_guesses_one(lock):
    with pytest.raises(FetchError, match=r"stock\.unpinned: no ESP32_GENERIC-SPIRAM image is pinned\. Download ESP32_GENERIC-SPIRAM"
                                         r"-.*micropython\.org/download/ESP32_GENERIC/ and name it"):
        stock.obtain("ESP32_GENERIC-SPIRAM", lock)


@pytest.mark.parametrize("name", [
    "ESP32_GENERIC.bin", "ESP32_GENERIC_C3-20250101-v9.9.9.bin", "ESP32_GENERIC-20250101-v9.9.9.app-bin"])
def test_file_of_another_name_is_pinned(tmp_path, name):
    (tmp_path / name).write_bytes(merged())
    with pytest.raises(FetchError, match=r"stock\.name: got"):
        stock.pin(tmp_path / "lock.json", NAME, tmp_path / name, "")


def test_file_with_a_pinned_name_and_other_bytes(lock, tmp_path):
    stock.check_named(tmp_path / FILE, lock)
    stock.check_named(tmp_path / "mine.bin", lock)
    (tmp_path / FILE).write_bytes(merged() + b"\0")
    with pytest.raises(FetchError, match=r"stock\.hash: "):
        stock.check_named(tmp_path / FILE, lock)


def test_lock_file_that_nobody_can_read(tmp_path):
    (tmp_path / "lock.json").write_text('{"ESP32_GENERIC": {"file": 1}}')
    with pytest.raises(FetchError, match=r"stock\.lock: "):
        stock.read_lock(tmp_path / "lock.json")


def test_shipped_lock_names_no_image_of_a_board():
    known = {boards.load(name).stock.image for name in boards.names()}
    pins = stock.read_lock(image.LOCK)
    assert pins
    assert set(pins) <= known
    for name, one in pins.items():
        assert stock.FILE_NAME.fullmatch(one.file)["image"] == name
        assert len(bytes.fromhex(one.sha256)) == 32


def built(monkeypatch, tmp_path, *arguments):
    fetch_umqtt(FIRMWARE.parent / "build")
    (tmp_path / "build").symlink_to(FIRMWARE.parent / "build")
    monkeypatch.chdir(tmp_path)
    return CliRunner().invoke(app, ["image", "build", "--out", "flash.bin", *arguments])


@pytest.mark.parametrize(("board", "chip", "size"), [
    ("wt32-eth01", ESP32, 4), ("esp32-c6", ESP32C6, 8), ("feathers3", ESP32S3, 16)])
def test_board_gets_the_flash_table_or_pins_of_another(monkeypatch, tmp_path, board, chip, size):
    (tmp_path / "stock.bin").write_bytes(merged(chip))
    told = built(monkeypatch, tmp_path, "--board", board, "--stock", "stock.bin", "--json")
    assert told.exit_code == 0, told.exception
    flash = (tmp_path / "flash.bin").read_bytes()
    assert len(flash) == size << 20
    profile = boards.load(board)
    assert read_table(flash) == read_partitions(FIRMWARE / "image" / profile.partitions)
    said = json.loads(read_vfs(flash)["/factory/board.json"])
    assert said["board"] == board
    assert said["network"]["kind"] == profile.network.kind
    assert said["pins"]["i2c_scl"] == profile.pins["i2c_scl"].gpio
    assert json.loads(told.stdout)["board"] == board


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "expected --board (tenfold boards list) or --stock"),
    (["--board", "esp32-c3", "--stock", "stock.bin"], "got an image for esp32, but esp32-c3 has an esp32c3"),
    (["--board", "wt32-eth01", "--stock", "stock.bin", "--flash-size", "8MB"], "got 8MB, but wt32-eth01 has 4MB"),
    (["--board", "esp32-poe"], "stock.unpinned: no OLIMEX_ESP32_POE image is pinned"),
])
def test_image_for_a_board_that_cannot_run_it(monkeypatch, tmp_path, arguments, said):
    (tmp_path / "stock.bin").write_bytes(merged())
    told = built(monkeypatch, tmp_path, *arguments)
    assert told.exit_code == 1
    assert said in str(told.exception)
    assert not (tmp_path / "flash.bin").exists()


def test_refusal_that_the_readme_does_not_explain():
    source = (FIRMWARE.parent / "provisioning/line/stock.py").read_text(encoding="utf-8")
    readme = (FIRMWARE.parent / "provisioning/README.md").read_text(encoding="utf-8")
    codes = set(re.findall(r'"(stock\.[a-z]+): ', source))
    assert len(codes) >= 6
    assert codes == set(re.findall(r"`(stock\.[a-z]+)`", readme))


def test_pin_of_another_chips_image(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / FILE).write_bytes(merged())
    run = ["image", "pin", "--stock", FILE, "--why", "a test", "--lock", "lock.json", "--board"]
    told = CliRunner().invoke(app, [*run, "wt32-eth01"])
    assert told.exit_code == 0, told.exception
    assert stock.read_lock(tmp_path / "lock.json")[NAME].why == "a test"
    assert "got an image for esp32" in str(CliRunner().invoke(app, [*run, "esp32-c3"]).exception)
