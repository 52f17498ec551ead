"""Revocation in a plant of its own processes: by one word of the operator's the broker and the update server put a device out."""

import asyncio
import base64
import ssl
import time
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from host import tls
from host.sim.plant import LOT, QUICK, Plant
from host.sim.ports import free_ports
from host.sim.processes import Child, stop_all
from host.sim.programs import Programs
from provisioning import pki
from tests.cli.test_release_desk import tenfold
from tests.provisioning.conftest import Device
from tests.provisioning.test_crl import GOOD, REFUSED, WAIT_S, Session, opened, taken_up

EST = "/.well-known/est/simpleenroll"
VERSION = ssl.TLSVersion.TLSv1_2   # a board's
HEARD = "checkin.json"               # the update server's own refusal of an empty body


@pytest.mark.slow
def test_a_device_that_is_revoked_in_a_running_plant_is_out_within_a_minute_and_stays_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant = Plant.make(tmp_path, 2, free_ports(1)[0], QUICK)
    plant.make_authorities()
    programs = Programs(plant)
    programs.write_broker()

    async def at_work() -> None:
        children = [Child(program) for program in (programs.broker(), programs.enrol(), programs.ota())]
        try:
            await asyncio.gather(*(child.start() for child in children))
            await asyncio.to_thread(story, plant, monkeypatch)
        finally:
            await stop_all(children)

    asyncio.run(at_work())


def story(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    two = [enrolled(plant, number) for number in (1, 2)]
    with (Session(plant.ports.mqtt, plant.pki, two[0], VERSION) as gone,
          Session(plant.ports.mqtt, plant.pki, two[1], VERSION) as other,
          updating(plant, two[0]) as updates, updating(plant, two[1]) as others):
        assert gone.code == other.code == GOOD
        assert told(updates) == told(others) == HEARD
        assert not tenfold(monkeypatch, "ca", "revoke", two[0].device, "--why", "stolen", "--ledger", plant.url("ledger"))
        assert gone.ends()
        assert taken_up(gone, plant.ports.mqtt, plant.pki, two[0], VERSION) == (False, REFUSED)
        revoked_at_the_next_request(updates)
        with updating(plant, two[0]) as again:
            assert told(again) == "tls.revoked"
        other.peer.sendall(b"\xc0\x00")   # PINGREQ
        assert other.peer.recv(2) == b"\xd0\x00"
        assert told(others) == HEARD
        assert not tenfold(
            monkeypatch, "line", "revoke", "--lot", LOT, "--devices", "--why", "lost", "--ledger", plant.url("ledger"))
        assert other.ends()
        revoked_at_the_next_request(others)


def enrolled(plant: Plant, number: int) -> Device:
    """A device that was born and has its certificate, and that the broker has been told of."""
    device = Device(number)
    plant.station.hear(device.line(), int(time.time()))
    with httpx.Client(verify=tls.client_context(plant.pki.cert("root")), trust_env=False, timeout=WAIT_S) as client:
        answer = client.post(f"https://localhost:{plant.ports.enrol}{EST}", content=base64.b64encode(device.csr()))
    assert answer.status_code == 200, answer.text
    pki.write_key(plant.pki.key(device.device), ec.derive_private_key(device.private, ec.SECP256R1()))
    pki.write_pem(plant.pki.cert(device.device), *pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content)))
    deadline = time.monotonic() + WAIT_S
    while opened(plant.ports.mqtt, plant.pki, device, VERSION) != GOOD:
        assert time.monotonic() < deadline
    return device


def updating(plant: Plant, device: Device) -> httpx.Client:
    """A device's connection to the update server; it is kept."""
    context = tls.client_context(plant.pki.cert("root"), plant.pki.cert(device.device), plant.pki.key(device.device))
    return httpx.Client(base_url=f"https://localhost:{plant.ports.ota}", verify=context, trust_env=False, timeout=WAIT_S)


def told(client: httpx.Client) -> str:
    code: str = client.post("/v1/checkin", content=b"").json()["code"]
    return code


def revoked_at_the_next_request(client: httpx.Client) -> None:
    """At the next one after the server has looked at its file again."""
    deadline = time.monotonic() + WAIT_S
    while told(client) != "tls.revoked":
        assert time.monotonic() < deadline
