"""Delivered configurations: half of one, a wrong one, one that makes the device ill, and power that goes at any moment."""

import json
import unittest

from node import config as config_module
from node.agent import reconfigure, trial
from node.agent.reconfigure import CURRENT, NEW, SITE, name_of
from node.errors import PeerError
from node.settings import Config
from tests.node.common import code_of
from tests.sim.memory import MemoryFiles

LINES = {"host": "h", "product": "hall", "model": "hall", "period_ms": 1000, "channels": [{"name": "a"}]}
FAST = b'{"period_ms":100}'
SLOW = b'{"period_ms":5000}'
WRONG = b'{"period_ms":1}'


class Cut(Exception):  # noqa: N818
    """Power goes."""


class CutFiles(MemoryFiles):
    """Files whose power goes before the n-th change; None: never."""

    left = None

    def _change(self):
        if self.left is not None:
            if not self.left:
                raise Cut()
            self.left -= 1

    def write_atomic(self, path, data):
        self._change()
        super().write_atomic(path, data)

    def remove(self, path):
        self._change()
        super().remove(path)


def parse(site, delivered):
    return config_module.parse(site, Config(), delivered)


def fresh():
    files = CutFiles()
    files.mkdirs("/state")
    files.write_atomic(SITE, json.dumps(LINES).encode())
    return files


def boot(files):
    """(period of this boot, whether what was delivered bears its right name, trial)."""
    config, name, on_trial = reconfigure.choose(files, parse)
    if on_trial:
        assert name == name_of(files.read(NEW))
    return config.period_ms, name, on_trial


def take(files, body):
    return reconfigure.take(files, name_of(body), body, parse)


class ReconfigureTest(unittest.TestCase):
    def test_taken_tried_and_kept(self):
        files = fresh()
        self.assertEqual(boot(files), (1000, "", False))
        self.assertTrue(take(files, FAST))
        self.assertEqual(boot(files), (100, name_of(FAST), True))
        reconfigure.confirm(files)
        self.assertEqual(boot(files), (100, name_of(FAST), False))
        self.assertEqual(reconfigure.failed(files), None)

    def test_given_up_goes_back_to_the_one_before_and_tells(self):
        files = fresh()
        take(files, FAST)
        boot(files)
        reconfigure.confirm(files)
        take(files, SLOW)
        self.assertEqual(boot(files)[0], 5000)
        reconfigure.give_up(files, "no ack")
        self.assertEqual(boot(files), (100, name_of(FAST), False))
        self.assertEqual(reconfigure.failed(files), {"name": name_of(SLOW), "reason": "no ack"})
        reconfigure.heard(files)
        self.assertEqual(reconfigure.failed(files), None)

    def test_one_that_keeps_the_board_from_living_ends_after_three_boots(self):
        files = fresh()
        take(files, FAST)
        self.assertEqual([boot(files)[0] for _ in range(5)], [100, 100, 100, 1000, 1000])
        self.assertEqual(reconfigure.failed(files)["reason"], "boots")

    def test_second_trial_has_all_its_boots(self):
        files = fresh()
        take(files, FAST)
        boot(files)
        boot(files)
        take(files, SLOW)
        self.assertEqual([boot(files)[0] for _ in range(4)], [5000, 5000, 5000, 1000])

    def test_wrong_one_is_refused_whole_and_told(self):
        files = fresh()
        for body in (WRONG, b"{", b"[]", b'{"channels":[{"name":"a"},{"name":"a"}]}'):
            self.assertFalse(take(files, body))
            self.assertEqual(reconfigure.failed(files)["name"], name_of(body))
            self.assertEqual(boot(files), (1000, "", False))

    def test_bytes_that_are_not_what_they_are_called_are_refused(self):
        files = fresh()
        self.assertEqual(code_of(self, PeerError, reconfigure.take, files, name_of(SLOW), FAST, parse), "config.name")
        self.assertEqual(files.read(NEW), None)

    def test_address_identity_and_trial_cannot_be_delivered(self):
        files = fresh()
        body = b'{"host":"evil","zone":"evil","model":"x","trial_s":86400,"mqtt_port":1,"period_ms":100}'
        self.assertTrue(take(files, body))
        config = reconfigure.choose(files, parse)[0]
        self.assertEqual((config.host, config.zone, config.model, config.trial_s, config.mqtt_port, config.period_ms),
                         ("h", "", "hall", 600, 8883, 100))

    def test_release_that_does_not_take_the_one_in_force_runs_as_the_line_left_it(self):
        files = fresh()
        files.write_atomic(CURRENT, WRONG)
        self.assertEqual(boot(files), (1000, "", False))
        self.assertEqual(reconfigure.failed(files)["name"], name_of(WRONG))

    def test_power_cut_at_every_change_leaves_the_old_or_the_new(self):
        for cut in range(12):
            files = fresh()
            take(files, SLOW)
            boot(files)
            reconfigure.confirm(files)
            files.left = cut
            done = False
            try:
                take(files, FAST)
                boot(files)
                reconfigure.confirm(files)
                done = True
            except Cut:
                pass
            files.left = None
            period, _, on_trial = boot(files)
            self.assertTrue(period in (5000, 100))
            if done:
                self.assertEqual((period, on_trial), (100, False))
            if on_trial:
                reconfigure.confirm(files)
                self.assertEqual(boot(files), (100, name_of(FAST), False))
        self.assertTrue(done)

    def test_broken_note_of_a_failure_is_none(self):
        files = fresh()
        for raw in (b"", b"{", b"[1]", b'{"name":1}'):
            files.write_atomic(reconfigure.FAILED, raw)
            self.assertEqual(reconfigure.failed(files), None)


class JudgeTest(unittest.TestCase):
    def test_healthy_for_a_moment_is_not_enough(self):
        self.assertEqual(reconfigure.judge(True, True, True, 0, 1000, 1000, 60000)[0], trial.WAIT)
        self.assertEqual(reconfigure.judge(True, True, True, 0, 60000, 60000, 60000)[0], trial.CONFIRM)

    def test_without_readings_acks_or_checkins_it_is_given_up(self):
        for acked, checked_in, readings, reason in ((True, True, False, "no readings"), (False, True, True, "no ack"),
                                                    (True, False, True, "no check-in"), (False, False, False, "no server")):
            self.assertEqual(reconfigure.judge(acked, checked_in, readings, 0, 60000, 60000, 60000), (trial.GIVE_UP, reason))

    def test_crashing_app_ends_it_at_once(self):
        self.assertEqual(reconfigure.judge(True, True, True, 5, 1000, 1000, 60000), (trial.GIVE_UP, "app crashes"))
