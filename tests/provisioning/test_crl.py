"""Revocation lists: openssl reads them, they are renewed in time, and real brokers put the revoked out and keep them out."""

import datetime as dt
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from host import broker, mosquitto, tls
from provisioning import ca, pki
from provisioning.crl import Publisher, Targets
from provisioning.enrol.app import CRL_PATH, create_app

from .conftest import NOW, NOW_S, Device, running

LIFE = dt.timedelta(days=7)
WAIT_S = 60      # the promise: a revoked device's session ends within a minute
GOOD, REFUSED = 0, 5   # CONNACK codes, MQTT 3.1.1 table 3.1
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")


def certified(ledger, issuing, fleet_pki, device, now):
    """Give a device its certificate, recorded, as files of the PKI."""
    key = ec.derive_private_key(device.private, ec.SECP256R1())
    certificate = ca.issue_device(issuing, key.public_key(), device.device, now)
    end_s = int(certificate.not_valid_after_utc.timestamp())
    ledger.record_certificate(ca.serial_hex(certificate), device.device, end_s, int(now.timestamp()), who="svc.enrol", why="test")
    fleet_pki.key(device.device).unlink(missing_ok=True)
    pki.write_key(fleet_pki.key(device.device), key)
    pki.write_pem(fleet_pki.cert(device.device), certificate)
    return certificate


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False)


@pytest.fixture
def two(ledger, bench, issuing, fleet_pki):
    devices = Device(1), Device(2)
    for device in devices:
        bench.hear(device.line(), int(time.time()))
        certified(ledger, issuing, fleet_pki, device, dt.datetime.now(dt.UTC))
    return devices


def test_openssl_reads_the_list_and_refuses_whom_it_names(ledger, two, issuing, fleet_pki, tmp_path):
    crl = tmp_path / "crl.pem"
    publisher = Publisher(ledger, issuing, Targets((crl,)), LIFE)
    ledger.revoke("device", two[0].device, "stolen", int(time.time()))
    publisher.tick(dt.datetime.now(dt.UTC))
    assert openssl("crl", "-in", crl, "-CAfile", fleet_pki.ca_file, "-noout").stderr.strip() == "verify OK"
    for device, code in zip(two, (2, 0), strict=True):
        done = openssl("verify", "-CAfile", fleet_pki.ca_file, "-crl_check", "-CRLfile", crl, fleet_pki.cert(device.device))
        assert done.returncode == code, done.stderr


def test_the_list_is_made_anew_for_a_revocation_and_well_before_its_end_and_else_left_alone(ledger, station, issuing, tmp_path):
    crl, users = tmp_path / "crl.pem", tmp_path / broker.USERS_FILE
    publisher = Publisher(ledger, issuing, Targets((crl,), tmp_path), LIFE)
    assert publisher.tick(NOW)
    assert not publisher.tick(NOW + dt.timedelta(days=3))
    device = Device()
    station.hear(device.line(), NOW_S)
    first = crl.read_bytes()
    assert publisher.tick(NOW + dt.timedelta(days=3))   # a birth is the broker's affair only
    assert crl.read_bytes() == first
    assert device.device in users.read_text()
    ledger.revoke("device", device.device, "stolen", NOW_S)
    assert publisher.tick(NOW + dt.timedelta(days=3))
    assert crl.read_bytes() != first
    assert device.device not in users.read_text()
    assert publisher.tick(NOW + dt.timedelta(days=3.5))
    numbers = [x509.load_der_x509_crl(publisher.der).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number]
    assert publisher.tick(NOW + dt.timedelta(days=7))
    made = x509.load_der_x509_crl(publisher.der)
    numbers.append(made.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number)
    assert numbers[1] > numbers[0]
    assert made.next_update_utc == NOW + dt.timedelta(days=14)


def test_what_could_not_be_told_is_told_by_the_next_tick(ledger, issuing, tmp_path):
    publisher = Publisher(ledger, issuing, Targets((tmp_path / "later" / "crl.pem",)), LIFE)
    with pytest.raises(OSError, match="later"):
        publisher.tick(NOW)
    (tmp_path / "later").mkdir()
    assert publisher.tick(NOW)
    assert (tmp_path / "later" / "crl.pem").exists()


def test_the_enrolment_server_publishes_the_list_over_http(port, fleet_pki):
    context = tls.client_context(fleet_pki.cert("root"))
    with httpx.Client(base_url=f"https://localhost:{port}", verify=context, trust_env=False) as client:
        deadline = time.monotonic() + WAIT_S
        while (answer := client.get(CRL_PATH)).status_code == 503:   # it starts to serve and to sign at the same time
            assert time.monotonic() < deadline
    assert answer.headers["content-type"] == "application/pkix-crl"
    made = x509.load_der_x509_crl(answer.content)
    assert made.is_signature_valid(pki.load_certificates(fleet_pki.cert("issuing"))[0].public_key())


class Session:
    """An MQTT 3.1.1 session, byte by byte: nothing of a library decides whether TLS resumes or a connection ends."""

    def __init__(self, port, fleet_pki, device, version, before=None):
        self.context = before.context if before else tls.client_context(
            fleet_pki.cert("root"), fleet_pki.cert(device.device), fleet_pki.key(device.device))
        self.context.maximum_version = version
        plain = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self.peer = self.context.wrap_socket(
            plain, server_hostname="localhost", session=before and before.session, do_handshake_on_connect=False)
        ident = device.device.encode()
        body = b"\x00\x04MQTT\x04\x02\x00\x00" + len(ident).to_bytes(2, "big") + ident   # clean session, no keep-alive
        self.code = None   # refused before MQTT had a word
        with suppress(OSError):
            self.peer.do_handshake()
            self.peer.sendall(bytes((0x10, len(body))) + body)
            answer = self.peer.recv(4)
            self.code = answer[3] if len(answer) == 4 else None
        self.session = self.peer.session   # now: an end that is none of TLS's spoils it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.peer.close()

    def ends(self):
        """Wait for the end, which the broker makes: we send nothing."""
        try:
            while self.peer.recv(100):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True


def opened(*given):
    """The code of a connection that is closed again."""
    with Session(*given) as session:
        return session.code


def taken_up(before, *given):
    """Whether TLS resumed an earlier connection's session, and the code."""
    with Session(*given, before=before) as session:
        return session.peer.session_reused, session.code


def may_resume(*given):
    """Make sure that a later try to resume is one: this broker resumes the sessions of whom it knows."""
    with Session(*given) as session:
        assert taken_up(session, *given) == (True, GOOD)


@pytest.fixture
def nats(fleet_pki, tmp_path):
    ports = [tls.listen("127.0.0.1", 0) for _ in range(3)]
    numbers = [listener.getsockname()[1] for listener in ports]
    for listener in ports:
        listener.close()
    settings = broker.BrokerSettings(
        mqtt_port=numbers[0], client_port=numbers[1], monitor_port=numbers[2], cert_file=fleet_pki.cert("svc.broker"),
        key_file=fleet_pki.key("svc.broker"), ca_file=fleet_pki.ca_file, store_dir=tmp_path / "store", pid_file=tmp_path / "pid")
    config = broker.write(tmp_path / "nats", settings, [])
    with serving([str(broker.nats_server_binary()), "-c", str(config)], "Server is ready"):
        yield numbers[0], config.parent, settings.pid_file


class serving:   # noqa: N801  a context manager
    """A broker's process that has said that it is ready."""

    def __init__(self, command, ready):
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while ready not in (line := self.process.stderr.readline()):
            assert line, "the broker ended"
        self.reader = threading.Thread(target=self.process.stderr.read)
        self.reader.start()

    def __enter__(self):
        return self.process

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(WAIT_S)
        self.reader.join()
        self.process.stderr.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nats_server_ends_a_revoked_devices_session_and_does_not_take_it_up_again(settings, nats, ledger, two, fleet_pki, version):
    port, folder, pid_file = nats
    told = settings.model_copy(update={"broker_folder": folder, "broker_pid_files": (pid_file,), "push_s": 0.1})
    with running(create_app(told), told.tls()):
        deadline = time.monotonic() + WAIT_S
        while opened(port, fleet_pki, two[0], version) != GOOD:   # until the broker was told of the births
            assert time.monotonic() < deadline
        may_resume(port, fleet_pki, two[0], version)
        with Session(port, fleet_pki, two[0], version) as gone, Session(port, fleet_pki, two[1], version) as stays:
            assert (gone.code, stays.code) == (GOOD, GOOD)
            ledger.revoke("device", two[0].device, "stolen", int(time.time()))
            assert gone.ends()
            assert taken_up(gone, port, fleet_pki, two[0], version) == (False, REFUSED)   # with the list it forgets its sessions
            assert opened(port, fleet_pki, two[0], version) == REFUSED
            stays.peer.sendall(b"\xc0\x00")   # PINGREQ
            assert stays.peer.recv(2) == b"\xd0\x00"


def packet(kind, *parts):
    body = b"".join(parts)
    return bytes((kind, len(body))) + body


def text(word):
    return len(word).to_bytes(2, "big") + word.encode()


def subscribe(session, topic):
    session.peer.sendall(packet(0x82, b"\x00\x01", text(topic), b"\x00"))


def publish(session, topic, payload):
    """At QoS 0; returns when the broker has read it."""
    session.peer.sendall(packet(0x30, text(topic), payload))
    return received(session)


def received(session):
    """The payloads that came up to now: what the broker sent before it answers."""
    session.peer.sendall(b"\xc0\x00")   # PINGREQ
    came = b""
    payloads = []
    while True:
        came += session.peer.recv(100)
        while len(came) >= 2 and len(came) >= 2 + came[1]:
            kind, body, came = came[0], came[2:2 + came[1]], came[2 + came[1]:]
            if kind == 0xD0:   # PINGRESP
                return payloads
            if kind >> 4 == 3:   # PUBLISH
                payloads.append(body[2 + int.from_bytes(body[:2], "big"):])


class Named:   # as a Device to Session
    device = "svc.ingest"


@pytest.fixture
def mosquitto_told(settings, fleet_pki, two, tmp_path):
    """A real Mosquitto as host.mosquitto configures it, and the enrolment server that keeps its files; gives the port."""
    if MOSQUITTO is None:
        pytest.skip("MOSQUITTO WAS NOT TRIED: apt-get install mosquitto")
    listener = tls.listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    files = mosquitto.MosquittoSettings(
        port=port, cert_file=fleet_pki.cert("svc.broker"), key_file=fleet_pki.key("svc.broker"), ca_file=fleet_pki.ca_file,
        crl_file=tmp_path / "crl.pem", acl_file=tmp_path / "acl", pid_file=tmp_path / "pid", user="root")
    config = tmp_path / "mosquitto.conf"
    config.write_text(mosquitto.render(files))
    pushed = settings.model_copy(update={
        "crl_files": (files.crl_file,), "acl_files": (files.acl_file,), "broker_pid_files": (files.pid_file,), "push_s": 0.1})
    with running(create_app(pushed), pushed.tls()):
        deadline = time.monotonic() + WAIT_S
        while not files.acl_file.exists():   # written after the list
            assert time.monotonic() < deadline
        with serving([MOSQUITTO, "-c", str(config)], "running"):
            yield port


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_mosquitto_reads_the_list_and_does_not_let_a_revoked_device_in_again(mosquitto_told, ledger, two, fleet_pki, version):
    with Session(mosquitto_told, fleet_pki, two[0], version) as gone:
        assert gone.code == GOOD
        may_resume(mosquitto_told, fleet_pki, two[0], version)
        ledger.revoke("device", two[0].device, "stolen", int(time.time()))
        deadline = time.monotonic() + WAIT_S
        while opened(mosquitto_told, fleet_pki, two[0], version) == GOOD:   # until the broker has read the list
            assert time.monotonic() < deadline
        assert taken_up(gone, mosquitto_told, fleet_pki, two[0], version) == (False, None)
        assert opened(mosquitto_told, fleet_pki, two[1], version) == GOOD


def test_mosquitto_takes_nothing_from_a_revoked_devices_session_and_gives_it_nothing(mosquitto_told, ledger, two, fleet_pki):
    given = [Session(mosquitto_told, fleet_pki, one, ssl.TLSVersion.TLSv1_2) for one in (*two, Named)]
    with given[0] as gone, given[1] as stays, given[2] as ingest:
        assert {each.code for each in given} == {GOOD}
        subscribe(ingest, "t/+/up")
        for session, device in zip(given, two, strict=False):
            subscribe(session, f"t/{device.device}/ack")
            assert received(session) == []

        def speak(session, device):
            """Whether the device is heard, and hears."""
            publish(session, f"t/{device.device}/up", b"up")
            heard = received(ingest)
            publish(ingest, f"t/{device.device}/ack", b"ack")
            return heard == [b"up"], received(session) == [b"ack"]

        assert speak(gone, two[0]) == speak(stays, two[1]) == (True, True)
        ledger.revoke("device", two[0].device, "stolen", int(time.time()))
        deadline = time.monotonic() + WAIT_S
        while speak(gone, two[0]) != (False, False):
            assert time.monotonic() < deadline
        assert speak(stays, two[1]) == (True, True)


def test_a_broker_that_was_starting_when_it_was_told_is_told_again(ledger, issuing, tmp_path):
    pid_file, heard = tmp_path / "pid", []
    publisher = Publisher(ledger, issuing, Targets(pid_files=(pid_file,)), LIFE)
    before = signal.signal(signal.SIGHUP, lambda *_: heard.append("SIGHUP"))
    try:
        assert publisher.tick(NOW)
        pid_file.write_text(str(os.getpid()))   # it has read its files by now, those from before
        for _ in range(2):
            assert not publisher.tick(NOW)
        assert heard == ["SIGHUP"]
    finally:
        signal.signal(signal.SIGHUP, before)
