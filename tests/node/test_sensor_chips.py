"""Each driver against its chip: the datasheet's numbers, and what a cable, a reset and a missing chip look like."""

import struct
import unittest

from board.sensors.ads1115 import Ads1115, microvolts
from board.sensors.aht20 import Aht20
from board.sensors.bme280 import Bme280, Bmp280, compensated_humidity, compensated_pressure, fine_temperature
from board.sensors.crc8 import maxim, sensirion
from board.sensors.ds18b20 import Ds18b20
from board.sensors.ds18b20 import parsed as ds18b20_parsed
from board.sensors.lps22hb import Lps22hb, decipascals
from board.sensors.max31855 import Max31855
from board.sensors.max31855 import parsed as max31855_parsed
from board.sensors.mcp3208 import Mcp3208
from board.sensors.mcp9600 import Mcp9600
from board.sensors.sht import Sht3x, Sht4x
from node.errors import SensorError
from tests.node.common import code_of
from tests.sim import chips
from tests.sim.chips import Ads, Aht, Bosch, I2c, OneWire, Sht, Spi, mcp3208

ROM = b"\x28\xff\x64\x1e\x0f\x00\x00\x01"
EXAMPLE = (27504, 26435, -1000, 36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)   # BMP280 datasheet, figure 11
HUMID = (75, 370, 0, 313, 50, 30)


def measured(driver):
    driver.start()
    return driver.read()


def bosch(ident, ticks_t=519888, ticks_p=415148, ticks_h=28000):
    h1, h2, h3, h4, h5, h6 = HUMID
    sample = (ticks_p << 4).to_bytes(3, "big") + (ticks_t << 4).to_bytes(3, "big") + ticks_h.to_bytes(2, "big")
    tail = struct.pack("<hBbBbb", h2, h3, h4 >> 4, (h5 & 0xF) << 4 | h4 & 0xF, h5 >> 4, h6)
    return Bosch(ident, {0x88: struct.pack("<HhhHhhhhhhhh", *EXAMPLE), 0xA1: bytes((h1,)), 0xE1: tail}, sample)


class TestChecks(unittest.TestCase):
    def test_datasheets_examples(self):
        self.assertEqual(sensirion(b"\xbe\xef"), 0x92)                      # SHT4x, 4.4
        self.assertEqual(maxim(b"\x02\x1c\xb8\x01\x00\x00\x00"), 0xA2)      # Maxim application note 27


class TestSht(unittest.TestCase):
    def test_ends_and_middle_of_both_lines(self):
        for ticks, expected in ((0, (-4500, 0)), (0xFFFF, (13000, 10000)), (0x8000, (4250, 5650))):
            self.assertEqual(measured(Sht4x(I2c(x44=Sht(b"\xfd", ticks, ticks)))), expected)
        self.assertEqual(measured(Sht3x(I2c(x44=Sht(b"\x24\x00", 0x8000, 0x8000)))), (4250, 5000))

    def test_damaged_word_is_taken_for_a_reading(self):
        chip = Sht(b"\xfd", 0x6666, 0x8000)
        chip.noise = 0x10
        self.assertEqual(code_of(self, SensorError, measured, Sht4x(I2c(x44=chip))), "sensor.crc")

    def test_reading_before_the_measurement_has_ended_is_an_old_value(self):
        driver = Sht4x(I2c(x44=Sht(b"\xfd", 0x6666, 0x8000)))
        measured(driver)
        with self.assertRaises(OSError):
            driver.read()

    def test_absent_chip(self):
        with self.assertRaises(OSError):
            measured(Sht4x(I2c()))


class TestAht20(unittest.TestCase):
    def test_formulas_of_the_data_manual(self):
        self.assertEqual(measured(Aht20(I2c(x38=Aht(0x60000, 0x80000)))), (2500, 5000))

    def test_chip_that_forgot_its_calibration_is_read_all_the_same(self):
        driver = Aht20(I2c(x38=Aht(0x60000, 0x80000, calibrated=False)))
        self.assertEqual(code_of(self, SensorError, driver.start), "sensor.uncalibrated")
        self.assertEqual(measured(driver), (2500, 5000))

    def test_measurement_under_way_is_taken_for_a_reading(self):
        driver = Aht20(I2c(x38=Aht(0x60000, 0x80000, busy=1)))
        self.assertEqual(code_of(self, SensorError, measured, driver), "sensor.busy")
        self.assertEqual(driver.read(), (2500, 5000))


class TestBosch(unittest.TestCase):
    def test_worked_example_of_the_datasheet(self):
        fine = fine_temperature(EXAMPLE, 519888)
        self.assertEqual(fine, 128422)
        self.assertEqual(compensated_pressure(EXAMPLE, fine, 415148), 25767233)   # 100653.25 Pa; 100653.27 in floating point
        self.assertEqual(measured(Bmp280(I2c(x76=bosch(0x58)))), (2508, 1006533))

    def test_humidity_differs_from_the_datasheets_floating_point(self):
        fine = fine_temperature(EXAMPLE, 519888)
        h1, h2, h3, h4, h5, h6 = HUMID
        for ticks in range(20000, 45000, 1000):
            off = fine - 76800.0
            wet = (ticks - (h4 * 64.0 + h5 / 16384.0 * off)) * (
                h2 / 65536.0 * (1.0 + h6 / 67108864.0 * off * (1.0 + h3 / 67108864.0 * off)))
            wet = min(max(wet * (1.0 - h1 * wet / 524288.0), 0.0), 100.0)
            self.assertTrue(abs(compensated_humidity(EXAMPLE + HUMID, fine, ticks) / 1024 - wet) < 0.02)

    def test_all_three_quantities_of_a_bme280(self):
        values = measured(Bme280(I2c(x76=bosch(0x60))))
        self.assertEqual(values[:2], (2508, 1006533))
        self.assertTrue(0 < values[2] < 10000)

    def test_another_chip_at_its_address(self):
        self.assertEqual(code_of(self, SensorError, measured, Bme280(I2c(x76=bosch(0x58)))), "sensor.chip")

    def test_reset_between_two_readings_gives_the_datasheets_reset_value(self):
        chip = bosch(0x60)
        driver = Bme280(I2c(x76=chip))
        measured(driver)
        driver.start()
        chip.reset()
        self.assertEqual(code_of(self, SensorError, driver.read), "sensor.unmeasured")
        self.assertEqual(measured(driver)[:2], (2508, 1006533))

    def test_implausible_value_is_reported(self):
        self.assertEqual(code_of(self, SensorError, measured, Bmp280(I2c(x76=bosch(0x58, ticks_t=0xFFFFF)))), "sensor.range")


class TestLps22hb(unittest.TestCase):
    def test_worked_example_of_the_datasheet(self):
        self.assertEqual(decipascals(0x3FF58D), 1023347)   # the datasheet: 1023.3 hPa
        self.assertEqual(measured(Lps22hb(I2c(x5c=chips.Lps(0x3FF58D, 2512)))), (2512, 1023347))

    def test_measurement_that_has_not_ended_is_the_one_before(self):
        chip = chips.Lps(0x3FF58D, -1234)
        driver = Lps22hb(I2c(x5c=chip))
        self.assertEqual(measured(driver)[0], -1234)
        chip.slow = True
        self.assertEqual(code_of(self, SensorError, measured, driver), "sensor.busy")

    def test_another_chip_and_a_pressure_that_cannot_be(self):
        chip = chips.Lps(0x3FF58D, 2512)
        chip.registers[0x0F] = 0xBD   # LPS25HB
        self.assertEqual(code_of(self, SensorError, measured, Lps22hb(I2c(x5c=chip))), "sensor.chip")
        self.assertEqual(code_of(self, SensorError, measured, Lps22hb(I2c(x5c=chips.Lps(-1, 2512)))), "sensor.range")


class TestMcp9600(unittest.TestCase):
    def test_signs_of_both_junctions(self):
        self.assertEqual(measured(Mcp9600(I2c(x60=chips.Mcp9600(4000, -16)))), (4000, -16))
        self.assertEqual(measured(Mcp9600(I2c(x60=chips.Mcp9600(-160, 400)))), (-160, 400))

    def test_type_of_the_thermocouple_is_written_with_each_start(self):
        chip = chips.Mcp9600(0, 0)
        driver = Mcp9600(I2c(x60=chip), 0x60, "N")
        measured(driver)
        chip.settings = {}   # as after a dip of its supply
        measured(driver)
        self.assertEqual(chip.settings, {0x05: 0x30, 0x06: 0xA0, 0x04: 0})

    def test_conversion_that_has_not_ended_is_the_one_before(self):
        chip = chips.Mcp9600(400, 400)
        chip.slow = True
        self.assertEqual(code_of(self, SensorError, measured, Mcp9600(I2c(x60=chip))), "sensor.busy")

    def test_voltage_outside_the_types_table(self):
        chip = chips.Mcp9600(400, 400)
        chip.beyond = True
        self.assertEqual(code_of(self, SensorError, measured, Mcp9600(I2c(x60=chip))), "sensor.range")


class TestAds1115(unittest.TestCase):
    def test_codes_of_the_datasheet(self):
        for ticks, expected in ((0x0001, 125), (0xFFFF, -125), (0, 0), (0x4000, 2048000), (0x7FFF, 4095875)):
            self.assertEqual(microvolts(ticks, 1), expected)

    def test_inputs_one_after_another(self):
        waits = []
        driver = Ads1115(I2c(x48=Ads(0.5, 1.25, 0.0, 3.0)), inputs=(0, 1, 3), sleep_ms=waits.append)
        self.assertEqual(measured(driver), (500000, 1250000, 3000000))
        self.assertEqual(waits, [2, 2])

    def test_input_beyond_its_range_is_its_end(self):
        driver = Ads1115(I2c(x48=Ads(4.5, 1.0)), inputs=(0, 1), sleep_ms=lambda ms: None)
        self.assertEqual(measured(driver), (None, 1000000))

    def test_conversion_that_has_not_ended_is_the_one_before(self):
        driver = Ads1115(I2c(x48=Ads(1.0, slow=2)), sleep_ms=lambda ms: None)
        self.assertEqual(measured(driver), (1000000,))
        driver = Ads1115(I2c(x48=Ads(1.0, slow=9)), sleep_ms=lambda ms: None)
        self.assertEqual(code_of(self, SensorError, measured, driver), "sensor.busy")


class TestMcp3208(unittest.TestCase):
    def test_each_input_is_asked_by_its_number(self):
        spi = Spi(mcp3208(0, 4095, 2048, 1, 2, 3, 4, 1024))
        driver = Mcp3208(spi, spi.cs, inputs=(0, 1, 2, 7), reference_uv=4096000)
        self.assertEqual(measured(driver), (0, 4095000, 2048000, 1024000))
        self.assertFalse(spi.selected)

    def test_missing_chip_reads_full_scale(self):
        spi = Spi(None)
        self.assertEqual(code_of(self, SensorError, measured, Mcp3208(spi, spi.cs)), "sensor.absent")


class TestMax31855(unittest.TestCase):
    def test_tables_4_and_5_of_the_datasheet(self):
        for bits, quarters in ((0b01100100000000, 6400), (0b00000110010000, 400), (0b00000000000001, 1), (0b11111111111100, -4),
                               (0b11110000011000, -1000)):
            self.assertEqual(max31855_parsed(bits << 18 | 0x190 << 4)[0], quarters)
        for bits, sixteenths in ((0b011111110000, 2032), (0b011001001001, 1609), (0b111111110000, -16), (0b110010010000, -880)):
            self.assertEqual(max31855_parsed(1 << 18 | bits << 4)[1], sixteenths)

    def test_faults_of_the_wire_are_told_apart(self):
        for bit, code in ((1, "sensor.open"), (2, "sensor.to_ground"), (4, "sensor.to_supply")):
            self.assertEqual(code_of(self, SensorError, max31855_parsed, 0x01900000 | 0x10000 | bit), code)

    def test_missing_chip_reads_zero_degrees(self):
        for chip in (None, lambda sent: bytes(4)):
            spi = Spi(chip)
            self.assertEqual(code_of(self, SensorError, measured, Max31855(spi, spi.cs)), "sensor.absent")


class TestDs18b20(unittest.TestCase):
    def test_table_1_of_the_datasheet(self):
        for word, sixteenths in ((0x07D0, 2000), (0x0550, 1360), (0x0191, 401), (0x0008, 8), (0xFFF8, -8), (0xFF5E, -162),
                                 (0xFC90, -880)):
            raw = bytes((word & 0xFF, word >> 8, 0x4B, 0x46, 0x7F, 0xFF, 0x10 - (word & 0xF), 0x10))
            self.assertEqual(ds18b20_parsed(raw + bytes((maxim(raw),))), sixteenths)

    def test_value_after_a_reset_is_85_degrees(self):
        driver = Ds18b20(OneWire({ROM: 400}), (ROM,))
        self.assertEqual(code_of(self, SensorError, driver.read), "sensor.unmeasured")
        self.assertEqual(measured(driver), (400,))

    def test_true_85_degrees_are_refused(self):
        self.assertEqual(measured(Ds18b20(OneWire({ROM: 1360}), (ROM,))), (1360,))

    def test_one_missing_sensor_takes_the_others_with_it(self):
        other = b"\x28\x00\x00\x00\x00\x00\x00\x02"
        self.assertEqual(measured(Ds18b20(OneWire({ROM: 400}), (other, ROM))), (None, 400))

    def test_only_sensor_of_a_bus_needs_no_number_and_two_do(self):
        bus = OneWire({ROM: 400})
        driver = Ds18b20(bus, ())
        self.assertEqual((driver.GIVES[0][0], measured(driver)), ("temperature0", (400,)))
        bus.sensors[b"\x28\x00\x00\x00\x00\x00\x00\x02"] = 500
        self.assertEqual(code_of(self, SensorError, Ds18b20(bus, ()).start), "sensor.chip")

    def test_damaged_scratchpad_and_empty_bus(self):
        bus = OneWire({ROM: 400})
        bus.noise = 0x04
        self.assertEqual(code_of(self, SensorError, measured, Ds18b20(bus, (ROM,))), "sensor.crc")
        self.assertEqual(code_of(self, SensorError, measured, Ds18b20(OneWire({}), (ROM,))), "sensor.absent")


if __name__ == "__main__":
    unittest.main()
