"""A release without the drivers that no board has: what is kept must work, what is gone must be refused and leave no bytes."""

import json

import pytest

from host.sim.plant import FIRMWARE, REPOSITORY
from ota.release.bundle import BundleError, compile_tree
from ota.release.drivers import ALWAYS, leave_out, named
from ota.release.source import parse, unparse

CATALOG, BUILD = "node/catalog.py", "board/sensors/build.py"
SOURCES = {CATALOG: (FIRMWARE / "lib/node/catalog.py").read_bytes(), BUILD: (FIRMWARE / "board/sensors/build.py").read_bytes()}
UMQTT = REPOSITORY / "build/umqtt/simple.py"


def left(*drivers):
    """The sources' texts without all other drivers."""
    program = parse(SOURCES)
    leave_out(program, ALWAYS | set(drivers))
    return {path: text.decode() for path, text in unparse(program).items()}


def catalog(text):
    space = {}
    exec(text, space)  # noqa: S102  the catalog, without types
    return space["names"]()


def test_driver_that_was_left_out_is_still_known_or_reached():
    found = left("sht4x", "modbus")
    assert sorted(catalog(found[CATALOG])) == ["adc", "chip", "modbus", "sht4x"]
    assert "board.sensors.sht " in found[BUILD]
    assert "board.sensors.line " in found[BUILD]
    for gone in ("mcp3208", "max31855", "ds18b20", "ads1115", "mcp9600", "aht20", "bme280", "lps22hb", "pulses"):
        assert f"board.sensors.{gone} " not in found[BUILD]
    assert "chip.Spi" not in found[BUILD]   # no bus of that kind is left


def test_all_drivers_together_are_not_what_is_shipped_without_a_choice():
    every = compile_tree(FIRMWARE, UMQTT)
    table = catalog(SOURCES[CATALOG])
    assert compile_tree(FIRMWARE, UMQTT, drivers=table) == every
    few = compile_tree(FIRMWARE, UMQTT, drivers=ALWAYS)
    assert sum(map(len, few.values())) < 0.9 * sum(map(len, every.values()))


def test_driver_that_nobody_has_written_is_left_out_silently():
    with pytest.raises(BundleError, match="sht99: no such driver; there are adc, ads1115"):
        compile_tree(FIRMWARE, UMQTT, drivers={"sht99"})


def test_driver_of_a_configuration_is_left_out():
    raws = [json.dumps({"sensors": [{"driver": "sht4x"}, {"driver": "pulse"}]}).encode(), b"{}"]
    assert named(raws) == {"adc", "chip", "sht4x", "pulse"}
