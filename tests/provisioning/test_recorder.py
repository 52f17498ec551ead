"""Group commit of certificates: a commit for each of many, one who fails another, who goes on before his commit."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from provisioning.enrol.recorder import Recorder
from provisioning.ledger import Ledger, NewCertificate

from .conftest import DAY_S, NOW_S, Device

MANY = 12


def new(device, serial, key=None):
    return NewCertificate(serial, device.device, NOW_S + DAY_S, NOW_S, "svc.enrol", "birth key", key)


@pytest.fixture
def known(station):
    device = Device()
    station.hear(device.line(), NOW_S)
    return device


class Held:
    """Holds the first commit back until all others wait for the next."""

    def __init__(self, ledger: Ledger, waiting: int) -> None:
        self._ledger, self._waiting = ledger, waiting
        self.groups: list[int] = []
        self.begun = False

    def commit(self, given):
        self.begun = True
        while not self.groups and len(self.recorder._waiting) < self._waiting:
            threading.Event().wait(0.001)
        self.groups.append(len(given))
        return self._ledger.record_certificates(given)

    def all(self, given, *later):
        """What becomes of those that ask at once, and then of those that ask one by one."""
        async def ask():
            with ThreadPoolExecutor(1) as thread:
                self.recorder = Recorder(self.commit, thread)
                first = asyncio.create_task(self.recorder.record(given[0]))
                while not self.begun:
                    await asyncio.sleep(0)
                rest = [self.recorder.record(each) for each in given[1:]]
                together = await asyncio.gather(first, *rest, return_exceptions=True)
                return [*together, *[await self.recorder.record(each) for each in later]]

        return asyncio.run(ask())


def test_those_who_wait_for_a_commit_share_the_next(ledger, known):
    held = Held(ledger, MANY - 1)
    assert held.all([new(known, f"{number:x}") for number in range(MANY)]) == [True] * MANY
    assert held.groups == [1, MANY - 1]
    assert {each.serial for each in ledger.certificates(known.device)} == {f"{number:x}" for number in range(MANY)}
    assert ledger.verify() == ledger.head()[0] == 2 + MANY


def test_one_with_a_key_from_before_is_refused_and_the_others_are_not(ledger, known):
    given = [new(known, "1"), new(known, "2", known.public.hex()), new(known, "3", Device().public.hex()), new(known, "4")]
    assert Held(ledger, 3).all(given) == [True, True, False, True]
    assert {each.serial for each in ledger.certificates(known.device)} == {"1", "2", "4"}
    assert ledger.verify() == 5


def test_nobody_of_a_commit_that_failed_goes_on_and_the_next_commit_does(ledger, known):
    given = [new(known, "1"), new(known, "1"), new(known, "2")]   # a serial number twice: the group is rolled back
    first, *failed, later = Held(ledger, 2).all(given, new(known, "2"))
    assert first is later is True
    assert [type(each).__name__ for each in failed] == ["IntegrityError"] * 2
    assert [each.serial for each in ledger.certificates(known.device)] == ["1", "2"]
    assert ledger.verify() == 4
