"""Check-ins and answers with wrong types, missing members or excessive sizes."""

import json
import unittest

from node.errors import FormatError
from node.wire import checkin
from node.wire.metrics import METRICS
from tests.node.common import DEVICE, DIGEST, NONCE, code_of, golden

CONFIG = "0123456789abcdef"
FAILED = {"counter": 2, "manifest": DIGEST, "reason": "boot"}


def request(**changes):
    made = {"device": DEVICE, "model": "hall", "release": "1.0.0", "counter": 1, "manifest": DIGEST, "boot": 3, "nonce": NONCE,
            "slot": "a", "trial": False, "failed": None, "root": 1, "seq": 6, "metrics": {"uptime_s": 61},
            "config": "", "config_trial": False, "config_failed": None}
    made.update(changes)
    return made


class RequestTest(unittest.TestCase):
    def test_golden_request_returns(self):
        parsed = checkin.parse_request(golden("checkin_request").encode())
        self.assertEqual(parsed, dict(request(manifest="", slot="factory", metrics={"uptime_s": 61, "msgs": 2}), v=1))

    def test_every_member_returns(self):
        sent = request(failed=FAILED, trial=True, metrics={name: i for i, name in enumerate(METRICS)}, config=CONFIG,
                       config_trial=True, config_failed={"name": CONFIG, "reason": "no readings"})
        self.assertEqual(checkin.parse_request(checkin.encode_request(sent)), dict(sent, v=1))

    def test_unknown_members_and_metrics_are_ignored(self):
        sent = request(metrics={"uptime_s": 1, "news": 5}, colour="blue")
        parsed = checkin.parse_request(checkin.encode_request(sent))
        self.assertEqual(parsed, dict(request(metrics={"uptime_s": 1}), v=1))

    def test_each_wrong_type_is_refused_by_name(self):
        for name, value in (
            ("device", "op.console"), ("device", 5), ("model", ""), ("model", "x" * 17), ("release", "1"), ("release", None),
            ("counter", -1), ("counter", 1.0), ("counter", True), ("manifest", "00"), ("manifest", None), ("boot", "3"),
            ("nonce", ""), ("nonce", NONCE.upper() + "F"), ("slot", "c"), ("slot", ["a"]), ("trial", 0), ("failed", []),
            ("failed", "x"), ("root", -1), ("seq", 2**31), ("metrics", None), ("metrics", [1]), ("config", "01"), ("config", None),
            ("config_trial", 1), ("config_failed", "x"),
        ):
            raw = checkin.encode_request(request(**{name: value}))
            self.assertEqual(code_of(self, FormatError, checkin.parse_request, raw), "checkin." + name)

    def test_each_missing_member_is_refused_by_name(self):
        for name in request():
            sent = request()
            sent.pop(name)
            if name != "failed" and not name.startswith("config"):   # a device of before does not know of them
                self.assertEqual(code_of(self, FormatError, checkin.parse_request, checkin.encode_request(sent)), "checkin." + name)

    def test_wrong_types_inside_failed_and_metrics_are_refused(self):
        for key, value in (("counter", None), ("manifest", 5), ("reason", "x" * 121), ("reason", "a\nb")):
            raw = checkin.encode_request(request(failed=dict(FAILED, **{key: value})))
            self.assertEqual(code_of(self, FormatError, checkin.parse_request, raw), "checkin." + key)
        for key, value in (("name", CONFIG[1:]), ("reason", "x" * 121)):
            raw = checkin.encode_request(request(config_failed=dict({"name": CONFIG, "reason": ""}, **{key: value})))
            self.assertEqual(code_of(self, FormatError, checkin.parse_request, raw), "checkin." + key)
        for value in (-1, 1.5, "1", True, 2**53):
            raw = checkin.encode_request(request(metrics={"drops": value}))
            self.assertEqual(code_of(self, FormatError, checkin.parse_request, raw), "checkin.drops")

    def test_signal_strength_is_the_one_metric_below_zero(self):
        for value in (-128, -67, 0, 127):
            parsed = checkin.parse_request(checkin.encode_request(request(metrics={"rssi": value, "sync_failure": 2})))
            self.assertEqual(parsed["metrics"], {"rssi": value, "sync_failure": 2})
        for value in (-129, 128, None, "-67", -67.0):
            raw = checkin.encode_request(request(metrics={"rssi": value}))
            self.assertEqual(code_of(self, FormatError, checkin.parse_request, raw), "checkin.rssi")

    def test_other_versions_and_excessive_sizes_are_refused(self):
        raw = checkin.encode_request(request())
        self.assertEqual(code_of(self, FormatError, checkin.parse_request, raw + b" " * 4096), "checkin.size")
        for version in (0, 2, "1", None):
            body = json.dumps(dict(request(), v=version)).encode()
            self.assertEqual(code_of(self, FormatError, checkin.parse_request, body), "checkin.v")


class ResponseTest(unittest.TestCase):
    def test_golden_response_carries_its_direction(self):
        parsed = checkin.parse_response(golden("checkin_response").encode())
        self.assertEqual(parsed, {"v": 1, "now_s": 1795000000, "period_s": 900, "direction": golden("direction"),
                                  "reason": "stage 5 %", "config": None})

    def test_answer_without_a_direction_returns(self):
        sent = {"now_s": 1795000000, "period_s": 5, "direction": None, "reason": ""}
        self.assertEqual(checkin.parse_response(checkin.encode_response(sent)), dict(sent, v=1, config=None))

    def test_configuration_returns_byte_for_byte(self):
        sent = {"now_s": 1795000000, "period_s": 5, "direction": None, "reason": "", "config": (CONFIG, b'{"unit":"\\u00b0C"}')}
        self.assertEqual(checkin.parse_response(checkin.encode_response(sent)), dict(sent, v=1))

    def test_configuration_of_another_form_is_refused(self):
        for value in ([], {"name": CONFIG}, {"name": "x", "body": "{}"}, {"name": CONFIG, "body": "x" * 3073},
                      {"name": CONFIG, "body": "\u00b0"}):
            raw = json.dumps({"v": 1, "now_s": 1, "period_s": 60, "reason": "", "config": value}).encode()
            self.assertRaises(FormatError, checkin.parse_response, raw)

    def test_each_wrong_type_is_refused_by_name(self):
        good = {"v": 1, "now_s": 1, "period_s": 60, "direction": None, "reason": ""}
        for name, value in (("v", 2), ("now_s", 0), ("now_s", "1"), ("period_s", 0), ("period_s", 604801), ("period_s", 1e3),
                            ("direction", 5), ("direction", "A" * 3000), ("direction", "A"), ("reason", None)):
            broken = dict(good)
            broken[name] = value
            self.assertEqual(code_of(self, FormatError, checkin.parse_response, json.dumps(broken).encode()), "checkin." + name)
        self.assertEqual(code_of(self, FormatError, checkin.parse_response, b" " * 8193), "checkin.size")


if __name__ == "__main__":
    unittest.main()
