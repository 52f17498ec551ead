"""Buses and sensors in the configuration: each wrong value is named with its key, what it holds and what it should."""

# ruff: noqa: RUF005  (MicroPython has no [*a, b])

import json
import unittest

from node import catalog, config
from node.errors import CallerError
from node.settings import Config

CHANNELS = [{"name": "air", "unit": "Cel", "resolution": "0.01"}, {"name": "rh", "unit": "%RH", "resolution": "0.1"},
            {"name": "tank", "unit": "bar", "resolution": "0.01"}, {"name": "power", "unit": "kW", "resolution": "0.1"},
            {"name": "flow", "unit": "l", "resolution": "1"}, {"name": "adc34", "unit": "V", "resolution": "0.001"}]
BUSES = {"i2c0": {"kind": "i2c", "id": 0, "scl": 22, "sda": 21}, "wire": {"kind": "onewire", "pin": 4},
         "uart2": {"kind": "uart", "id": 2, "tx": 17, "rx": 16, "de": 5},
         "spi1": {"kind": "spi", "id": 1, "sck": 14, "mosi": 13, "miso": 12}}
BME = {"driver": "bme280", "bus": "i2c0",
       "channels": {"temperature": "air", "humidity": {"channel": "rh", "min": "0", "max": "100"}}}
METER = {"driver": "modbus", "bus": "uart2", "unit": 1,
         "registers": [{"channel": "power", "function": 4, "start": 10, "kind": "f32"}]}
FLOW = {"driver": "pulse", "pin": 27, "channel": "flow", "gain": "0.5"}
TANK = {"driver": "adc", "pin": 35, "channel": "tank", "gain": "2.5", "offset": "-1.25"}
ALL = [BME, METER, FLOW, TANK]


def copy(value):
    return json.loads(json.dumps(value))


def parse(sensors=ALL, buses=BUSES, channels=CHANNELS):
    site = {"host": "localhost", "product": "hall", "model": "hall", "channels": channels, "sensors": sensors, "buses": buses}
    return config.parse(json.dumps(site).encode(), Config())


def changed(sensor, **changes):
    body = copy(sensor)
    body.update(changes)
    return body


class TestWiring(unittest.TestCase):
    def refused(self, key, *args, **kwargs):
        with self.assertRaises(CallerError) as caught:
            parse(*args, **kwargs)
        self.assertEqual(caught.exception.code, "config.value")
        self.assertTrue(caught.exception.message.startswith(key + ": got "), caught.exception.message)
        self.assertIn(", expected ", caught.exception.message)

    def one_refused(self, key, sensor, **changes):
        self.refused("sensors[0]" + key, [changed(sensor, **changes)] + [each for each in ALL if each is not sensor])

    def test_pin_of_the_boards_profile_is_refused_or_has_two_uses(self):
        named = copy(BUSES)
        named["i2c0"]["scl"], named["i2c0"]["sda"] = "i2c_scl", "i2c_sda"
        self.assertEqual(parse(buses=named).buses["i2c0"]["scl"], "i2c_scl")
        for name in ("I2C", "", "a" * 17, "_x"):
            named["i2c0"]["sda"] = name
            self.refused("buses.i2c0.sda", buses=named)
        named["i2c0"]["sda"] = "i2c_scl"
        self.refused("buses.i2c0.sda", buses=named)

    def test_what_is_left_out_is_filled_in(self):
        made = parse()
        self.assertEqual(made.buses["i2c0"]["hz"], 100_000)
        self.assertEqual([made.buses["uart2"][key] for key in ("baud", "parity", "stop", "timeout_ms", "de")],
                         [9600, "none", 1, 200, 5])
        self.assertEqual((made.sensors[0]["address"], made.sensors[0]["channels"]["temperature"]), (118, {"channel": "air"}))
        self.assertEqual((made.sensors[2]["edge"], made.sensors[2]["pull"], made.sensors[2]["debounce_ms"]), ("falling", "up", 0))
        self.assertFalse(made.sensors[1]["registers"][0]["low_word_first"])

    def test_configuration_without_sensors_needs_none(self):
        site = {"host": "localhost", "product": "hall", "model": "hall", "channels": CHANNELS}
        made = config.parse(json.dumps(site).encode(), Config())
        self.assertEqual((made.buses, made.sensors), ({}, []))
        self.assertEqual((parse([]).sensors, parse([], {}).buses), ([], {}))

    def test_error_names_the_key_what_it_holds_and_what_it_should(self):
        with self.assertRaises(CallerError) as caught:
            parse([changed(BME, address=0x40)])
        self.assertEqual(caught.exception.message, "sensors[0].address: got 64, expected one of [118, 119]")

    def test_each_wrong_bus_is_refused(self):
        for key, name, changes in ((".kind", "i2c0", {"kind": "can"}), (".id", "i2c0", {"id": 2}),
                                   (".id", "uart2", {"id": 0}), (".id", "i2c0", {"id": True}),
                                   (".scl", "i2c0", {"scl": 49}), (".sda", "i2c0", {"sda": None}), (".sda", "i2c0", {"sda": 22}),
                                   (".hz", "i2c0", {"hz": 1_000_000}), (".pin", "wire", {"pin": 22}),
                                   (".pin", "wire", {"pin": "4"}),
                                   (".baud", "uart2", {"baud": 300}), (".parity", "uart2", {"parity": "mark"}),
                                   (".stop", "uart2", {"stop": 3}), (".timeout_ms", "uart2", {"timeout_ms": 0}),
                                   (".de", "uart2", {"de": 17}), (".hz", "spi1", {"hz": 9_000_000}),
                                   (".miso", "spi1", {"miso": []})):
            buses = copy(BUSES)
            buses[name].update(changes)
            with self.subTest(changes=changes):
                self.refused("buses." + name + key, buses=buses)
        self.refused("buses", buses=[])
        self.refused("buses.i2c0", buses=dict(BUSES, i2c0=5))

    def test_two_buses_of_one_peripheral(self):
        for second in ({"kind": "i2c", "id": 0, "scl": 18, "sda": 19}, {"kind": "uart", "id": 2, "tx": 18, "rx": 19}):
            self.refused("buses.z.id", buses=dict(BUSES, z=second))

    def test_each_wrong_sensor_is_refused(self):
        for key, sensor, changes in (
                (".driver", BME, {"driver": "bme680"}), (".driver", BME, {"driver": None}), (".driver", BME, {"driver": []}),
                (".bus", BME, {"bus": "i2c1"}), (".bus", BME, {"bus": "spi1"}), (".bus", BME, {"bus": []}),
                (".bus", METER, {"bus": "i2c0"}),
                (".address", BME, {"address": "118"}), (".channels", BME, {"channels": {}}),
                (".channels", BME, {"channels": ["air"]}),
                (".channels", BME, {"channels": {"wind": "air"}}), (".channels", BME, {"driver": "bmp280"}),
                (".channels.temperature.channel", BME, {"channels": {"temperature": "nowhere"}}),
                (".channels.temperature.channel", BME, {"channels": {"temperature": {"channel": ["air"]}}}),
                (".channels.temperature", BME, {"channels": {"temperature": 5}}),
                (".channels.temperature.channel", BME, {"channels": {"temperature": "rh"}}),   # %RH
                (".channels.humidity.min", BME, {"channels": {"humidity": {"channel": "rh", "min": 5}}}),
                (".channels.humidity.min", BME, {"channels": {"humidity": {"channel": "rh", "min": "9", "max": "5"}}}),
                (".unit", METER, {"unit": 0}), (".registers", METER, {"registers": []}), (".registers", METER, {"registers": {}}),
                (".registers[0]", METER, {"registers": [5]}),
                (".pin", FLOW, {"pin": 22}), (".edge", FLOW, {"edge": "both"}), (".pull", FLOW, {"pull": None}),
                (".debounce_ms", FLOW, {"debounce_ms": -1}), (".gain", FLOW, {"gain": 0.5}), (".gain", FLOW, {"gain": "x"}),
                (".offset", TANK, {"offset": "1" * 17}), (".channel", TANK, {"channel": "adc36"})):
            with self.subTest(changes=changes):
                self.one_refused(key, sensor, **changes)
        self.refused("sensors", {})
        self.refused("sensors[0]", [5])

    def test_voltage_is_taken_for_a_pressure(self):
        sensor = copy(TANK)
        del sensor["gain"]
        self.refused("sensors[0].channel", [sensor])

    def test_each_wrong_register_is_refused(self):
        for key, changes in ((".function", {"function": 5}), (".function", {"function": "3"}), (".kind", {"kind": "f64"}),
                             (".kind", {"function": 1, "kind": "u16"}), (".start", {"start": -1}), (".start", {"start": 0xFFFF}),
                             (".low_word_first", {"low_word_first": 1}), (".gain", {"gain": None}), (".channel", {"channel": ""})):
            register = changed(METER["registers"][0], **changes)
            with self.subTest(changes=changes):
                self.one_refused(".registers[0]" + key, METER, registers=[register])
        bits = parse([changed(METER, registers=[{"channel": "power", "function": 2, "start": 0xFFFF}]), BME, FLOW, TANK])
        self.assertEqual(bits.sensors[0]["registers"][0]["kind"], "bit")

    def test_channel_that_two_sensors_feed(self):
        self.refused("sensors[4].channel", ALL + [changed(TANK, pin=36)])

    def test_channel_that_no_sensor_feeds(self):
        self.refused("sensors", [BME, METER, FLOW])   # adc34 feeds itself

    def test_bus_called_like_a_kind(self):
        meter = changed(METER, bus="uart", unit=2)
        parse([BME, meter, FLOW, TANK], {"i2c0": BUSES["i2c0"], "uart": BUSES["uart2"]})

    def test_two_chips_at_one_place(self):
        second = changed(BME, driver="bmp280", channels={"temperature": {"channel": "tank", "gain": "1"}})
        self.refused("sensors[1].bus", [BME, second])
        parse([BME, dict(second, address=0x77), METER, FLOW])
        self.refused("sensors[1].bus", [METER, changed(METER, registers=[{"channel": "tank", "function": 3, "start": 0}])])

    def test_wrong_options_of_drivers(self):
        spi = {"driver": "max31855", "bus": "spi1", "cs": 15, "channels": {"thermocouple": "air"}}
        rest = [METER, FLOW, TANK, {"driver": "sht4x", "bus": "i2c0", "channels": {"humidity": "rh"}}]
        parse([spi] + rest)
        wire = {"driver": "ds18b20", "bus": "wire", "channels": {"temperature0": "air"}}
        parse([wire] + rest)
        parse([dict(wire, roms=["28ff641e0f000001"])] + rest)
        for key, sensor in ((".cs", dict(spi, cs=14)), (".channels", dict(wire, channels={"temperature1": "air"})),
                            (".roms[0]", dict(wire, roms=["28FF"])), (".roms", dict(wire, roms="28ff641e0f000001")),
                            (".type", {"driver": "mcp9600", "bus": "i2c0", "type": "k", "channels": {"thermocouple": "air"}}),
                            (".pga", {"driver": "ads1115", "bus": "i2c0", "pga": 6,
                                      "channels": {"ain0": {"channel": "air", "gain": "1"}}}),
                            (".reference_uv", {"driver": "mcp3208", "bus": "spi1", "cs": 15, "reference_uv": 0,
                                               "channels": {"ch7": {"channel": "air", "gain": "1"}}})):
            with self.subTest(sensor=sensor):
                self.refused("sensors[0]" + key, [sensor] + rest)

    def test_resolution_that_no_scale_can_have(self):
        channels = copy(CHANNELS)
        channels[0]["resolution"] = "inf"
        self.refused("resolution of air", channels=channels)


class TestCatalog(unittest.TestCase):
    def test_driver_that_nobody_makes(self):
        self.assertEqual(sorted(catalog.names()), sorted(catalog.MAKERS))
        self.assertEqual(len(set(catalog.names())), len(catalog.names()))

    def test_unknown_driver(self):
        for name in ("", "bme", "i2c", None, 5):
            self.assertIsNone(catalog.driver(name))


if __name__ == "__main__":
    unittest.main()
