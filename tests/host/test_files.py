"""Files with secrets: who may read them."""

import os

import pytest

from host.files import others_may_read


def status(mode, uid, gid):
    return os.stat_result((0o100000 | mode, 1, 1, 1, uid, gid, 1, 0, 0, 0))


@pytest.mark.parametrize(("mode", "uid", "gid", "open_"), [
    (0o600, 1000, 1000, False), (0o400, 0, 0, False),
    (0o440, 0, 0, False),      # a credential of systemd
    (0o440, 0, 1000, True), (0o640, 0, 0, True), (0o640, 1000, 0, True), (0o660, 1000, 1000, True), (0o604, 1000, 1000, True),
    (0o444, 0, 0, True),
])
def test_a_secret_that_others_read_is_taken_or_one_of_systemd_refused(mode, uid, gid, open_):
    assert others_may_read(status(mode, uid, gid)) is open_
