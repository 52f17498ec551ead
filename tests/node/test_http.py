"""The HTTP client: servers that lie, stall, flood or leave, and downloads that go on where they ended."""

import asyncio
import unittest

from node.agent.http import MAX_HEAD_BYTES, HttpClient
from node.errors import NetworkError, NodeError, PeerError
from tests.sim.network import PipeNet

BODY = bytes(range(256)) * 8
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class TestHttp(unittest.TestCase):
    def setUp(self):
        self.net = PipeNet(self.serve)
        self.answers = [OK]
        self.hang_up = True
        self.asked = b""

    def serve(self, pipe, data):
        self.asked += data
        for piece in self.answers:
            pipe.say(piece)
        self.answers = []
        if self.hang_up:
            pipe.hang_up()

    def client(self):
        return HttpClient(self.net, "localhost", 8443, True, timeout_s=0.05)

    def request(self, *arguments, **named):
        return asyncio.run(self.client().request(*arguments, **named))

    def download(self, offset=0, cap=10000):
        self.got = b""

        def sink(data):
            self.got += bytes(data)

        return asyncio.run(self.client().download("/a", offset, sink, cap))

    def refused(self, *answers, **named):
        """The code with which an answer is refused; the connection must be closed."""
        self.answers = list(answers)
        with self.assertRaises(NodeError) as caught:
            self.request("GET", "/", **named)
        self.assertTrue(self.net.pipes[-1].closed)
        return caught.exception.code

    def test_request_is_one_write_with_all_it_needs(self):
        answer = self.request("POST", "/v1/x", b"{}", headers=(("X-A", "b"),))
        self.assertEqual((answer.status, answer.body), (200, b"hello"))
        self.assertEqual(self.asked, b"POST /v1/x HTTP/1.1\r\nHost: localhost:8443\r\nConnection: close\r\n"
                         b"Content-Type: application/json\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}")
        self.assertEqual((len(self.net.pipes[0].writes), self.net.asked), (1, [("localhost", 8443, True)]))

    def test_answer_may_come_byte_by_byte(self):
        self.answers = [OK[i:i + 1] for i in range(len(OK))]
        self.assertEqual(self.request("GET", "/").body, b"hello")

    def test_header_names_have_no_case(self):
        self.answers = [b"HTTP/1.1 202 Wait\r\nRETRY-after: 7\r\ncontent-LENGTH: 0\r\n\r\n"]
        answer = self.request("GET", "/")
        self.assertEqual((answer.status, answer.headers["retry-after"]), (202, "7"))

    def test_answer_without_a_body_needs_no_length(self):
        self.answers = [b"HTTP/1.1 204 No Content\r\n\r\n"]
        self.assertEqual(self.request("DELETE", "/").status, 204)

    def test_malformed_answers_are_refused(self):
        for answer in (b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 2x0 \r\n\r\n", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
                       b"HTTP/1.1 200 OK\r\na: \xff\xfe\r\n\r\n"):
            self.assertEqual(self.refused(answer), "http.head")

    def test_body_of_unknown_or_excessive_length_is_refused(self):
        head = b"HTTP/1.1 200 OK\r\n"
        for line in (b"", b"Content-Length: -1\r\n", b"Content-Length: x\r\n", b"Content-Length: 101\r\n",
                     b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"):
            self.assertEqual(self.refused(head + line + b"\r\nhello", cap=100), "http.length")

    def test_more_than_was_announced_is_refused(self):
        self.assertEqual(self.refused(OK + b"more"), "http.length")

    def test_endless_headers_do_not_fill_the_heap(self):
        self.assertEqual(self.refused(b"HTTP/1.1 200 OK\r\na: " + b"x" * (MAX_HEAD_BYTES + 600)), "http.head")

    def test_peer_that_leaves_early_is_a_network_fault(self):
        for answer in (b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"):
            self.assertEqual(self.refused(answer), "http.short")

    def test_silent_peer_is_left_at_the_deadline(self):
        self.hang_up = False
        for answer in (b"", OK[:-1]):
            self.assertEqual(self.refused(answer), "http.timeout")

    def test_download_streams_in_order(self):
        self.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n" + BODY[:700], BODY[700:]]
        self.assertEqual(self.download().status, 200)
        self.assertEqual(self.got, BODY)
        self.assertNotIn(b"Range", self.asked)

    def test_download_goes_on_where_it_ended(self):
        self.answers = [b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1000-2047/2048\r\nContent-Length: 1048\r\n\r\n",
                        BODY[1000:]]
        self.download(1000)
        self.assertEqual(self.got, BODY[1000:])
        self.assertIn(b"\r\nRange: bytes=1000-\r\n", self.asked)

    def test_server_that_starts_elsewhere_writes_nothing(self):
        for head in (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 10-2047/2048\r\n",
                     b"HTTP/1.1 206 Partial Content\r\n"):
            self.answers = [head + b"Content-Length: 5\r\n\r\nhello"]
            with self.assertRaises(PeerError) as caught:
                self.download(1000)
            self.assertEqual((caught.exception.code, self.got), ("http.range", b""))

    def test_refused_download_gives_nothing_to_the_sink(self):
        self.answers = [b"HTTP/1.1 503 Busy\r\nRetry-After: 9\r\nContent-Length: 4\r\n\r\nbusy"]
        answer = self.download()
        self.assertEqual((answer.status, answer.headers["retry-after"], self.got), (503, "9", b""))

    def test_cut_download_keeps_what_arrived(self):
        self.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n" + BODY[:700]]
        with self.assertRaises(NetworkError):
            self.download()
        self.assertEqual(self.got, BODY[:700])
        self.assertTrue(self.net.pipes[-1].closed)

    def test_larger_body_than_signed_is_refused_before_the_first_byte(self):
        self.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 2048\r\n\r\n" + BODY]
        with self.assertRaises(PeerError):
            self.download(0, cap=2047)
        self.assertEqual(self.got, b"")

    def test_connection_that_fails_leaves_nothing_open(self):
        self.net.fault = OSError(111)
        with self.assertRaises(OSError):
            self.request("GET", "/")
        self.assertEqual(self.net.pipes, [])


if __name__ == "__main__":
    unittest.main()
