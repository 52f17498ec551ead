"""What tests of the flash log share: a ring on a simulated flash of four sectors, filled and looked at."""

import unittest

from host.sim.flash import NorFlash
from node.ring import OLDEST, Ring


def mounted(flash, overflow=OLDEST):
    ring = Ring(flash, 4, overflow)
    ring.mount()
    return ring


def data_of(ring, seq):
    for _, found, data in ring.records(seq):
        return data if found == seq else None
    return None


def payload(seq, size=150):
    return bytes([(seq * 7 + i) & 0xFF for i in range(size)])


def fill(ring, count, size=150, boot=1, weight=240):
    for _ in range(count):
        ring.append(boot, ring.next_seq, payload(ring.next_seq, size), weight)


def kept(ring):
    return [(boot, seq) for boot, seq, _ in ring.records(ring.first_unacked())]


class RingCase(unittest.TestCase):
    def setUp(self):
        self.flash = NorFlash(4)
        self.ring = mounted(self.flash)

    def reboot(self):
        self.flash = self.flash.power_on()
        self.ring = mounted(self.flash)
        return self.ring
