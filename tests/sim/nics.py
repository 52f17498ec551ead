"""What `network` and `machine` are to the interfaces of board/esp32, and a modem behind a UART. Runs on CPython and MicroPython.

After ports/esp32/network_lan.c and network_ppp.c of MicroPython 1.29, read and not run. Time is what is slept: `Air` counts it.
"""

import asyncio

EALREADY = 114
IN, OUT = 1, 3


class Air:
    """The time of a test, and what comes to pass in it."""

    def __init__(self):
        self.now_ms = 0

    async def sleep(self, seconds):
        self.now_ms += round(seconds * 1000)
        await asyncio.sleep(0)


class Pin:
    IN, OUT = IN, OUT

    def __init__(self, machine, number, mode=None, value=None):
        self.machine, self.number = machine, number
        if value is not None:
            self(value)

    def __call__(self, level):
        self.machine.levels.append((self.machine.air.now_ms, self.number, level))


class Machine:
    """Stands for the module. levels: (ms, pin, level), in order."""

    def __init__(self, air, modem=None):
        self.air, self.modem, self.levels = air, modem, []
        self.Pin = _PinKind(self)

    def UART(self, number, baudrate, tx, rx, rxbuf):  # noqa: N802
        self.modem.wired = (number, baudrate, tx.number, rx.number, rxbuf)
        return self.modem


class _PinKind:
    IN, OUT = IN, OUT

    def __init__(self, machine):
        self._machine = machine

    def __call__(self, number, mode=None, value=None):
        return Pin(self._machine, number, mode, value)


class _Wlan:
    def __init__(self):
        self.on, self.joined, self.address, self.rssi = False, False, "0.0.0.0", -67

    def active(self, on):
        self.on = on

    def config(self, **said):
        assert said == {"reconnects": 0}

    def isconnected(self):
        return self.joined

    def status(self, what):
        assert what == "rssi"
        if not self.joined:
            raise OSError("Wifi Not Connected")
        return self.rssi

    def ifconfig(self):
        return (self.address, "", "", "")


class _Lan:
    """Made once: the constructor gives the same object again. link_ms: when the PHY's link is up and DHCP has answered."""

    def __init__(self, network):
        self._network, self.on = network, False

    def active(self, on):
        self.on = on

    def isconnected(self):
        return self.on and self._network.cable and self._network.air.now_ms >= self._network.link_ms

    def ifconfig(self):
        return ("192.168.0.9" if self.isconnected() else "0.0.0.0", "", "", "")


class _Ppp:
    """States of network_ppp_obj_t. A session ends by itself when the modem's carrier goes: then the state is ERROR."""

    AUTH_NONE, AUTH_PAP, AUTH_CHAP = 0, 1, 2
    INACTIVE, ACTIVE, ERROR, CONNECTING, CONNECTED = range(5)

    def __init__(self, network, uart):
        self._network, self._uart, self.state, self.login = network, uart, self.INACTIVE, None

    def _look(self):
        if self.state == self.CONNECTING and self._uart.carrier and self._network.air.now_ms >= self._ready_ms:
            self.state = self.CONNECTED
        elif self.state == self.CONNECTED and not self._uart.carrier:
            self.state = self.ERROR

    def active(self, on):
        assert on
        self.state = max(self.state, self.ACTIVE)
        return True

    def connect(self, authmode=0, username=None, password=None):
        if self.state in (self.CONNECTING, self.CONNECTED):
            raise OSError(EALREADY)
        assert self._uart.data, "LCP would be sent to a modem that takes commands"
        self.login = (authmode, username, password)
        self.state, self._ready_ms = self.CONNECTING, self._network.air.now_ms + self._network.ppp_ms

    def disconnect(self):
        if self.state in (self.CONNECTING, self.CONNECTED):
            self.state = self.INACTIVE
            self._uart.hang_up()

    def isconnected(self):
        self._look()
        return self.state == self.CONNECTED

    def ifconfig(self):
        assert self.state != self.INACTIVE, "the chip reads a pcb that is not there"
        return ("10.0.0.2", "", "", "")


class Network:
    """Stands for the module.

    Attributes:
        phy_address: where a PHY answers, or None. cable, link_ms: of Ethernet. ppp_ms: that a session takes to come up.
        lans: keyword arguments of every LAN(), pins by number.
    """

    STA_IF, PHY_LAN8720, PHY_LAN8710 = 0, 7, 8

    def __init__(self, air):
        self.air, self.phy_address, self.cable, self.link_ms, self.ppp_ms = air, 1, True, 3000, 1000
        self.wlan, self.lans, self._lan = _Wlan(), [], None

    def hostname(self, name):
        self.name = name

    def WLAN(self, kind):  # noqa: N802
        assert kind == self.STA_IF
        return self.wlan

    def LAN(self, **said):  # noqa: N802
        if self._lan is None:
            self.lans.append({key: getattr(said[key], "number", said[key]) for key in said})
            if said["phy_addr"] != self.phy_address:
                raise OSError("esp_eth_driver_install failed")
            self._lan = _Lan(self)
        return self._lan

    def PPP(self, uart):  # noqa: N802
        return _Ppp(self, uart)


class Modem:
    """A modem behind a UART. It hears lines while it is on and not in data mode.

    Args:
        on: from the beginning; else after its key was held down, and boot_ms.
        dial: its answer to ATD.
    """

    def __init__(self, air, on=True, boot_ms=4000, dial=b"\r\nCONNECT 115200\r\n"):
        self.air, self.dial, self.boot_ms = air, dial, boot_ms
        self.on_ms = 0 if on else None   # when it listens; None: off
        self.data = self.carrier = False
        self.heard, self._out, self._line, self._said_ms = [], b"", b"", 0

    def pressed(self):
        self.on_ms = self.air.now_ms + self.boot_ms if self.on_ms is None else None

    def hang_up(self):
        """As PPP ends: LCP's terminate brings the modem back to its commands."""
        self.data = self.carrier = False

    def any(self):
        return len(self._out)

    def read(self):
        out, self._out = self._out, b""
        return out or None

    def write(self, data):
        silent_ms, self._said_ms = self.air.now_ms - self._said_ms, self.air.now_ms
        if self.on_ms is None or self.air.now_ms < self.on_ms:
            return
        if self.data:
            if data == b"+++" and silent_ms >= 1000:
                self.data = False
            return
        self._line += data
        while b"\r" in self._line:
            line, _, self._line = self._line.partition(b"\r")
            self.heard.append(line)
            self._out += self._answer(line)

    def _answer(self, line):
        if line.startswith(b"ATD"):
            self.data = self.carrier = b"CONNECT" in self.dial
            return self.dial
        return b"\r\nOK\r\n" if line.startswith(b"AT") else b"\r\nERROR\r\n"
