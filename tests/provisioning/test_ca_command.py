"""`tenfold ca`: nothing unprotected, nothing unrecorded, no name of the wrong kind; openssl agrees with what comes out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from host.db import open_engine
from node.wire.der import csr as device_csr
from provisioning import ca, desk, pki
from provisioning.attempts import EVERY_S, MAX_ROWS, MAX_WRITES, Attempts
from provisioning.enrol.explain import explain
from provisioning.ledger import Ledger
from provisioning.rules.validity import SHELF_LIFE_S
from tests.cli.test_release_desk import tenfold

from .conftest import DAY_S, NOW, NOW_S, Device
from .hsm import PIN, URI, softhsm

ROOT_PHRASE, PHRASE = "the root's own words", "the issuing CA's words"
INIT = ("ca", "init", "root", "ca", "--why", "the plant's first", "--by", "anna", "--root-passphrase-file", "root.phrase")
BY = ("--why", "hall 2", "--by", "anna")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "root.phrase").write_text(ROOT_PHRASE + "\n")
    (tmp_path / "phrase").write_text(PHRASE + "\n")
    monkeypatch.setenv("TENFOLD_KEY_PASSPHRASE_FILE", str(tmp_path / "phrase"))
    return tmp_path


@pytest.fixture
def run(folder, monkeypatch):
    return lambda *arguments: tenfold(monkeypatch, *arguments)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """What `init` leaves behind, made once: a passphrase is slow to try, and so to use."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.MonkeyPatch.context() as patch:
        (folder / "phrase").write_text(PHRASE + "\n")
        (folder / "root.phrase").write_text(ROOT_PHRASE + "\n")
        patch.setenv("TENFOLD_KEY_PASSPHRASE_FILE", str(folder / "phrase"))
        patch.chdir(folder)
        assert tenfold(patch, *INIT) == 0
    return folder


@pytest.fixture
def made(folder, first):
    shutil.copytree(first, folder, dirs_exist_ok=True)
    return folder


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False, **more)


def verifies(cert, purpose):
    return openssl("verify", "-CAfile", "ca/root.pem", "-untrusted", "ca/issuing.pem", "-purpose", purpose, cert).returncode == 0


def book(folder):
    return Ledger(open_engine(f"sqlite:///{folder}/ledger.db"))


def test_root_and_issuing_ca_are_made_apart_protected_and_recorded(made):
    assert sorted(path.name for path in (made / "root").iterdir()) == ["root.key", "root.pem"]
    assert sorted(path.name for path in (made / "ca").iterdir()) == ["ca.pem", "issuing.key", "issuing.pem", "root.der", "root.pem"]
    assert openssl("verify", "-CAfile", "root/root.pem", "ca/issuing.pem").returncode == 0
    for path, phrase, other in (("root/root.key", ROOT_PHRASE, PHRASE), ("ca/issuing.key", PHRASE, ROOT_PHRASE)):
        assert openssl("pkey", "-in", path, "-noout", "-passin", "stdin", input=phrase).returncode == 0
        assert openssl("pkey", "-in", path, "-noout", "-passin", "stdin", input=other).returncode == 1
        assert Path(path).stat().st_mode & 0o777 == 0o600
    held = book(made).named()
    assert [(one.kind, one.who, one.why) for one in held] == [
        ("root", "anna", "the plant's first"), ("issuing", "anna", "the plant's first")]
    assert book(made).verify() == 2


def test_a_ca_key_is_never_made_without_protection(run, folder, monkeypatch, capsys):
    monkeypatch.delenv("TENFOLD_KEY_PASSPHRASE_FILE")
    assert run("ca", "init", "root", "ca", *BY) == 2
    assert "ca.unprotected" in capsys.readouterr().err
    assert not list(folder.rglob("*.key"))


def test_the_root_signs_another_issuing_ca_and_overwrites_none(run, made, capsys):
    before = Path("ca/issuing.pem").read_bytes()
    assert run(*INIT) == 2
    assert "ca.exists" in capsys.readouterr().err
    assert run(*INIT[:3], "ca2", *INIT[4:]) == 0
    assert Path("ca/issuing.pem").read_bytes() == before
    assert openssl("verify", "-CAfile", "root/root.pem", "ca2/issuing.pem").returncode == 0
    assert [one.kind for one in book(made).named()] == ["root", "issuing", "issuing"]


def test_a_run_that_was_broken_off_after_the_key_is_taken_up_again(run, folder):
    (folder / "root").mkdir()
    pki.write_key(folder / "root/root.key", pki.ca.make_key(), ROOT_PHRASE.encode())
    before = Path("root/root.key").read_bytes()
    assert run(*INIT) == 0
    assert Path("root/root.key").read_bytes() == before


@pytest.mark.parametrize(("name", "more", "purpose", "other", "days"), [
    ("svc.enrol", ("--host", "enrol.plant.example", "--host", "127.0.0.1"), "sslserver", "sslclient", 398),
    ("svc.ingest", (), "sslclient", "sslserver", 398),
    ("op.anna", (), "sslclient", "sslserver", 398),
    ("st.bench1", (), "sslclient", "sslserver", 90),
    ("doctor-000000000001", (), "sslclient", "sslserver", 7),   # `tenfold doctor` tries with it
    ("doctor-000000000003", (), "sslclient", "sslserver", 7),   # as what is not ours
    ("op.guest", ("--days", "1"), "sslclient", "sslserver", 1),
])
def test_each_kind_gets_its_purpose_its_life_and_an_entry(run, made, name, more, purpose, other, days):
    assert run("ca", "issue", name, *more, *BY) == 0
    path = Path(f"ca/{name}.pem")
    assert verifies(path, purpose)
    assert not verifies(path, other)
    leaf, *chain = pki.load_certificates(path)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days == days
    assert len(chain) == (purpose == "sslserver")
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (True, False, False)
    (entry,) = book(made).certificates(name)
    assert (entry.serial, entry.who, entry.why, entry.not_after_s) == (
        f"{leaf.serial_number:x}", "anna", "hall 2", int(leaf.not_valid_after_utc.timestamp()))


def test_a_certificate_that_must_not_exist_leaves_no_key_and_no_entry(run, made, capsys):
    for arguments, code in (
        (("hall-0242ac110001",), "ca.name"), (("anna",), "ca.name"), (("op.anna", "--host", "a.example"), "ca.name"),
        (("st.bench1", "--host", "a.example"), "ca.name"), (("op.anna", "--days", "99999"), "ca.issuer"),
        (("op.anna", "--foreign"), "ca.name"), (("pump", "--foreign"), "ca.name"),
        (("hall-0242ac110001", "--foreign", "--host", "a.example"), "ca.name"),
    ):
        assert run("ca", "issue", *arguments, *BY) == 2
        assert code in capsys.readouterr().err
    assert sorted(path.name for path in (made / "ca").glob("*.key")) == ["issuing.key"]
    assert len(book(made).named()) == 2


def test_the_holder_keeps_the_key_and_is_asked_for_exactly_the_name(run, made, capsys):
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "anna.key",
            "-subj", "/CN=op.anna", "-out", "anna.csr")
    assert run("ca", "issue", "op.ben", "--csr", "anna.csr", *BY) == 2
    assert "ca.request" in capsys.readouterr().err
    assert run("ca", "issue", "op.anna", "--csr", "anna.csr", *BY) == 0
    assert not Path("ca/op.anna.key").exists()
    assert pki.load_certificates(Path("ca/op.anna.pem"))[0].public_key() == pki.load_key(Path("anna.key")).public_key()
    Path("broken.csr").write_bytes(device_csr(Device().private, Device().public, "op.anna"))   # signed by another key
    assert run("ca", "issue", "op.anna", "--csr", "broken.csr", *BY) == 2
    assert "enrol.proof" in capsys.readouterr().err


def test_a_device_that_is_not_ours_has_doors_of_its_own_until_it_is_revoked(run, made, capsys):
    pump = "pump-0242ac110009"
    assert run("ca", "issue", pump, "--foreign", *BY) == 0
    assert verifies(Path(f"ca/{pump}.pem"), "sslclient")
    ledger = book(made)
    before = ledger.changes()
    assert (ledger.devices(), ledger.foreign_devices(NOW_S)) == ([], [pump])
    assert ledger.foreign_devices(NOW_S + 9999 * DAY_S) == []
    assert run("ca", "issue", "lift-0242ac11000b", "--foreign", *BY) == 0
    assert ledger.changes() != before   # brokers are told
    assert run("ca", "revoke", pump, "--why", "sent back") == 0
    assert (ledger.foreign_devices(NOW_S), len(ledger.revoked(NOW_S))) == (["lift-0242ac11000b"], 1)


def test_a_device_of_ours_is_not_issued_to_as_a_foreign_one(ledger, station, issuing, tmp_path):
    device = Device()
    station.hear(device.line(), NOW_S)
    with pytest.raises(ca.CaError, match="was born on a line of ours"):
        desk.Desk(pki.FleetPki(tmp_path / "ca"), issuing, ledger).issue(device.device, desk.Word("anna", "2", NOW), foreign=True)
    assert not (tmp_path / "ca").exists()


def test_a_name_that_was_revoked_may_be_issued_anew_a_certificate_not(run, made, capsys):
    assert run("ca", "issue", "op.anna", *BY) == 0
    key = Path("ca/op.anna.key").read_bytes()
    assert run("ca", "revoke", "op.anna", "--why", "laptop lost", "--by", "ben") == 0
    assert run("ca", "revoke", "op.anna", "--why", "laptop lost") == 0
    assert "nothing to revoke" in capsys.readouterr().out
    assert run("ca", "issue", "op.anna", *BY) == 0
    assert Path("ca/op.anna.key").read_bytes() == key
    capsys.readouterr()
    assert run("ca", "show", "op.anna", "--json") == 0
    assert [one["state"] for one in json.loads(capsys.readouterr().out)] == ["revoked", "valid"]
    assert len(book(made).revoked(NOW_S)) == 1
    assert run("ca", "crl", "crl.pem") == 0
    check = ("verify", "-CAfile", "ca/ca.pem", "-crl_check", "-CRLfile", "crl.pem")
    assert openssl(*check, "ca/op.anna.pem").returncode == 0
    assert openssl("crl", "-in", "crl.pem", "-CAfile", "ca/ca.pem", "-noout", "-text").stdout.count("Serial Number:") == 1
    assert run("ca", "revoke", "op.nobody", "--why", "gone") == 2
    assert "revoke.unknown" in capsys.readouterr().err


def test_a_device_a_lot_and_a_serial_number_are_revoked_for_all_that_they_cover(ledger, station):
    first, second = Device(1), Device(2)
    for number, device in enumerate((first, second), 1):
        station.hear(device.line(), NOW_S)
        for end_s in (NOW_S + DAY_S, NOW_S - 1):
            ledger.record_certificate(f"{number}{end_s:x}", device.device, end_s, NOW_S - 2, who="svc.enrol", why="birth key")
    word = desk.Word("anna", "stolen", pki.dt.datetime.fromtimestamp(NOW_S, pki.dt.UTC))
    assert desk.revoke(ledger, first.device, word) == [("device", first.device)]
    live = f"1{NOW_S + DAY_S:x}", f"2{NOW_S + DAY_S:x}"
    assert [one.serial for one in ledger.revoked(NOW_S)] == [live[0]]   # what has ended needs no revocation
    assert desk.revoke(ledger, live[1], word) == [("certificate", live[1])]
    assert desk.revoke(ledger, "lot-1", word, lot=True) == [("lot", "lot-1")]
    assert [one.serial for one in ledger.revoked(NOW_S)] == list(live)
    assert ledger.verify() == 10


def test_a_reason_is_asked_for(run, made, capsys):
    assert run("ca", "revoke", "op.anna", "--why", " ") == 2
    assert "--why" in capsys.readouterr().err


def test_a_refusal_is_explained_by_its_code(run, folder, capsys):
    assert run("ca", "explain", "enrol.other_key") == 0
    assert "what to do:" in capsys.readouterr().out
    assert run("ca", "explain", "enrol.nonsense") == 2
    assert "ca.code" in capsys.readouterr().err


def test_an_operator_is_told_what_stands_in_a_devices_way(ledger, engine, station, run, folder, ledger_url, capsys):
    device, attempts = Device(), Attempts(engine)
    assert explain(ledger, attempts, device.device, NOW_S)["code"] == "enrol.no_birth"
    station.hear(device.line(), NOW_S)
    assert "code" not in explain(ledger, attempts, device.device, NOW_S)
    attempts.note(device.device, "enrol.other_key", "192.0.2.7", NOW_S)
    told = explain(ledger, attempts, device.device, NOW_S)
    assert (told["now"], told["code"], told["refused"][0]["peer"]) == ("enrol.issue", "enrol.other_key", "192.0.2.7")
    assert explain(ledger, attempts, device.device, NOW_S + SHELF_LIFE_S + 2 * DAY_S)["code"] == "enrol.shelf_life"
    ledger.record_certificate("1f", device.device, NOW_S + DAY_S, NOW_S + 1, who="svc.enrol", why="birth key")
    assert "code" not in explain(ledger, attempts, device.device, NOW_S)   # that was before its certificate
    assert run("enrol", "explain", device.device, "--ledger", ledger_url) == 0
    assert "192.0.2.7" in capsys.readouterr().out


def test_strangers_cannot_fill_the_ledgers_disk_with_attempts(ledger, engine):
    attempts = Attempts(engine)
    for second in range(EVERY_S + 1):
        attempts.note("hall-0242ac110001", "enrol.no_birth", "192.0.2.7", NOW_S + second)
    (one,) = attempts.last("hall-0242ac110001")
    assert (one.count, one.first_s, one.last_s) == (EVERY_S + 1, NOW_S, NOW_S + EVERY_S)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ?) "
            "INSERT INTO attempts SELECT 'hall-' || i, 'enrol.no_birth', 1, 1, i, '' FROM number", (MAX_ROWS,))
    attempts.note("hall-0242ac110002", "enrol.no_birth", "192.0.2.7", NOW_S)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM attempts").scalar_one() <= MAX_ROWS + 1
    assert attempts.last("hall-0242ac110002")
    ids = [f"hall-0242ac12{number:04x}" for number in range(3 * MAX_WRITES)]
    for device in ids:
        attempts.note(device, "enrol.no_birth", "192.0.2.7", NOW_S + 1000)
    assert sum(bool(attempts.last(device)) for device in ids) == MAX_WRITES


def test_the_keys_of_root_and_issuing_ca_may_lie_in_an_hsm(folder):
    """In processes of their own: PKCS#11 logs in a whole process, and reads its configuration once."""
    token = softhsm(folder, "root", "issuing")
    env = {name: value for name, value in os.environ.items() if "PASSPHRASE" not in name}
    env |= {"PYTHONPATH": os.pathsep.join(sys.path), "SOFTHSM2_CONF": str(token), "TENFOLD_PKCS11_PIN": PIN,
            "TENFOLD_CA_KEY": URI.format("issuing")}

    def command(*arguments):
        program = "from host.cli import main; main()"
        return subprocess.run([sys.executable, "-c", program, *arguments], env=env, capture_output=True, text=True, check=False,
                              timeout=60)

    done = command("ca", "init", "root", "ca", "--root-key", URI.format("root"), *BY)
    assert done.returncode == 0, done.stderr
    done = command("ca", "issue", "svc.enrol", "--host", "localhost", *BY)
    assert done.returncode == 0, done.stderr
    assert verifies("ca/svc.enrol.pem", "sslserver")
    assert sorted(path.name for path in folder.rglob("*.key")) == ["svc.enrol.key"]
