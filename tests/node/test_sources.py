"""Sources on a simulated machine: buses that stick, chips that fail beside others, pins and pulses, and the whole way to a row."""

import asyncio
import json
import struct
import unittest

from board.sensors import build
from board.sensors.ads1115 import Ads1115
from board.sensors.aht20 import Aht20
from board.sensors.bme280 import Bme280, Bmp280
from board.sensors.ds18b20 import Ds18b20
from board.sensors.lps22hb import Lps22hb
from board.sensors.max31855 import Max31855
from board.sensors.mcp3208 import Mcp3208
from board.sensors.mcp9600 import Mcp9600
from board.sensors.pulses import Interrupts
from board.sensors.sht import Sht3x, Sht4x
from node import catalog, config
from node.app.sampler import BAD_AFTER, Sampler
from node.errors import CallerError, SensorError
from node.settings import Config
from tests.node.common import code_of
from tests.sim.chips import Aht, Sht, Spi, mcp3208
from tests.sim.machine import Machine, Time
from tests.sim.modbus import Slave, Uart

BUSES = {"i2c0": {"kind": "i2c", "id": 0, "scl": 22, "sda": 21}, "uart2": {"kind": "uart", "id": 2, "tx": 17, "rx": 16},
         "spi1": {"kind": "spi", "id": 1, "sck": 14, "mosi": 13, "miso": 12}, "wire": {"kind": "onewire", "pin": 4}}
SHT = {"driver": "sht4x", "bus": "i2c0", "channels": {"temperature": "a", "humidity": {"channel": "b", "min": "5"}}}
AHT = {"driver": "aht20", "bus": "i2c0", "channels": {"temperature": "c"}}
ROM = b"\x28\xff\x64\x1e\x0f\x00\x00\x01"


def built(machine, sensors, *channels):
    """Sampler and sources; channels are (name, unit, resolution)."""
    site = {"host": "h", "product": "p", "model": "m", "buses": BUSES, "sensors": sensors,
            "channels": [{"name": name, "unit": unit, "resolution": step} for name, unit, step in channels]}
    read = config.parse(json.dumps(site).encode(), Config())
    found = build.sources(read, machine, celsius=lambda: 53.3333, one_wire=machine.one_wire, time=Time(),
                          wait_ms=getattr(machine, "UART", Uart({})).sleep_ms)
    return Sampler(found, len(channels)), found


def climate():
    machine = Machine()
    machine.chips = {("i2c", 0, 0x44): Sht(b"\xfd", 0x6666, 0x8000), ("i2c", 0, 0x38): Aht(0x60000, 0x80000)}
    sampler, _ = built(machine, [SHT, AHT], ("a", "Cel", "0.1"), ("b", "%RH", "0.01"), ("c", "Cel", "0.01"))
    return machine, sampler


def sampled(sampler, places=(0, 1, 2)):
    sampler.start(places)
    return sampler.take(places)


class TestChips(unittest.TestCase):
    def test_two_chips_of_a_bus_in_steps_of_their_channels(self):
        machine, sampler = climate()
        self.assertEqual(sampler.lead_ms((0, 1, 2)), 81)
        for _ in range(3):
            self.assertEqual(sampled(sampler), [250, 5650, 2500])
        self.assertEqual(machine.opened, [("i2c", 0, 100_000)])

    def test_chip_that_fails_stops_another(self):
        machine, sampler = climate()
        sampled(sampler)
        del machine.chips["i2c", 0, 0x44]
        machine.chips["i2c", 0, 0x38].busy = 0
        machine.opened = []
        sampler, _ = built(machine, [SHT, AHT], ("a", "Cel", "0.1"), ("b", "%RH", "0.01"), ("c", "Cel", "0.01"))
        for _ in range(40):
            self.assertEqual(sampled(sampler), [None, None, 2500])
        self.assertEqual(sampler.bad, 2)
        self.assertEqual(len(machine.opened), 1)   # the bus is well: another chip answers on it

    def test_damaged_answer_is_given_as_a_reading(self):
        machine, sampler = climate()
        machine.chips["i2c", 0, 0x44].noise = 0x10
        self.assertEqual(sampled(sampler), [None, None, 2500])
        machine.chips["i2c", 0, 0x44].noise = 0
        self.assertEqual(sampled(sampler), [250, 5650, 2500])

    def test_implausible_value_is_reported(self):
        machine, sampler = climate()
        machine.chips["i2c", 0, 0x44].words = (0x6666, 0x0C00)   # 4.9 % of 5
        for _ in range(BAD_AFTER + 1):
            self.assertEqual(sampled(sampler), [250, None, 2500])
        self.assertEqual(sampler.bad, 0)

    def test_chip_that_forgot_its_state_is_begun_anew(self):
        machine, sampler = climate()
        chip = machine.chips["i2c", 0, 0x38]
        chip.calibrated = False
        self.assertEqual(sampled(sampler)[2], None)
        self.assertEqual(sampled(sampler)[2], 2500)

    def test_thermocouple_inputs_and_wire_all_at_once(self):
        machine = Machine()
        machine.chips = {("cs", 15): Spi(lambda sent: (100 << 18 | 400 << 4).to_bytes(4, "big")),
                         ("cs", 2): Spi(mcp3208(0, 0, 2048, 0, 0, 0, 0, 4095)), ("onewire", 4): {ROM: 400}}
        for pin in (15, 2):
            machine.chips["cs", pin].selected = True   # as long as nobody drives its pin
        sampler, _ = built(machine, [
            {"driver": "mcp3208", "bus": "spi1", "cs": 2, "reference_uv": 4_096_000, "channels": {"ch7": "v", "ch2": "w"}},
            {"driver": "max31855", "bus": "spi1", "cs": 15, "channels": {"thermocouple": "t"}},
            {"driver": "ds18b20", "bus": "wire", "roms": ["28ff641e0f000001"], "channels": {"temperature0": "u"}}],
            ("t", "Cel", "0.25"), ("v", "V", "0.001"), ("w", "V", "0.001"), ("u", "Cel", "0.0625"))
        self.assertEqual(sampled(sampler, (0, 1, 2, 3)), [100, 4095, 2048, 400])
        self.assertEqual(sorted(machine.opened), [("onewire", 4), ("spi", 1, 1_000_000)])


    def test_chip_select_that_is_no_output_stops_another(self):
        machine = Machine()
        machine.chips = {("cs", 15): Spi(lambda sent: (100 << 18 | 400 << 4).to_bytes(4, "big"))}
        sampler, sources = built(machine, [{"driver": "max31855", "bus": "spi1", "cs": pin, "channels": {"thermocouple": name}}
                                           for pin, name in ((35, "a"), (15, "b"))], ("a", "Cel", "1"), ("b", "Cel", "1"))
        self.assertEqual(sampled(sampler, (0, 1)), [None, 25])
        self.assertEqual(code_of(self, SensorError, sources[0].start), "sensor.pin")


class TestStuckBus(unittest.TestCase):
    def stuck(self, clocks):
        machine, sampler = climate()
        line = {"scl": 22, "sda": 21, "clocks": clocks}
        machine.held.append(line)
        return machine, sampler, line

    def test_bus_stuck_since_our_reset_is_clocked_free_before_it_is_opened(self):
        for clocks in (1, 8, 9):
            machine, sampler, _ = self.stuck(clocks)
            self.assertEqual(sampled(sampler), [250, 5650, 2500])
            self.assertEqual(machine.edges, [22] * clocks + [22, 21])   # and a stop: SDA rises while SCL is high

    def test_free_bus_is_not_clocked(self):
        machine, sampler = climate()
        sampled(sampler)
        self.assertEqual(machine.edges, [22, 21])

    def test_bus_that_stays_stuck_hangs_the_firmware(self):
        machine, sampler, line = self.stuck(10_000)
        for _ in range(20):
            self.assertEqual(sampled(sampler), [None, None, None])
        self.assertEqual((sampler.bad, machine.opened), (3, []))
        line["clocks"] = 0
        rows = [sampled(sampler) for _ in range(17)]
        self.assertEqual(rows[-1], [250, 5650, 2500])
        self.assertEqual(sampler.bad, 0)

    def test_bus_that_sticks_at_work_is_recovered_and_opened_anew(self):
        machine, sampler = climate()
        sampled(sampler)
        machine.held.append({"scl": 22, "sda": 21, "clocks": 9})
        rows = [sampled(sampler) for _ in range(4)]
        self.assertEqual(rows[:2], [[None, None, None]] * 2)
        self.assertEqual(rows[-1], [250, 5650, 2500])
        self.assertEqual((len(machine.opened), machine.edges.count(22)), (2, 1 + 9 + 1))


class TestPins(unittest.TestCase):
    def test_channels_without_sensors_are_what_the_chip_measures_itself(self):
        machine = Machine(p34=1_234_560)
        sampler, _ = built(machine, [], ("adc34", "V", "0.001"), ("temp_chip", "Cel", "0.1"))
        self.assertEqual(sampled(sampler, (0, 1)), [1235, 533])

    def test_median_of_five_conversions(self):
        machine = Machine(p34=[900_000, 100_000, 100_500, 3_000_000, 101_000])
        sampler, _ = built(machine, [], ("adc34", "V", "0.0001"))
        self.assertEqual(sampled(sampler, (0,)), [1010])

    def test_pin_that_cannot_do_it_stops_another(self):
        machine = Machine(p34=1_000_000, p27=ValueError("invalid pin"))
        sampler, _ = built(machine, [{"driver": "adc", "pin": 34, "channel": "tank", "gain": "2.5", "offset": "-1.25"},
                                     {"driver": "adc", "pin": 27, "channel": "x"}], ("tank", "bar", "0.01"), ("x", "V", "1"))
        for _ in range(20):
            self.assertEqual(sampled(sampler, (0, 1)), [125, None])

    def test_transmitter_whose_wire_is_broken_reads_a_negative_pressure(self):
        machine = Machine(p34=20_000)
        sensor = {"driver": "adc", "pin": 34, "channel": "tank", "gain": "2.5", "offset": "-1.25", "min": "0", "max": "10"}
        sampler, sources = built(machine, [sensor], ("tank", "bar", "0.01"))
        self.assertEqual(sampled(sampler, (0,)), [None])
        sources[0].start()
        self.assertEqual(code_of(self, SensorError, sources[0].read), "sensor.range")

    def test_channel_that_nothing_feeds(self):
        self.assertEqual(code_of(self, CallerError, built, Machine(), [], ("temp", "Cel", "1")), "board.sensors")


FLOW = {"driver": "pulse", "pin": 27, "channel": "flow", "gain": "0.5"}


class TestPulses(unittest.TestCase):
    def test_pulses_between_samples_half_litres_carried_over(self):
        machine = Machine(counter=True)
        sampler, _ = built(machine, [FLOW], ("flow", "l", "1"))
        self.assertEqual(sampled(sampler, (0,)), [None])   # since when?
        found = []
        for n in (3, 6, 6, 7):
            machine.counters[27].n = n
            found += sampled(sampler, (0,))
        self.assertEqual(found, [1, 2, 0, 0])
        machine.counters[27].n = 8
        self.assertEqual(sampled(sampler, (0,)), [1])
        self.assertEqual(machine.counters[27].edge, 2)

    def test_chip_whose_counter_micropython_does_not_offer(self):
        machine = Machine()
        sampler, _ = built(machine, [dict(FLOW, gain="1", edge="rising")], ("flow", "l", "1"))
        sampled(sampler, (0,))
        handler, edge = machine.handlers[27]
        for _ in range(5):
            handler(None)
        self.assertEqual((sampled(sampler, (0,)), sampled(sampler, (0,)), edge), ([5], [0], 5))

    def test_contact_that_bounces_is_counted_twice(self):
        machine, time = Machine(counter=True), Time()
        time.now = (1 << 30) - 10   # its ticks wrap
        counter = Interrupts(machine.Pin(27), machine.Pin.IRQ_FALLING, 20, lambda: time.now & (1 << 30) - 1)
        handler, _ = machine.handlers[27]
        for ms in (0, 3, 15, 30, 19, 20):
            time.now += ms
            handler(None)
        self.assertEqual(counter.value(), 3)

    def test_sampler_that_begins_anew_counts_pulses_again(self):
        machine = Machine(counter=True)
        sampler, _ = built(machine, [FLOW], ("flow", "l", "1"))
        sampled(sampler, (0,))
        machine.counters[27].n = 100
        self.assertEqual(sampled(sampler, (0,)), [50])
        sampler, _ = built(machine, [FLOW], ("flow", "l", "1"))   # the app crashed
        self.assertEqual(sampled(sampler, (0,)), [None])
        self.assertEqual(sampled(sampler, (0,)), [0])

    def test_refused_counter_is_a_failure_of_this_source(self):
        machine = Machine()
        machine.Counter = None   # whatever it raises
        sampler, _ = built(machine, [FLOW, {"driver": "chip", "channel": "t"}], ("flow", "l", "1"), ("t", "Cel", "1"))
        self.assertEqual(sampled(sampler, (0, 1)), [None, 53])


class TestModbus(unittest.TestCase):
    def test_registers_of_a_configuration(self):
        def register(channel, function, start, **more):
            return dict(more, channel=channel, function=function, start=start)

        volts = struct.unpack(">2H", struct.pack(">f", 230.5))
        machine = Machine()
        slave = Slave({10: volts[1], 11: volts[0], 12: 0xFFFE, 40: 0x3412}, {3: 1})
        machine.UART = Uart({7: slave})
        sampler, sources = built(machine, [{"driver": "modbus", "bus": "uart2", "unit": 7, "registers": [
            register("a", 3, 10, kind="f32", low_word_first=True), register("b", 3, 12, kind="s16", gain="0.1"),
            register("c", 4, 40, low_byte_first=True, offset="-1000"), register("d", 2, 3)]}],
            ("a", "V", "0.1"), ("b", "kW", "0.01"), ("c", "", "1"), ("d", "", "1"))
        places = (0, 1, 2, 3)

        async def run():
            sampler.start(places)
            for _ in range(200):
                await asyncio.sleep(0)
            return sampler.take(places)

        self.assertEqual(asyncio.run(run()), [2305, -20, 0x1234 - 1000, 1])
        self.assertEqual(slave.asked, [(2, 3, 1), (3, 10, 3), (4, 40, 1)])   # what touches in one question
        self.assertEqual(len(sources), 1)


class TestCatalog(unittest.TestCase):
    def test_table_says_what_the_drivers_say(self):
        kinds = {"sht3x": Sht3x, "sht4x": Sht4x, "aht20": Aht20, "bme280": Bme280, "bmp280": Bmp280, "lps22hb": Lps22hb,
                 "mcp9600": Mcp9600, "max31855": Max31855}
        for name, kind in kinds.items():
            _, addresses, gives = catalog.driver(name)
            self.assertEqual(addresses, list(kind.ADDRESSES))
            self.assertEqual(gives, {quantity: unit for quantity, unit, _ in kind.GIVES})
        for name, driver in (("ads1115", Ads1115(None, inputs=range(4))), ("mcp3208", Mcp3208(None, None, range(8))),
                             ("ds18b20", Ds18b20(None, range(8)))):
            _, addresses, gives = catalog.driver(name)
            self.assertEqual((addresses, gives), (list(driver.ADDRESSES), {quantity: unit for quantity, unit, _ in driver.GIVES}))
            kinds[name] = driver
        self.assertEqual(set(catalog.names()) - set(kinds), {"adc", "chip", "modbus", "pulse"})


if __name__ == "__main__":
    unittest.main()
