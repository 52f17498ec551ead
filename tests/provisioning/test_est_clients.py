"""Enrolment by clients that we did not write: strongSwan's pki, and curl with openssl; and the answers that say "later"."""

import base64
import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from host.ecdsa import point
from host.tls import client_context
from provisioning import ca, pki
from provisioning.enrol import app as enrol_app
from provisioning.enrol.app import RETRY_BUSY_S, create_app
from provisioning.rules.validity import SHELF_LIFE_S

from .conftest import DAY_S, LOT, Device, Station, running
from .hsm import PIN, URI, softhsm

PKI = shutil.which("pki")
strongswan = pytest.mark.skipif(PKI is None, reason="STRONGSWAN WAS NOT TRIED: apt-get install strongswan-pki")
EST = "/.well-known/est"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tool(*arguments, expected=0, **more):
    done = subprocess.run([str(each) for each in arguments], capture_output=True, timeout=60, check=False, **more)
    assert done.returncode == expected, done.stderr.decode()
    return done.stdout


def keep_key(device):
    pki.write_key(pki.Path("device.key"), ec.derive_private_key(device.private, ec.SECP256R1()))


def strongswan_request(device):
    keep_key(device)
    pki.Path("device.csr").write_bytes(
        tool(PKI, "--req", "--in", "device.key", "--type", "priv", "--dn", f"CN={device.device}"))


def curl(fleet_pki, port, path, *more, **how):
    return tool("curl", "--silent", "--show-error", "--fail-with-body", "--cacert", fleet_pki.cert("root"), *more,
                f"https://localhost:{port}{EST}/{path}", **how)


def only_certificate(pkcs7):
    pki.Path("answer.p7").write_bytes(base64.b64decode(pkcs7, validate=True))   # validate: one line, nothing else
    pem = tool("openssl", "pkcs7", "-inform", "DER", "-in", "answer.p7", "-print_certs")
    assert pem.count(b"BEGIN CERTIFICATE") == 1
    pki.Path("device.pem").write_bytes(pem)
    return pem


@strongswan
def test_strongswan_gets_the_ca_enrols_and_renews(folder, fleet_pki, port, born, ledger):
    url = f"https://localhost:{port}"
    tool(PKI, "--estca", "--url", url, "--cacert", fleet_pki.cert("root"), "--caout", "ca.der", "--force")
    found = {path.read_bytes() for path in folder.glob("ca*.der")}
    assert found == {ca.der(pki.load_certificates(fleet_pki.cert(name))[0]) for name in ("root", "issuing")}
    strongswan_request(born)
    trust = ("--cacert", fleet_pki.cert("root"), "--cacert", fleet_pki.cert("issuing"), "--outform", "pem")
    (folder / "device.pem").write_bytes(tool(PKI, "--est", "--url", url, *trust, "--in", "device.csr"))
    (folder / "next.pem").write_bytes(tool(
        PKI, "--est", "--url", url, *trust, "--in", "device.csr", "--cert", "device.pem", "--key", "device.key"))
    tool("openssl", "verify", "-CAfile", fleet_pki.ca_file, "-purpose", "sslclient", "device.pem", "next.pem")
    first, second = ledger.certificates(born.device)
    assert [first.why, second.why] == ["birth key", f"renewal of {first.serial}"]


@pytest.fixture
def forgotten(ledger, station_key):
    """A device whose lot ended more than three years ago."""
    now_s = int(time.time())
    then_s = now_s - SHELF_LIFE_S - DAY_S
    ledger.open_lot(LOT, point(station_key.public_key()).hex(), 10, then_s, then_s - DAY_S)
    device = Device()
    Station(ledger, LOT, "bench-1", station_key).hear(device.line(), then_s - 1)
    return device


@strongswan
def test_strongswan_waits_until_an_operator_has_spoken(folder, fleet_pki, settings, forgotten, ledger, monkeypatch):
    asked = threading.Event()
    refused = enrol_app.Attempts.note
    monkeypatch.setattr(enrol_app.Attempts, "note", lambda *told: (refused(*told), asked.set()))
    with running(create_app(settings.model_copy(update={"word_retry_s": 1})), settings.tls()) as port:
        strongswan_request(forgotten)
        with subprocess.Popen(
            [PKI, "--est", "--url", f"https://localhost:{port}", "--cacert", str(fleet_pki.cert("root")), "--cacert",
             str(fleet_pki.cert("issuing")), "--in", "device.csr", "--interval", "1", "--maxpolltime", "50"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert asked.wait(30)
            now_s = int(time.time())
            ledger.permit(forgotten.device, "first", now_s + DAY_S, now_s, who="anna", why="spare, seal unbroken")
            certificate, complaint = process.communicate(timeout=50)
        assert process.returncode == 0, complaint
    (entry,) = ledger.certificates(forgotten.device)
    assert entry.serial == ca.serial_hex(pki.x509.load_der_x509_certificate(certificate))


def test_a_word_for_one_device_holds_for_its_time_and_no_other(ledger, forgotten):
    now_s = int(time.time())
    ledger.permit(forgotten.device, "first", now_s + 10, now_s, who="anna", why="spare")
    assert [ledger.standing(forgotten.device, now_s + later).history.allowed for later in (0, 9, 10)] == [True, True, False]
    assert ledger.standing("hall-0242ac110002", now_s) is None
    ledger.verify()


def test_curl_and_openssl_get_the_ca_enrol_renew_and_are_refused_when_revoked(folder, fleet_pki, port, born, ledger):
    chain = folder / "ca.p7"
    chain.write_bytes(base64.b64decode(curl(fleet_pki, port, "cacerts"), validate=True))
    assert tool("openssl", "pkcs7", "-inform", "DER", "-in", chain, "-print_certs").count(b"BEGIN CERTIFICATE") == 2
    keep_key(born)
    tool("openssl", "req", "-new", "-key", "device.key", "-subj", f"/CN={born.device}", "-outform", "DER", "-out", "device.csr")
    request = base64.encodebytes((folder / "device.csr").read_bytes())
    posted = ("--header", "Content-Type: application/pkcs10", "--data-binary", "@-")
    only_certificate(curl(fleet_pki, port, "simpleenroll", *posted, input=request))
    tool("openssl", "verify", "-CAfile", fleet_pki.ca_file, "-purpose", "sslclient", "device.pem")
    mutual = (*posted, "--cert", "device.pem", "--key", "device.key")
    only_certificate(curl(fleet_pki, port, "simplereenroll", *mutual, input=request))
    ledger.revoke("device", born.device, "stolen", int(time.time()))
    assert b"enrol.revoked" in curl(fleet_pki, port, "simplereenroll", *mutual, input=request, expected=22)


def test_the_attributes_that_a_request_should_have_are_read_by_openssl(folder, fleet_pki, port):
    (folder / "attributes.der").write_bytes(base64.b64decode(curl(fleet_pki, port, "csrattrs"), validate=True))
    told = tool("openssl", "asn1parse", "-inform", "DER", "-in", "attributes.der").decode()
    assert [line.rsplit(":", 1)[1] for line in told.splitlines() if "OBJECT" in line] == [
        "id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256"]


def test_more_than_can_be_served_are_told_to_come_again_at_different_times(fleet_pki, settings, born):
    full = settings.model_copy(update={"max_under_way": 1})
    inside, go_on = threading.Event(), threading.Event()
    app = create_app(full)
    first_enrol = enrol_app.Enrolment.enrol

    def slow(*given, **more):
        inside.set()
        assert go_on.wait(30)
        return first_enrol(*given, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enrol_app.Enrolment, "enrol", slow)
        with running(app, full.tls()) as port, httpx.Client(
                base_url=f"https://localhost:{port}", verify=client_context(fleet_pki.cert("root")), trust_env=False,
                timeout=60) as client:
            answers = []
            body = base64.b64encode(born.csr())
            served = threading.Thread(target=lambda: answers.append(client.post(f"{EST}/simpleenroll", content=body)))
            served.start()
            assert inside.wait(30)
            shed = [client.post(f"{EST}/simpleenroll", content=body) for _ in range(10)]
            go_on.set()
            served.join()
    assert {(answer.status_code, answer.json()["code"]) for answer in shed} == {(202, "enrol.busy")}
    waits = {int(answer.headers["retry-after"]) for answer in shed}
    assert min(waits) >= RETRY_BUSY_S
    assert max(waits) <= 2 * RETRY_BUSY_S
    assert len(waits) > 1
    assert answers[0].status_code == 200


@pytest.mark.slow   # several processes that import everything
def test_the_issuing_key_may_lie_in_an_hsm_and_its_absence_issues_nothing(folder, fleet_pki, born, ledger, ledger_url):
    """The server is a process of its own, as PKCS#11 needs it; its CA is made for it in the token."""
    token = softhsm(folder, "issuing")
    env = {name: value for name, value in os.environ.items() if "PASSPHRASE" not in name}
    env |= {"PYTHONPATH": os.pathsep.join(sys.path), "SOFTHSM2_CONF": str(token), "TENFOLD_PKCS11_PIN": PIN}
    program = (
        "import datetime as dt, sys; from pathlib import Path; from provisioning import ca, pki\n"
        "root = pki.load_authority(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "made = ca.make_issuing(root, pki.load_key(Path(sys.argv[3])), dt.datetime.now(dt.UTC))\n"
        "pki.write_pem(Path('issuing.pem'), made.certificate); pki.write_pem(Path('ca.pem'), root.certificate, made.certificate)\n"
        "import threading; from provisioning.enrol.app import create_app; from provisioning.enrol.settings import EnrolSettings\n"
        "from host.tls import listen, make_server\n"
        "settings = EnrolSettings(database=sys.argv[4], cert_file=sys.argv[5], key_file=sys.argv[6], ca_file='ca.pem',\n"
        "    issuing_cert='issuing.pem', issuing_key=sys.argv[3], root_cert=sys.argv[1])\n"
        "listener = listen('127.0.0.1', 0); print(listener.getsockname()[1], flush=True)\n"
        "make_server(create_app(settings), settings.tls()).run(sockets=[listener])\n")
    arguments = [fleet_pki.cert("root"), fleet_pki.key("root"), URI.format("issuing"), ledger_url, fleet_pki.cert("svc.enrol"),
                 fleet_pki.key("svc.enrol")]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = int(server.stdout.readline())
            with httpx.Client(base_url=f"https://localhost:{port}", verify=client_context(fleet_pki.cert("root")),
                              trust_env=False, timeout=30) as client:
                answer = client.post(f"{EST}/simpleenroll", content=base64.b64encode(born.csr()))
                only_certificate(answer.content)
                tool("openssl", "verify", "-CAfile", "ca.pem", "-purpose", "sslclient", "device.pem")
                shutil.rmtree(folder / "tokens")
                answer = client.post(f"{EST}/simpleenroll", content=base64.b64encode(born.csr()))
                assert (answer.status_code, answer.json()["code"]) == (503, "enrol.key_away")
                assert RETRY_BUSY_S <= int(answer.headers["retry-after"]) <= 2 * RETRY_BUSY_S
        finally:
            with contextlib.suppress(ProcessLookupError):
                server.terminate()
    assert len(ledger.certificates(born.device)) == 1
