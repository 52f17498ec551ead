"""Second sources: a quantity that only one maker measures is seen, and a configuration's chips with what replaces them."""

import json
import re
from pathlib import Path

import pytest

from host import second_source
from host.cli.root import main
from node import catalog, config
from node.settings import Config

SITE = {
    "host": "localhost", "product": "hall", "model": "hall",
    "channels": [{"name": "rh", "unit": "%RH", "resolution": "0.1"}, {"name": "p", "unit": "Pa"}, {"name": "adc34", "unit": "V"},
                 {"name": "power", "unit": "kW"}, {"name": "flow", "unit": "l"}, {"name": "temp_chip", "unit": "Cel"}],
    "buses": {"i2c0": {"kind": "i2c", "id": 0, "scl": 22, "sda": 21}, "uart2": {"kind": "uart", "id": 2, "tx": 17, "rx": 16}},
    "sensors": [{"driver": "bme280", "bus": "i2c0", "channels": {"pressure": "p", "humidity": "rh"}},
                {"driver": "modbus", "bus": "uart2", "unit": 1, "registers": [{"channel": "power", "function": 3, "start": 0}]},
                {"driver": "pulse", "pin": 27, "channel": "flow"}],
}


ROOT = Path(__file__).parents[2]
README = (ROOT / "firmware/README.md").read_text(encoding="utf-8")


def tenfold(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["tenfold", "sensors", "second-source", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_quantity_that_only_one_maker_measures() -> None:
    needs = second_source.catalogue()
    assert {need.quantity for need in needs} == {"temperature", "humidity", "pressure", "voltage", "thermocouple", "junction",
                                                 "register", "pulses", "die"}
    assert [need.quantity for need in needs if need.alone] == ["die"]   # what the chip says of itself
    for need in needs:
        if need.alone:
            continue
        makers = {need.used.maker, *(part.maker for part in need.replacements)}
        assert len(makers) >= 2 or makers == {second_source.ANY}, need


def test_chip_of_the_same_maker_is_taken_for_a_second_source() -> None:
    bosch = [need for need in second_source.catalogue() if need.used.driver == "bmp280" and need.quantity == "pressure"]
    assert [part.driver for part in bosch[0].replacements] == ["lps22hb"]


def test_each_channel_of_a_configuration_with_the_same_bus_first() -> None:
    needs = second_source.of_configuration(config.parse(json.dumps(SITE).encode(), Config()))
    assert [(need.channel, need.quantity, need.used.driver) for need in needs] == [
        ("rh", "humidity", "bme280"), ("p", "pressure", "bme280"), ("adc34", "voltage", "adc"), ("power", "register", "modbus"),
        ("flow", "pulses", "pulse"), ("temp_chip", "die", "chip")]
    assert [part.driver for part in needs[0].replacements] == ["aht20", "sht3x", "sht4x"]
    temperature = next(need for need in second_source.catalogue() if need.used.driver == "ds18b20")
    assert {part.bus for part in temperature.replacements} == {"i2c"}
    voltage = next(need for need in second_source.catalogue() if need.used.driver == "ads1115")
    assert [part.driver for part in voltage.replacements] == ["adc", "mcp3208"]   # by maker, none on its bus


def test_command_prints_both_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.json").write_text(json.dumps(SITE))
    assert tenfold(monkeypatch, "--config", str(tmp_path / "site.json")) == 0
    assert "LPS22HB" in capsys.readouterr().out
    assert tenfold(monkeypatch, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [need["used"]["driver"] for need in said["alone"]] == ["chip"]
    assert len(said["needs"]) > 15


def test_wrong_configuration_ends_in_one_line_that_names_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "site.json").write_text(json.dumps({**SITE, "sensors": [{"driver": "bme680"}]}))
    assert tenfold(monkeypatch, "--config", str(tmp_path / "site.json")) == 2
    assert capsys.readouterr().err == (
        "tenfold: config.value: sensors[0].driver: got 'bme680', expected a driver of node.catalog\n")


def test_example_of_the_readme_is_refused_by_a_device() -> None:
    example = re.search(r"## Sensors.*?```json\n(.*?)```", README, re.DOTALL)
    assert example
    site = {"host": "localhost", "product": "hall", "model": "hall", **json.loads(example[1])}
    made = config.parse(json.dumps(site).encode(), Config())
    assert len(second_source.of_configuration(made)) == 6


def test_every_fault_of_a_sensor_is_explained() -> None:
    sources = [*(ROOT / "firmware/board/sensors").glob("*.py"), ROOT / "firmware/lib/node/app/modbus.py",
               ROOT / "firmware/lib/node/app/scale.py"]
    codes = {code for path in sources
             for code in re.findall(r'"((?:sensor|modbus|board)\.[a-z_]+)"', path.read_text(encoding="utf-8"))}
    assert len(codes) > 15
    assert not {code for code in codes if f"`{code}`" not in README}
    table = re.search(r"\| `driver` \|.*?\n\n", README, re.DOTALL)
    assert table
    assert not {name for name in catalog.names() if f"`{name}`" not in table[0]}
