"""The board's network as its profile says it: what is out of reach for ever because of a cable, a modem or a file."""

import asyncio
import json
import sys
import unittest

from node.errors import CallerError
from node.settings import Config
from tests.sim.memory import MemoryFiles
from tests.sim.nics import Air, Machine, Modem, Network

MODULES = ("interface", "wifi", "lan", "ppp", "dialup", "profile")
ETHERNET = {"kind": "ethernet", "phy": "LAN8720", "phy_addr": 1, "mdc": 23, "mdio": 18, "ref_clk": 0, "ref_clk_mode": "in",
            "power": 16}
MODEM = {"kind": "ppp", "uart": 1, "tx": 26, "rx": 27, "baud": 115200, "power": 12, "key": 4, "key_ms": 1000}
DEVICE = "hall-0242ac110001-and-a-name-too-long"
GIVE_UP_MS = 15_000
EHOSTUNREACH = 113


class TestInterfaces(unittest.TestCase):
    def setUp(self):
        self.air = Air()
        self.network, self.modem = Network(self.air), Modem(self.air)
        self.files, self.logged = MemoryFiles(), []
        self.before = {name: sys.modules.get(name) for name in ("network", "machine")}
        self.board(self.modem)

    def tearDown(self):
        self._forget()
        for name in self.before:
            if self.before[name] is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = self.before[name]

    def _forget(self):
        for name in MODULES:
            sys.modules.pop("board.esp32." + name, None)

    def board(self, modem):
        """Modules that are loaded anew on this board, and sleep in its time."""
        self.modem = modem
        self.machine = Machine(self.air, modem)
        self._forget()
        sys.modules["network"], sys.modules["machine"] = self.network, self.machine
        for name in ("lan", "dialup", "interface"):
            module = __import__("board.esp32." + name, None, None, [name])
            module.asyncio = self.air
        self.profile = __import__("board.esp32.profile", None, None, ["profile"])

    def log(self, event, detail):
        self.logged.append((event, detail))

    def made(self, network=None, sim=None):
        if network is not None:
            self.files.data["/factory/board.json"] = json.dumps({"board": "x", "network": network, "pins": {}}).encode()
        if sim is not None:
            self.files.data["/state/sim.json"] = json.dumps(sim).encode()
        return self.profile.interface(self.files, DEVICE, self.log)

    def up(self, interface):
        """None, or the errno; how long it took is in self.took_ms."""
        begun = self.air.now_ms
        try:
            asyncio.run(interface.up())
            return None
        except OSError as error:
            return error.args[0]
        finally:
            self.took_ms = self.air.now_ms - begun

    def unreachable(self, interface):
        self.assertTrue(self.up(interface) in (EHOSTUNREACH, 118), "no EHOSTUNREACH")   # Linux's, the chip's

    def test_board_without_a_profile_has_no_network_any_more(self):
        self.assertIsNone(self.made())
        self.assertEqual(self.logged, [])
        self.assertIsNone(self.made({"kind": "wifi"}))
        self.assertEqual(self.logged, [])

    def test_broken_profile_keeps_the_device_off_the_network(self):
        for raw in (b"{", b"[]", b"null", b"\xff", b"[" * 600):
            self.files.data["/factory/board.json"] = raw
            self.logged = []
            self.assertIsNone(self.made())
            self.assertEqual(self.logged, [("board", "no JSON object in /factory/board.json")])
        for network in ({"kind": "ethernet"}, dict(ETHERNET, phy="GHOST"), dict(ETHERNET, phy_addr=0), {"kind": "ppp"},
                        dict(ETHERNET, phy=8)):
            self.logged = []
            self.assertIsNone(self.made(network))
            self.assertEqual(self.logged[-1][0], "board")
            self.assertIn(network["kind"] + ": ", self.logged[-1][1])

    def test_signal_of_a_radio_that_carries_nothing_is_told_or_an_unknown_one_is_zero(self):
        wifi = __import__("board.esp32.wifi", None, None, ["wifi"]).Wifi("plant", "", DEVICE)
        self.assertIsNone(wifi.rssi())
        self.network.wlan.joined = True
        self.assertEqual(wifi.rssi(), -67)
        for said in (ETHERNET, MODEM):   # the radio is on with both
            self.assertIsNone(self.made(said).rssi())

    def test_key_is_made_while_the_radio_is_off(self):
        for said in (ETHERNET, MODEM):
            self.network.wlan.on = False
            self.assertIsNotNone(self.made(said))
            self.assertTrue(self.network.wlan.on)
            self.assertEqual(self.network.name, DEVICE[:32])

    def test_phy_gets_other_pins_than_the_profile_says(self):
        self.made(ETHERNET)
        self.assertEqual(self.network.lans, [{"mdc": 23, "mdio": 18, "power": 16, "phy_type": 7, "phy_addr": 1, "ref_clk": 0,
                                              "ref_clk_mode": self.machine.Pin.IN}])

    def test_phy_that_has_no_power_pin_or_gives_no_clock(self):
        said = dict(ETHERNET, ref_clk=17, ref_clk_mode="out")
        del said["power"]
        self.made(said)
        self.assertIsNone(self.network.lans[0]["power"])
        self.assertEqual((self.network.lans[0]["ref_clk"], self.network.lans[0]["ref_clk_mode"]), (17, self.machine.Pin.OUT))

    def test_cable_that_comes_late_or_goes_is_never_seen_again(self):
        lan = self.made(ETHERNET)
        self.network.cable = False
        self.unreachable(lan)
        self.assertTrue(self.took_ms <= GIVE_UP_MS)
        self.network.cable = True
        self.assertIsNone(self.up(lan))
        self.network.cable = False
        self.unreachable(lan)
        self.network.cable = True
        self.assertIsNone(self.up(lan))
        self.assertEqual(self.took_ms, 0)
        self.assertEqual(len(self.network.lans), 1)   # never made a second time

    def test_two_who_want_the_network_dial_twice(self):
        ppp = self.made(MODEM)

        async def both():
            await asyncio.gather(ppp.up(), ppp.up())

        asyncio.run(both())
        self.assertEqual(self.modem.heard.count(b"ATD*99#"), 1)

    def test_modem_is_wired_or_powered_otherwise_than_the_profile_says(self):
        self.made(MODEM)
        self.assertEqual(self.modem.wired[:4], (1, 115200, 26, 27))
        self.assertTrue(self.modem.wired[4] > 1500)
        self.assertEqual(self.machine.levels, [(0, 12, 1), (0, 4, 0)])

    def test_apn_and_login_that_the_network_never_hears(self):
        ppp = self.made(MODEM, {"apn": "iot.example", "user": "u", "password": "p"})
        self.assertIsNone(self.up(ppp))
        self.assertEqual(self.modem.heard, [b"AT", b"ATE0", b'AT+CGDCONT=1,"IP","iot.example"', b"ATD*99#"])
        self.assertEqual(ppp._nic.login, (1, "u", "p"))
        self.assertTrue(self.took_ms <= GIVE_UP_MS)
        self.board(Modem(self.air))
        ppp = self.made(MODEM, {"apn": "a", "user": "u", "password": "p", "auth": "chap"})
        self.assertIsNone(self.up(ppp))
        self.assertEqual(ppp._nic.login, (2, "u", "p"))

    def test_apn_that_is_a_command_of_its_own(self):
        for sim in ({"apn": 'a"\rAT+CFUN=0'}, {"apn": 5}, ["a"], "a"):
            self.logged = []
            self.board(Modem(self.air))
            self.assertIsNone(self.up(self.made(MODEM, sim)))
            self.assertEqual(self.logged, [("sim", "no object of texts without quotes in /state/sim.json")])
            self.assertEqual(self.modem.heard, [b"AT", b"ATE0", b"ATD*99#"])

    def test_modem_that_is_off_stays_off(self):
        self.board(Modem(self.air, on=False))
        ppp = self.made(MODEM)
        key = self.machine.Pin

        def pressed(number, mode=None, value=None):
            pin = key(number, mode, value)
            return lambda level: (pin(level), self.modem.pressed() if number == 4 and not level else None)

        ppp._key = pressed(4)
        self.assertIsNone(self.up(ppp))
        self.assertTrue(self.took_ms <= GIVE_UP_MS + MODEM["key_ms"])
        held = [(ms, level) for ms, pin, level in self.machine.levels if pin == 4][1:]
        self.assertEqual([level for _, level in held], [1, 0])
        self.assertEqual(held[1][0] - held[0][0], MODEM["key_ms"])

    def test_modem_without_a_key_or_a_network_is_waited_for_for_ever(self):
        said = dict(MODEM, key=None)
        self.board(Modem(self.air, on=False))
        self.unreachable(self.made(said))
        self.assertTrue(self.took_ms <= GIVE_UP_MS)
        for answer in (b"\r\nNO CARRIER\r\n", b"\r\nERROR\r\n", b""):
            self.board(Modem(self.air, dial=answer))
            self.unreachable(self.made(said))
            self.assertTrue(self.took_ms <= GIVE_UP_MS)
        self.board(Modem(self.air))
        self.network.ppp_ms = 60_000
        ppp = self.made(said)
        self.unreachable(ppp)
        self.assertTrue(self.took_ms <= GIVE_UP_MS)
        self.network.ppp_ms = 1000
        self.assertIsNone(self.up(ppp))

    def test_carrier_that_went_is_never_dialled_again(self):
        ppp = self.made(MODEM)
        self.assertIsNone(self.up(ppp))
        self.modem.hang_up()
        self.assertIsNone(self.up(ppp))
        self.assertEqual(self.modem.heard.count(b"ATD*99#"), 2)

    def test_modem_that_still_sends_data_takes_no_command(self):
        self.modem.data = True   # the chip was reset, the modem not
        ppp = self.made(MODEM)
        self.assertIsNone(self.up(ppp))
        self.assertEqual([level for _, pin, level in self.machine.levels if pin == 4], [0])   # its key was left alone

    def config(self, buses, sensors):
        config = Config()
        config.buses, config.sensors = buses, sensors
        return config

    def test_pin_has_another_number_than_its_name(self):
        self.files.data["/factory/board.json"] = json.dumps({"pins": {"i2c_scl": 22, "i2c_sda": 21, "cs_a": 5}}).encode()
        config = self.config({"i2c0": {"scl": "i2c_scl", "sda": "i2c_sda", "hz": 1}, "uart": {"tx": 17, "rx": 16, "de": None}},
                             [{"cs": "cs_a"}, {"pin": 34}])
        for _ in range(2):   # the app is started anew with what it has
            self.profile.numbered(config, self.files, self.log)
            self.assertEqual(config.buses["i2c0"], {"scl": 22, "sda": 21, "hz": 1})
            self.assertEqual(config.buses["uart"], {"tx": 17, "rx": 16, "de": None})
            self.assertEqual(config.sensors, [{"cs": 5}, {"pin": 34}])

    def test_name_that_the_board_does_not_have_or_that_is_taken(self):
        self.files.data["/factory/board.json"] = json.dumps({"pins": {"a": 22, "b": 22, "c": "x"}}).encode()
        for buses, said in (({"w": {"pin": "d"}}, "pin: got d, which"), ({"w": {"pin": "c"}}, "pin: got c, which"),
                            ({"w": {"pin": "a"}, "v": {"pin": "b"}}, "which"), ({"w": {"pin": "a"}, "v": {"pin": 22}}, "taken")):
            with self.assertRaises(CallerError) as caught:
                self.profile.numbered(self.config(buses, []), self.files, self.log)
            self.assertEqual(caught.exception.code, "board.pin")
            self.assertTrue(said in caught.exception.message or "taken" in caught.exception.message, caught.exception.message)
        del self.files.data["/factory/board.json"]
        with self.assertRaises(CallerError):
            self.profile.numbered(self.config({"w": {"pin": "a"}}, []), self.files, self.log)


if __name__ == "__main__":
    unittest.main()
