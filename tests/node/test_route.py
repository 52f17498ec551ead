"""The way to the servers: DNS anew for each connection, the last good address while it is down. Both runtimes."""

import unittest

from node.agent import route
from node.errors import FlashError

HOST = "hall-0242ac110001.gw.example.org"


class Flash:
    """The Files port, as far as it is used here."""

    def __init__(self, content=None):
        self.content = content
        self.writes = []
        self.full = False

    def read(self, path):
        assert path == route.PATH
        return self.content

    def write_atomic(self, path, data):
        if self.full:
            raise FlashError("files.io", "full")
        self.writes.append(data)
        self.content = data


class TestRoute(unittest.TestCase):
    def setUp(self):
        self.flash = Flash()
        self.known = [None, None, 0]
        self.dns = "192.0.2.10"
        self.asked = []

    def ask(self, host):
        self.asked.append(host)
        if self.dns is None:
            raise OSError(-2)
        return self.dns

    def find(self, good=False):
        """One connection; good: a server says something in it."""
        found = route.find(self.known, self.flash, self.ask, HOST)
        if good:
            self.known[0] = found
        return found

    def restart(self):
        self.known = [None, None, 0]

    def test_moved_device_is_not_held_at_the_old_address(self):
        self.assertEqual(self.find(good=True), "192.0.2.10")
        self.dns = "2001:db8::20"
        self.assertEqual(self.find(good=True), "2001:db8::20")
        self.assertEqual(self.asked, [HOST, HOST])

    def test_dns_that_is_down_ends_no_connection(self):
        self.find(good=True)
        self.dns = None
        self.assertEqual(self.find(), "192.0.2.10")

    def test_dns_that_is_down_when_the_power_comes_back_leaves_no_device_mute(self):
        self.find(good=True)
        self.find(good=True)
        self.restart()
        self.dns = None
        self.assertEqual(self.find(), "192.0.2.10")

    def test_without_dns_and_without_an_address_the_fault_is_dnss(self):
        self.dns = None
        with self.assertRaises(OSError):
            self.find()

    def test_address_that_never_proved_itself_is_not_kept(self):
        """A captive portal's DNS gives its own address for every name."""
        self.find(good=True)
        self.dns = "10.0.0.1"
        self.find()
        self.dns = None
        self.assertEqual(self.find(), "192.0.2.10")
        self.restart()
        self.assertEqual(self.find(), "192.0.2.10")

    def test_flash_is_not_written_while_nothing_changes(self):
        for _ in range(3):
            for _ in range(5):
                self.find(good=True)
            self.restart()
        self.assertEqual(self.flash.writes, [b"192.0.2.10"])

    def test_name_with_changing_addresses_wears_no_flash_out(self):
        for i in range(100):
            self.dns = "192.0.2." + str(i)
            self.find(good=True)
        self.assertEqual(len(self.flash.writes), route.WRITES)
        self.dns = None
        self.assertEqual(self.find(), "192.0.2.99")

    def test_flash_that_is_full_ends_no_connection(self):
        self.flash.full = True
        for _ in range(3):
            self.assertEqual(self.find(good=True), "192.0.2.10")


if __name__ == "__main__":
    unittest.main()
