"""Ethernet by a PHY on the chip's own MAC (network.LAN). Not run on hardware yet.

The driver finds the link and asks DHCP by itself, after a cable that was out too; so there is nothing to begin, only to wait for.
It is made once a boot: after a constructor that failed, ESP-IDF keeps half of it and a second one is no better.
"""

import asyncio
import errno

import machine
import network

from board.esp32.interface import POLL_MS, Interface

CONNECT_MS = 15_000   # auto-negotiation 3 s, DHCP; as join.py


class Lan(Interface):
    """The wired network.

    Args:
        said: `network` of the board's profile.

    Raises:
        OSError, ValueError: no PHY answers at that address, or a pin that cannot do it.
    """

    def __init__(self, said, hostname):
        super().__init__(hostname)
        pin = machine.Pin
        power = said.get("power")
        mode = pin.OUT if said["ref_clk_mode"] == "out" else pin.IN
        self._nic = network.LAN(mdc=pin(said["mdc"]), mdio=pin(said["mdio"]), power=None if power is None else pin(power),
                                phy_type=getattr(network, "PHY_" + said["phy"]), phy_addr=said["phy_addr"],
                                ref_clk=pin(said["ref_clk"]), ref_clk_mode=mode)
        self._nic.active(True)

    async def _join(self):
        for _ in range(CONNECT_MS // POLL_MS):
            if self._linked():
                return
            await asyncio.sleep(POLL_MS / 1000)
        raise OSError(errno.EHOSTUNREACH)
