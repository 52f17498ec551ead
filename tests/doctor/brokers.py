"""Real brokers with our configuration, and with lines of it changed: what `tenfold doctor` is to find."""

import datetime as dt
import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from host import broker, mosquitto
from host.doctor.examine import Case, Pair
from host.doctor.identity import Identity
from host.doctor.mqtt import Address
from provisioning import ca, pki
from provisioning.crl import make_crl
from tests.brokers import free_ports, issue, nats_settings

ONE, OTHER = broker.TEST_DEVICES
FOREIGN = broker.TEST_FOREIGN
LISTENER = "svc.doctor"
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
MARK = "c0ffee00"
WAIT_S = 30


def make_pki(folder):
    """A plant's PKI with the certificates that the doctor tries with."""
    made = pki.make_fleet_pki(folder)
    issuing, now = pki.load_authority(made.cert("issuing"), made.key("issuing")), dt.datetime.now(dt.UTC)
    issue(made, ONE, OTHER, FOREIGN)
    issue(made, LISTENER, make=ca.issue_client)
    (folder / "crl.pem").write_bytes(make_crl(issuing, [], now, dt.timedelta(days=1)).public_bytes(Encoding.PEM))
    return made


@dataclass
class Running:
    """A broker that listens.

    Attributes:
        plain: a port that may be open without TLS.
    """

    address: Address
    plain: int
    pki: pki.FleetPki

    def case(self, **changes):
        pairs = {name: Pair(self.pki.cert(who), self.pki.key(who))
                 for name, who in (("device", ONE), ("second", OTHER), ("ingest", LISTENER), ("foreign", FOREIGN))}
        return Case(self.address, self.pki.ca_file, plain_ports=(self.plain,), **{**pairs, **changes})

    def identities(self):
        """The two devices, the listener, and the device that is not ours."""
        return [Identity.load(self.address, self.pki.ca_file, self.pki.cert(name), self.pki.key(name), client_id)
                for name, client_id in ((ONE, ""), (OTHER, ""), (LISTENER, f"doctor-{MARK}"), (FOREIGN, ""))]


@contextmanager
def nats(folder, made, changes=()):
    """nats-server; `changes` are (text, other text) of nats.conf or users.conf."""
    mqtt_port, plain = free_ports(2)
    settings = nats_settings(made, folder / "store", mqtt_port=mqtt_port)
    config = broker.write(folder / "etc", settings, [])
    _change([config, config.parent / broker.USERS_FILE], changes)
    with _serving([broker.nats_server_binary(), "-c", config], "Server is ready"):
        yield Running(Address("127.0.0.1", mqtt_port, "localhost"), plain, made)


@contextmanager
def mosquitto_with(folder, made, changes=()):
    """Mosquitto; PLAIN in a change is a free port."""
    if MOSQUITTO is None:
        pytest.skip("MOSQUITTO WAS NOT TRIED: apt-get install mosquitto")
    port, plain = free_ports(2)
    settings = mosquitto.MosquittoSettings(
        port=port, cert_file=made.cert("svc.broker"), key_file=made.key("svc.broker"), ca_file=made.ca_file,
        crl_file=made.folder / "crl.pem", acl_file=folder / "acl", pid_file=folder / "pid", user="root")
    config = folder / "mosquitto.conf"
    config.write_text(mosquitto.render(settings))
    mosquitto.write_acl(settings.acl_file, [])
    _change([config, settings.acl_file], [(old, new.replace("PLAIN", str(plain))) for old, new in changes])
    with _serving([MOSQUITTO, "-c", config], "running"):
        yield Running(Address("127.0.0.1", port, "localhost"), plain, made)


def _change(files, changes):
    texts = {file: file.read_text() for file in files}
    for old, new in changes:
        assert any(old in text for text in texts.values()), old
        texts = {file: text.replace(old, new) for file, text in texts.items()}
    for file, text in texts.items():
        file.write_text(text)


@contextmanager
def _serving(command, ready):
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = []
    while ready not in (line := process.stderr.readline()):
        said.append(line)
        assert line, f"the broker ended: {''.join(said)}"
    reader = threading.Thread(target=process.stderr.read)
    reader.start()
    try:
        yield
    finally:
        process.terminate()
        process.wait(WAIT_S)
        reader.join()
        process.stderr.close()


@contextmanager
def listening(answer):
    """Something else than a broker at a port: reads once and answers; gives the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        peer, _ = server.accept()
        with peer:
            peer.recv(1000)
            peer.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()
        thread.join(WAIT_S)
