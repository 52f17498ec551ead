"""Drivers as a release carries them: joined, renamed, loaded for as long as they are needed, on simulated buses."""

import pytest

from ota.release.bundle import compile_tree
from tests.firmware.boards import FIRMWARE, ROOT

SIM = {f"tests/sim/{name}.py": (ROOT / f"tests/sim/{name}.py").read_bytes() for name in ("chips", "machine", "modbus")}
BOARD = b'''    def sources(self, device, config):
        from board.sensors import build
        from tests.sim.chips import Aht
        from tests.sim.machine import Machine, Time
        from tests.sim.modbus import Slave, Uart
        machine = Machine(p34=2000000)
        machine.chips = {("i2c", 0, 0x38): Aht(0x60000, 0x80000)}
        machine.UART = Uart({1: Slave({52: 0x0000, 53: 0x4366})})
        return build.sources(config, machine, celsius=lambda: 40.0, one_wire=None, time=Time(), wait_ms=machine.UART.sleep_ms)
'''
PROBE = b'''
def run(info):
    import asyncio
    from node.app.sampler import Sampler

    async def sampled(sampler):
        rows = []
        for _ in range(3):
            sampler.start((0, 1, 2, 3))
            for _ in range(50):
                await asyncio.sleep(0)
            rows.append(sampler.take((0, 1, 2, 3)))
        return rows

    device = Device(info)
    before = set(sys.modules)
    with Loaded():
        sources = device.board.sources(device.id, device.config)
    left = len(set(sys.modules) - before)
    rows = asyncio.run(sampled(Sampler(sources, 4)))
    print('ROWS {"rows": %s, "left": %d}' % (rows, left))
    device.restart("sampled")
'''
CHANNELS = [("air", "Cel", "0.01"), ("power", "kW", "0.1"), ("tank", "bar", "0.01"), ("temp_chip", "Cel", "1")]
SENSORS = {
    "buses": {"i2c0": {"kind": "i2c", "id": 0, "scl": 22, "sda": 21},
              "rs485": {"kind": "uart", "id": 2, "tx": 17, "rx": 16, "de": 5}},
    "sensors": [
        {"driver": "aht20", "bus": "i2c0", "channels": {"temperature": "air"}},
        {"driver": "modbus", "bus": "rs485", "unit": 1,
         "registers": [{"channel": "power", "function": 4, "start": 52, "kind": "f32", "low_word_first": True}]},
        {"driver": "adc", "pin": 34, "channel": "tank", "gain": "2.5", "offset": "-1.25"}],
}


@pytest.fixture
def bundle():
    source = (FIRMWARE / "board/unix/board.py").read_bytes()
    before, found, _ = source.partition(b"    def sources(")
    assert found, "board/unix/board.py has changed: nothing would be tested"
    return compile_tree(FIRMWARE, ROOT / "build/umqtt/simple.py", {
        **SIM, "board/unix/board.py": (before + BOARD).replace(b"self.tls_sessions = 2", b"self.tls_sessions = 1"),
        "device.py": (FIRMWARE / "device.py").read_bytes() + PROBE})


def test_joined_and_renamed_drivers_read_something_else(make_board):
    channels = [{"name": name, "unit": unit, "resolution": step} for name, unit, step in CHANNELS]
    board = make_board(channels=channels, **SENSORS)
    board.power_on(heap="4m")
    said = board.console("ROWS")
    assert said["rows"] == [[2500, 2300, 375, 40]] * 3   # 0x43660000 is 230.0
    assert said["left"] == 0   # what is loaded for building stays in no table of modules
