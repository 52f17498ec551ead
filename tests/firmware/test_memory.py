"""A board with room for one TLS session: what is loaded for a while leaves its memory."""

import pytest

from ota.release.bundle import compile_tree
from tests.firmware.boards import FIRMWARE, ROOT

BALLAST_BYTES = 1 << 20   # as much as a few firmwares
PROBE = b'''
def run(info):
    device = Device(info)
    gc.collect()
    print('MEMORY {"used": %d}' % gc.mem_alloc())
    device.restart("measured")
'''


def changed(path, old, new):
    source = (FIRMWARE / path).read_bytes()
    assert source.count(old) == 1, f"{path} has changed: nothing would be tested"
    return source.replace(old, new)


@pytest.fixture
def bundle():
    ballast = b"\nBALLAST = bytearray(%d)\n" % BALLAST_BYTES
    return compile_tree(FIRMWARE, ROOT / "build/umqtt/simple.py", {
        "board/unix/board.py": changed("board/unix/board.py", b"self.tls_sessions = 2", b"self.tls_sessions = 1"),
        "node/config.py": changed("lib/node/config.py", b"    _fill(config, raw)\n",
                                  b"    _fill(config, raw)\n    BALLAST[0] = 1\n") + ballast,
        "device.py": (FIRMWARE / "device.py").read_bytes() + PROBE,
    })


def test_code_that_reads_the_configuration_stays_in_memory(make_board):
    board = make_board()
    board.power_on(heap="4m")
    assert board.console("MEMORY")["used"] < BALLAST_BYTES
