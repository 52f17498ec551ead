"""A device under attack: the real agent, from boot record to HTTP client, over real TLS; flash and clock are simulated."""

import asyncio
import json
from pathlib import Path

from host import tls
from node.agent import verify
from node.agent.http import HttpClient
from node.compat import hexstr, sha256
from node.wire import manifest
from ota.release.verify import manifest_name
from provisioning import pki
from tests.ota.support import MODEL, PEER, Keys
from tests.sim.boot_stub import choose, complete, stub
from tests.sim.memory import Chance, MemoryFiles, StepClock
from tests.sim.updates import Boots, Device

TIMEOUT_S = 5   # for an exchange on loopback; nobody waits for it but a test that fails


class Socket:
    """The Stream port on asyncio's."""

    def __init__(self, reader, writer, net):
        self._reader, self._writer, self._net = reader, writer, net
        self.write, self.drain = writer.write, writer.drain

    async def read(self, n):
        self._net.read_first()
        return await self._reader.read(n)

    def close(self):
        self._writer.transport.abort()


class TlsNet:
    """The Net port on CPython: verifies the server and shows the device's certificate, as board/net.py does. All names are ours.

    Attributes:
        read_first: called before each read.
    """

    def __init__(self, root, certificates):
        self._context = tls.client_context(root, certificates.cert(PEER), certificates.key(PEER))
        self.read_first = lambda: None

    async def open(self, host, port, mutual):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self._context, server_hostname=host)
        return Socket(reader, writer, self)


class Victim(Boots):
    """A device with release 1 in its factory slot, and its boots.

    Args:
        host: the update server's name, as the line wrote it. root: the authority that the device trusts, if not its own.

    Attributes:
        ran: counters of the releases that ran, boot by boot.
    """

    def __init__(self, port: int, certificates: pki.FleetPki, signing: Keys, host: str = "localhost",
                 root: Path | None = None) -> None:
        self.signing = signing
        self.net = TlsNet(root or certificates.cert("root"), certificates)
        self._server = host, port
        self.clock, self.chance = StepClock(), Chance()
        self.files = MemoryFiles()
        self.files.write_atomic(verify.PINNED, signing.root_raw)
        raw, artifact = signing.release(1)
        body = manifest.load(raw, signing.root)
        self.files.write_atomic("/factory/bundle", artifact)
        marker = {name: body[name] for name in ("release", "counter", "mpy")} | {"manifest": manifest_name(raw), "model": MODEL}
        self.files.write_atomic("/factory/release.json", json.dumps(marker).encode())
        self.http = None
        self.ran: list[int] = []
        self.boot()

    def boot(self):
        self.info = choose.start(self.files)
        self.ran.append(self.info["release"]["counter"])
        self.clock.now_ms = 0
        http = HttpClient(self.net, *self._server, True, timeout_s=TIMEOUT_S)
        self.device = Device(self.files, http, self.info, clock=self.clock, chance=self.chance)
        return self.device

    @property
    def trust(self):
        return self.device.trust()

    def live(self):
        """A check-in; when it led to a restart, the trial's boot, which proves itself, and the check-in that tells of it."""
        reason = self.cycle()
        if reason is not None:
            self.boot()
            if self.info["trial"]:
                self.confirm()
                self.cycle()
        return reason

    def holds(self):
        """{slot: SHA-256 of its bundle} of what could run."""
        return {slot: hexstr(sha256(self.files.data[stub.DIRS[slot] + "/bundle"])) for slot in complete(self.files)}
