"""The configuration: what is wrong is named, what is unknown does no harm."""

import json
import unittest

from node import config
from node.errors import CallerError
from node.settings import Config
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
        for data in (b"", b"[]", b"{", b"\xff", b"5", b"[" * 3000, b" " * 5000):
            self.assertEqual(code_of(self, CallerError, parse, data), "config.json")

    def test_limits_in_the_channels_unit_become_steps(self):
        made = channel(high=80.5, low=-3, hysteresis=0.5, deadband=0.02)
        self.assertEqual((made.high, made.low, made.hysteresis, made.deadband), (8050, -300, 50, 2))

    def test_zone_gives_every_device_its_own_name(self):
        self.assertEqual(parse(site()).server("hall-0242ac110001"), "localhost")
        made = parse(site(zone="plant.example"))
        self.assertEqual(made.server("hall-0242ac110001"), "hall-0242ac110001.plant.example")


if __name__ == "__main__":
    unittest.main()
