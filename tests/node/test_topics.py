"""Topics of another device, acknowledgements and states that mean nothing."""

import json
import unittest

from node.errors import FormatError
from node.wire import topics
from tests.node.common import DEVICE, code_of, golden


class TopicTest(unittest.TestCase):
    def test_topics_return(self):
        for make, kind in ((topics.up, "up"), (topics.ack, "ack"), (topics.state, "state")):
            self.assertEqual(make(DEVICE), f"t/{DEVICE}/{kind}")
            self.assertEqual(topics.parse(make(DEVICE)), (DEVICE, kind))

    def test_other_topics_are_refused(self):
        for topic in ("", "t", f"t/{DEVICE}", f"t/{DEVICE}/up/x", f"x/{DEVICE}/up", f"t/{DEVICE}/down", "t/+/up", "t/#",
                      "t/svc.ingest/up", f"/t/{DEVICE}/up", f"t/{DEVICE}/up/"):
            self.assertEqual(code_of(self, FormatError, topics.parse, topic), "topic.name")


class AckTest(unittest.TestCase):
    def test_golden_ack_is_reproduced_and_returns(self):
        self.assertEqual(topics.encode_ack(3, 41, topics.SEND_SCHEMA), golden("ack"))
        self.assertEqual(topics.parse_ack(golden("ack")), (3, 41, topics.SEND_SCHEMA))
        self.assertEqual(topics.parse_ack(topics.encode_ack(2**32 - 1, 2**32 - 1)), (2**32 - 1, 2**32 - 1, 0))

    def test_malformed_acks_are_refused(self):
        raw = golden("ack")
        for bad, code in ((b"", "ack.size"), (raw[:-1], "ack.size"), (raw + b"\0", "ack.size"),
                          (b"\2" + raw[1:], "ack.version")):
            self.assertEqual(code_of(self, FormatError, topics.parse_ack, bad), code)


class StateTest(unittest.TestCase):
    def test_golden_state_and_will_return(self):
        state = topics.parse_state(golden("state").encode())
        self.assertEqual(state, {"on": 1, "boot": 3, "release": "1.0.0", "counter": 1, "oldest": (3, 40), "reason": "power"})
        self.assertEqual(topics.parse_state(topics.OFFLINE), {"on": 0})
        self.assertEqual(topics.parse_state(topics.encode_state(3, "1.0.0", 1, (3, 40), "power")), state)

    def test_long_reasons_are_cut_not_refused(self):
        state = topics.parse_state(topics.encode_state(1, "1.0.0", 1, (0, 0), "x" * 500))
        self.assertEqual(state["reason"], "x" * topics.MAX_REASON)

    def test_each_malformed_member_is_refused_by_name(self):
        good = json.loads(golden("state"))
        for name, value in (("on", 2), ("on", True), ("boot", -1), ("release", "1"), ("counter", "1"), ("oldest", [1]),
                            ("oldest", [1, 2, 3]), ("oldest", [-1, 2]), ("reason", 5), ("reason", "x" * 49), ("reason", "\u00e4")):
            broken = dict(good)
            broken[name] = value
            self.assertEqual(code_of(self, FormatError, topics.parse_state, json.dumps(broken).encode()), "state." + name)
        for raw, code in ((b"", "state.json"), (b" " * 513, "state.size"), (b"1", "state.object"), (b"{}", "state.on")):
            self.assertEqual(code_of(self, FormatError, topics.parse_state, raw), code)


if __name__ == "__main__":
    unittest.main()
