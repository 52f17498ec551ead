"""JSON that a stranger wrote to break its reader: it nests, it swells, and what refuses it must not fail over it."""

import unittest

from node import config
from node.compat import IS_MICROPYTHON
from node.errors import CallerError, FormatError
from node.settings import Config
from node.wire import checkin, direction, manifest, root
from node.wire.fields import MAX_CONTAINERS, parse_object, want_int
from tests.node.common import code_of

SIZE = checkin.MAX_RESPONSE_BYTES
PIECE_BYTES = 9000   # room for the answer, not for a list of its numbers


def nested(opening, closing, core="1", size=SIZE - 20):
    depth = size // (len(opening) + len(closing))
    return opening * depth + core + closing * depth


HOSTILE = [
    "[" * (SIZE - 10),
    '{"v":' + nested("[", "]") + "}",
    '{"v":' + nested('{"a":', "}") + "}",
    '{"v":' + nested('[{"a":', "}]") + "}",
    '{"v":[' + "[]," * ((SIZE - 20) // 3) + "1]}",
    '{"v":[' + "{}," * ((SIZE - 20) // 3) + "1]}",
    '{"v":[' + "1," * ((SIZE - 20) // 2) + "1]}",
]


class TestHostileJson(unittest.TestCase):
    def test_no_answer_of_a_server_raises_anything_but_a_refusal(self):
        for text in HOSTILE:
            for parse in (checkin.parse_response, checkin.parse_request, direction.parse, manifest.parse, root.parse):
                with self.assertRaises(FormatError):
                    parse(text.encode())

    def test_member_of_any_depth_is_refused_by_name(self):
        depth = MAX_CONTAINERS - 1
        for text in ('{"v":' + "[" * depth + "]" * depth + "}", '{"v":' + '{"a":' * depth + "1" + "}" * depth + "}"):
            obj = parse_object(text.encode(), "part", SIZE)
            self.assertEqual(code_of(self, FormatError, want_int, obj, "v", "part"), "part.v")

    def test_more_brackets_than_any_message_has_are_refused_before_they_take_memory(self):
        text = '{"v":[' + "[]," * MAX_CONTAINERS + "1]}"
        self.assertEqual(code_of(self, FormatError, parse_object, text.encode(), "part", SIZE), "part.json")

    def test_longest_delivered_configuration_passes(self):
        body = b'{"channels":[' + b",".join([b'{"name":"c","rate":5}'] * 64) + b"]}"
        answer = {"now_s": 1, "period_s": 1, "direction": None, "reason": "", "config": ("ab" * 8, body)}
        self.assertEqual(checkin.parse_response(checkin.encode_response(answer))["config"][1], body)

    def test_answer_that_a_full_heap_has_no_room_for_is_refused_too(self):
        if not IS_MICROPYTHON:
            raise unittest.SkipTest("CPython has room")
        raw = ('{"v":[' + "1," * ((SIZE - 20) // 2) + "1]}").encode()
        ballast = [None] * 1000
        for n in range(1000):
            try:
                ballast[n] = bytearray(PIECE_BYTES)
            except MemoryError:   # what is left has no hole for the list
                break
        code = code_of(self, FormatError, checkin.parse_response, raw)
        ballast.clear()
        self.assertEqual(code, "checkin.json")

    def test_delivered_configuration_that_nests_is_refused_as_one(self):
        deep = nested("[", "]", size=2900)
        for text in ("[" * 3000, '{"channels":' + nested('{"a":', "}", size=2900) + "}", '{"batch_samples":' + deep + "}",
                     '{"channels":[{"name":' + deep + "}]}"):
            with self.assertRaises(CallerError):
                config.parse(b'{"host":"localhost","product":"hall","model":"hall"}', Config(), text.encode())


if __name__ == "__main__":
    unittest.main()
