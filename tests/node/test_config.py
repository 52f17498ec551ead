"""The configuration: what is wrong is named, what is unknown does no harm."""

import json
import unittest

from node import config, rows
from node.errors import CallerError
from node.settings import Config
from node.wire import schema
from tests.node.common import code_of

TEMP = {"name": "temp", "unit": "Cel", "resolution": "0.01"}
SITE = {"host": "localhost", "product": "hall", "model": "hall", "channels": [TEMP]}


def site(**changes):
    body = dict(SITE)
    body.update(changes)
    return json.dumps(body).encode()


def parse(data):
    return config.parse(data, Config())


def channel(**changes):
    body = dict(TEMP)
    body.update(changes)
    return parse(site(channels=[body])).channels[0]


class TestConfig(unittest.TestCase):
    def test_defaults_make_a_small_file_enough(self):
        made = parse(site())
        self.assertEqual((made.period_ms, made.window, made.mqtt_port, made.channels[0].median), (1000, 16, 8883, 1))
        self.assertEqual((made.drain, parse(site(drain="newest")).drain), ("oldest", "newest"))

    def test_addresses_in_place_of_dns(self):
        self.assertEqual((parse(site()).address, parse(site()).ntp), ("", "pool.ntp.org"))
        for address in ("10.0.2.2", "0000:0000:0000:0000:0000:ffff:192.168.100.228", ""):
            made = parse(site(address=address))
            self.assertEqual((made.address, made.server("hall-0242ac110001")), (address, "localhost"))
        for ntp in ("", "10.0.2.2", "time.example:1123", "2001:db8::1"):
            self.assertEqual(parse(site(ntp=ntp)).ntp, ntp)

    def test_error_names_the_key_what_it_holds_and_what_it_should(self):
        with self.assertRaises(CallerError) as caught:
            parse(site(period_ms=0))
        self.assertEqual(str(caught.exception), "config.value: period_ms: got 0, expected 10 to 3600000")

    def test_each_wrong_value_is_refused(self):
        for changes in ({"host": ""}, {"host": 5}, {"mqtt_port": 0}, {"mqtt_port": "8883"}, {"window": True}, {"window": 2.5},
                        {"channels": []}, {"channels": None}, {"channels": [5]}, {"channels": [TEMP] * 2},
                        {"channels": [TEMP] * 17}, {"product": "x" * 17}, {"uplink_s": None}, {"address": 5},
                        {"address": "10.0.0.1 "}, {"address": "1" * 46}, {"address": "a\n"}, {"ntp": None}, {"ntp": "a b"},
                        {"ntp": "time.example:0"}, {"ntp": "time.example:70000"}, {"ntp": ":123"}, {"ntp": "time.example:ntp"},
                        {"drain": "newer"}, {"drain": "middle"}, {"drain": 6}):
            self.assertEqual(code_of(self, CallerError, parse, site(**changes)), "config.value")

    def test_each_wrong_channel_is_refused(self):
        for changes in ({"resolution": "0"}, {"resolution": "x"}, {"resolution": "-1"}, {"median": 4}, {"median": 11},
                        {"ema_pct": 0}, {"high": "5"}, {"high": True}, {"low": 5, "high": 5}, {"deadband": 1e12}, {"name": ""}):
            with self.subTest(changes=changes), self.assertRaises(CallerError) as caught:
                channel(**changes)
            self.assertIn("channels[0].", caught.exception.message)

    def test_keys_of_a_newer_release_do_no_harm_after_a_rollback(self):
        self.assertEqual(parse(site(colour="red")).host, "localhost")

    def test_what_is_no_object_is_refused(self):
        for data in (b"", b"[]", b"{", b"\xff", b"5", b"[" * 3000, b" " * 7000):
            self.assertEqual(code_of(self, CallerError, parse, data), "config.json")

    def test_limits_in_the_channels_unit_become_steps(self):
        made = channel(high=80.5, low=-3, hysteresis=0.5, deadband=0.02)
        self.assertEqual((made.high, made.low, made.hysteresis, made.deadband), (8050, -300, 50, 2))

    def test_zone_gives_every_device_its_own_name(self):
        self.assertEqual(parse(site()).server("hall-0242ac110001"), "localhost")
        made = parse(site(zone="plant.example"))
        self.assertEqual(made.server("hall-0242ac110001"), "hall-0242ac110001.plant.example")


class TestEdges(unittest.TestCase):
    def test_each_wrong_key_is_refused_by_its_name(self):
        for key, changes in (
            ("period_ms", {"period_ms": 5}), ("period_ms", {"period_ms": "1000"}), ("phase_ms", {"phase_ms": 1000}),
            ("phase_ms", {"period_ms": 50, "phase_ms": 50}), ("phase_ms", {"phase_ms": -1}), ("oversample", {"oversample": 65}),
            ("oversample", {"oversample": 0}), ("min", {"min": "0"}), ("max", {"max": True}), ("min", {"min": 5, "max": 5}),
            ("gain", {"gain": 0}), ("gain", {"gain": "1"}), ("gain", {"gain": 1e10}),
            ("offset", {"offset": None}), ("poly", {"poly": [1]}), ("poly", {"poly": [1, 1, 1, 1, 1]}), ("poly", {"poly": 5}),
            ("poly", {"poly": [0, 1], "gain": 2}), ("poly", {"poly": [0, True]}), ("poly", {"poly": [7, 0, 0]}),
            ("rate", {"rate": -1}), ("rate", {"rate": 0.001}), ("deadband", {"deadband": -1}),
            ("hysteresis", {"hysteresis": -1}), ("average", {"average": 65}), ("heartbeat_s", {"heartbeat_s": 60}),
            ("heartbeat_s", {"heartbeat_s": -1, "deadband": 1}), ("stats", {"stats": 3601}), ("stats", {"stats": True}),
            ("stats", {"stats": 60, "deadband": 1}), ("stats", {"stats": 3600, "period_ms": 25000}), ("anomaly", {"anomaly": 1}),
            ("delay", {"delay": 0}), ("delay", {"delay": 1001}), ("name", {"name": "Temp"}), ("name", {"name": "temp.min"}),
            ("unit", {"unit": "m\n"}), ("unit", {"unit": "\u00b0" * 9}), ("resolution", {"resolution": "0.10"}),
        ):
            with self.subTest(changes=changes), self.assertRaises(CallerError) as caught:
                channel(**changes)
            self.assertEqual(caught.exception.code, "config.value")
            self.assertTrue(caught.exception.message.startswith("channels[0]." + key + ": got "), caught.exception.message)
            self.assertIn(", expected ", caught.exception.message)

    def test_what_is_no_number_is_no_limit(self):
        data = site(channels=[dict(TEMP, high="?")]).replace(b'"?"', b"NaN")   # CPython reads it, MicroPython does not
        self.assertIn(code_of(self, CallerError, parse, data), ("config.value", "config.json"))

    def test_fault_of_a_later_channel_names_that_channel(self):
        with self.assertRaises(CallerError) as caught:
            parse(site(channels=[TEMP, {"name": "vib", "stats": 0}]))
        self.assertEqual(caught.exception.message, "channels[1].stats: got 0, expected 1 to 3600")

    def test_key_of_nobody_brings_no_defaults_of_others(self):
        self.assertFalse(channel(driver="sht40").edge)
        made = parse(site(channels=[TEMP, {"name": "vib", "stats": 2}]))
        self.assertEqual([one.edge for one in made.channels], [False, True])

    def test_limits_become_steps_and_a_heartbeat_samples(self):
        made = channel(min=-40, max=85.5, rate=0.5, deadband=1, heartbeat_s=60, period_ms=2500, delay=3, average=4, oversample=8)
        self.assertEqual((made.lowest, made.highest, made.rate, made.heartbeat), (-4000, 8550, 50, 24))
        self.assertEqual((made.delay, made.average, made.oversample, made.stats), (3, 4, 8, 1))

    def test_calibration_is_what_is_added(self):
        self.assertEqual(channel(offset=2, max=1).poly, (2, 0))
        self.assertEqual(channel(poly=[0, 3, 0.5]).poly, (0, 2, 0.5))
        self.assertEqual([channel(gain=1, offset=0).poly, channel(poly=[0, 1, 0]).poly, channel(max=1).poly], [(), (), ()])

    def test_plain_configuration_is_one_group_with_the_schema_that_it_had(self):
        vib = {"name": "vib", "unit": "mm/s", "resolution": "0.1", "median": 3, "high": 9}
        made = parse(site(channels=[TEMP, vib], period_ms=250))
        self.assertEqual(made.groups, [(250, 0, (0, 1))])
        self.assertEqual(rows.schemas(made), [schema.build([("temp", "Cel", "0.01"), ("vib", "mm/s", "0.1")]),
                                              schema.build([("vib.alarm", "mm/s", "0.1"), ("vib.high", "mm/s", "0.1")])])
        self.assertEqual(rows.schemas(parse(site(channels=[dict(TEMP, rate=5), vib], period_ms=250))), rows.schemas(made))

    def test_channels_of_one_reporting_period_and_phase_are_one_group(self):
        made = parse(site(channels=[
            {"name": "a"}, {"name": "b", "stats": 60}, {"name": "c", "period_ms": 60000}, {"name": "d", "phase_ms": 500},
            {"name": "e", "period_ms": 500, "stats": 120}, {"name": "f", "period_ms": 1000},
            {"name": "g", "period_ms": 60000, "phase_ms": 500}]))
        self.assertEqual(made.groups, [(1000, 0, (0, 5)), (60000, 0, (1, 2, 4)), (1000, 500, (3,)), (60000, 500, (6,))])

    def test_columns_of_statistics_and_scores(self):
        made = parse(site(channels=[dict(TEMP, stats=60, anomaly=True), {"name": "vib", "anomaly": True}]))
        self.assertEqual([schema.parse(raw) for raw in rows.schemas(made)], [
            [("temp.min", "Cel", "0.01"), ("temp.mean", "Cel", "0.01"), ("temp.max", "Cel", "0.01"), ("temp.std", "Cel", "0.01"),
             ("temp.score", "1", "0.1")], [("vib", "", "1"), ("vib.score", "1", "0.1")]])

    def test_group_that_no_schema_holds_is_refused_before_it_is_used(self):
        many = [{"name": "c%d" % i, "stats": 60} for i in range(16)]  # noqa: UP031
        self.assertEqual(len(schema.parse(rows.schemas(parse(site(channels=many)))[0])), 64)
        wide = [dict(one, unit="u" * 12, name=one["name"] + "x" * 20) for one in many]
        for wrong in ([dict(one, anomaly=True) for one in many], wide):
            with self.assertRaises(CallerError) as caught:
                parse(site(channels=wrong))
            self.assertTrue(caught.exception.message.startswith("channels: got "), caught.exception.message)

    def test_sixteen_channels_that_ask_for_everything_fit(self):
        all_of_it = {"unit": "Cel", "resolution": "0.01", "median": 3, "ema_pct": 30, "high": 80.5, "low": -20.5, "hysteresis": 0.5,
                     "period_ms": 1000, "phase_ms": 500, "oversample": 16, "min": -40.5, "max": 125.5, "gain": 1.0125,
                     "offset": -0.25, "rate": 2.5, "average": 10, "stats": 60, "delay": 3}
        body = site(channels=[dict(all_of_it, name="temp_%d" % i) for i in range(16)])  # noqa: UP031
        self.assertGreater(len(body), 4500)
        self.assertEqual(len(parse(body).channels), 16)


if __name__ == "__main__":
    unittest.main()
