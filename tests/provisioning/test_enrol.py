"""Enrolment over the real TLS server: the birth key opens one door, once the line has written the birth."""

import base64
import datetime as dt
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from host.ecdsa import point
from node.wire import der
from provisioning import ca, pki
from provisioning.enrol.requests import MAX_BODY_BYTES, parse_request
from provisioning.errors import ProvisioningError
from provisioning.rules.validity import ISSUE_LIMIT

from .conftest import LOT, Device

EST = "/.well-known/est"
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def post(client, csr, path="simpleenroll", **kwargs):
    body = base64.b64encode(csr) if isinstance(csr, bytes) and csr[:1] == b"\x30" else csr   # others: as they are
    return client.post(f"{EST}/{path}", content=body, headers={"Content-Type": "application/pkcs10"}, **kwargs)


def issued(answer) -> x509.Certificate:
    assert answer.status_code == 200, answer.text
    (only,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(answer.content))
    assert der.certs_only(base64.b64decode(answer.content)) == [ca.der(only)]
    return only


def test_a_born_device_gets_a_certificate_that_is_recorded_first(connect, born, ledger, issuing):
    answer = post(connect(), born.csr())
    certificate = issued(answer)
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert answer.headers["content-transfer-encoding"] == "base64"
    assert b"\n" not in answer.content
    assert "date" in answer.headers
    certificate.verify_directly_issued_by(issuing.certificate)
    assert certificate.subject.rfc4514_string() == f"CN={born.device}"
    assert point(certificate.public_key()) == born.public
    assert [row.serial for row in ledger.certificates(born.device)] == [ca.serial_hex(certificate)]


def test_der_and_wrapped_base64_are_read_too(connect, born):
    client = connect()
    issued(client.post(f"{EST}/simpleenroll", content=born.csr()))
    issued(post(client, base64.encodebytes(born.csr()).replace(b"\n", b"\r\n")))


def test_a_device_without_a_birth_record_is_told_to_wait(connect, bench):
    answer = post(connect(), Device(9).csr())
    assert (answer.status_code, answer.json()["code"]) == (403, "enrol.no_birth")


def test_another_key_than_the_birth_records_is_refused(connect, born):
    answer = post(connect(), Device(born.last).csr())
    assert (answer.status_code, answer.json()["code"]) == (403, "enrol.other_key")


def test_a_revoked_device_or_lot_gets_nothing(connect, born, ledger):
    ledger.revoke("lot", LOT, "sold elsewhere", int(time.time()))
    assert post(connect(), born.csr()).json()["code"] == "enrol.lot_revoked"
    ledger.revoke("device", born.device, "stolen", int(time.time()))
    assert post(connect(), born.csr()).json()["code"] == "enrol.revoked"


def test_a_device_that_loses_power_each_time_may_ask_again_but_not_for_ever(connect, born, ledger):
    client = connect()
    serials = {issued(post(client, born.csr())).serial_number for _ in range(ISSUE_LIMIT)}
    assert len(serials) == len(ledger.certificates(born.device)) == ISSUE_LIMIT
    answer = post(client, born.csr())
    assert (answer.status_code, answer.json()["code"]) == (429, "enrol.too_many")
    assert int(answer.headers["retry-after"]) > 0


def rewritten(csr: bytes) -> bytes:
    return csr.replace(b"hall-0242ac110001", b"hall-0242ac110002")


def csr_of(key, *names: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name) for name in names])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.DER)


@pytest.mark.parametrize(("body", "code"), [
    (b"", "enrol.size"),
    (b"not base64!", "enrol.encoding"),
    (b"AAAA", "enrol.csr"),
    (Device().csr()[:-5], "enrol.csr"),
    (rewritten(Device().csr()), "enrol.proof"),
    (Device().csr("svc.ota"), "enrol.subject"),
    (Device().csr("hall-0242AC110001"), "enrol.subject"),
    (csr_of(ca.make_key(), Device().device, Device().device), "enrol.subject"),
    (csr_of(ca.make_key()), "enrol.subject"),
    (csr_of(ec.generate_private_key(ec.SECP384R1()), Device().device), "enrol.key"),
])
def test_a_malformed_request_is_refused_with_a_code(body, code):
    with pytest.raises(ProvisioningError) as caught:
        parse_request(body)
    assert caught.value.code == code


def test_a_malformed_request_never_reaches_the_rules(connect):
    client = connect()
    for body, status, code in (
        (b"A" * (MAX_BODY_BYTES + 1), 413, "enrol.size"), (b"AAAA", 400, "enrol.csr"),
        (iter([b"A" * 4096] * 1000), 413, "enrol.size"),   # chunked: no length to refuse it by
    ):
        answer = post(client, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_cacerts_gives_issuing_and_root(connect, fleet_pki):
    chain = pkcs7.load_der_pkcs7_certificates(base64.b64decode(connect().get(f"{EST}/cacerts").content))
    wanted = [pki.load_certificates(fleet_pki.cert(name))[0] for name in ("issuing", "root")]
    assert sorted(chain, key=hash) == sorted(wanted, key=hash)


def test_renewal_needs_the_certificate_of_the_same_device(connect, born, bench):
    certificate = issued(post(connect(), born.csr()))
    assert post(connect(), born.csr(), "simplereenroll").json()["code"] == "enrol.no_certificate"
    client = connect(certificate, born)
    assert issued(post(client, born.csr(), "simplereenroll")).serial_number != certificate.serial_number
    other = Device(2)
    bench.hear(other.line(), int(time.time()))
    answer = post(client, other.csr(), "simplereenroll")
    assert (answer.status_code, answer.json()["code"]) == (403, "enrol.other_subject")


def test_an_expired_certificate_may_renew_a_revoked_one_may_not(connect, born, ledger, issuing):
    past = dt.datetime.now(dt.UTC) - dt.timedelta(days=3)
    key = ec.derive_private_key(born.private, ec.SECP256R1()).public_key()
    old = ca.issue_device(issuing, key, born.device, past, days=1)
    client = connect(old, born)
    assert post(client, born.csr(), "simplereenroll").json()["code"] == "enrol.revoked"   # not in the ledger: not ours
    ledger.record_certificate(ca.serial_hex(old), born.device, int(old.not_valid_after_utc.timestamp()), int(past.timestamp()),
                              who="svc.enrol", why="birth key")
    issued(post(client, born.csr(), "simplereenroll"))
    ledger.revoke("certificate", ca.serial_hex(old), "lost", int(time.time()))
    assert post(client, born.csr(), "simplereenroll").json()["code"] == "enrol.revoked"


def test_a_certificate_of_a_foreign_ca_ends_in_the_handshake(connect, born):
    now = dt.datetime.now(dt.UTC)
    foreign = ca.make_issuing(ca.make_root(ca.make_key(), now), ca.make_key(), now)
    key = ec.derive_private_key(born.private, ec.SECP256R1()).public_key()
    with pytest.raises(httpx.TransportError):
        post(connect(ca.issue_device(foreign, key, born.device, now), born), born.csr(), "simplereenroll")


def test_the_device_on_micropython_is_born_enrols_and_renews(port, bench, fleet_pki):
    micropython = shutil.which("micropython", path=str(Path(sys.executable).parent)) or shutil.which("micropython")
    if micropython is None:
        pytest.skip("micropython is not installed")
    command = [micropython, "-X", "heapsize=160k", HERE / "mpy_client.py", ROOT / "firmware/lib", str(port),
               fleet_pki.root_der, Device(7).device]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        announcement = process.stdout.readline()
        assert process.stdout.readline() == "early 403 enrol.no_birth\n"
        bench.hear(announcement, int(time.time()))
        output, _ = process.communicate("go\n", timeout=20)
    assert output.splitlines() == ["enrol 200 True True", "renew 200 True True"]
    assert process.returncode == 0


def test_the_server_process_tells_a_wrong_setting_in_one_line(tmp_path):
    config = tmp_path / "enrol.json"
    config.write_text('{"prot": 1}')
    done = subprocess.run([sys.executable, "-m", "provisioning.enrol", "--config", config], cwd=ROOT, capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "setting cert_file: got nothing" in done.stderr
    assert "Traceback" not in done.stderr
