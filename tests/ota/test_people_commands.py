"""`tenfold token` and `tenfold rollout approve` against the real server: a token is seen by its file alone, approval takes two."""

import datetime as dt
import json
from pathlib import Path

import pytest

from host.cli.root import app
from host.settings import SettingsError
from ota.client import OtaError
from provisioning import ca, pki
from tests.ota.support import Keys, operator

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def config(config: dict[str, object], certificates: pki.FleetPki) -> dict[str, object]:
    if not certificates.key("op.second").exists():
        issuing = pki.load_authority(certificates.cert("issuing"), certificates.key("issuing"))
        key = ca.make_key()
        pki.write_key(certificates.key("op.second"), key)
        made = ca.issue_client(issuing, key.public_key(), "op.second", dt.datetime.now(dt.UTC))
        pki.write_pem(certificates.cert("op.second"), made)
    return config | {"roles": {"op.release": "approver", "op.second": "approver"}, "approvals": 1}


@pytest.fixture
def tenfold(port: int, certificates: pki.FleetPki, capsys: Capture):
    def run(*words: object, name: str = "op.release") -> str:
        options = ["--server", f"https://localhost:{port}", "--ca", certificates.ca_file, "--cert", certificates.cert(name),
                   "--key", certificates.key(name)]
        app([str(word) for word in (*words, *options)], standalone_mode=False)
        return capsys.readouterr().out

    return run


def test_a_token_is_made_used_and_revoked(tenfold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "ci.token"
    told = tenfold("token", "create", path, "--role", "operator", "--days", 1, "--note", "nightly")
    assert path.stat().st_mode & 0o777 == 0o600
    secret = path.read_text().strip()
    assert secret not in told
    (row,) = json.loads(tenfold("token", "list", "--json"))
    assert (row["role"], row["note"], row["used_s"]) == ("operator", "nightly", None)
    assert row["ident"] in tenfold("token", "list")
    with pytest.raises(SettingsError, match="which exists"):
        tenfold("token", "create", path)
    assert path.read_text().strip() == secret
    monkeypatch.setenv("TENFOLD_TOKEN_FILE", str(path))
    assert tenfold("rollout", "list", "--json", name="op.console") == "[]\n"
    with pytest.raises(OtaError, match=r"operator\.role"):
        tenfold("token", "revoke", row["ident"])
    monkeypatch.delenv("TENFOLD_TOKEN_FILE")
    assert row["ident"] in tenfold("token", "revoke", row["ident"])
    monkeypatch.setenv("TENFOLD_TOKEN_FILE", str(path))
    with pytest.raises(OtaError, match=r"token\.refused"):
        tenfold("rollout", "list", name="op.console")


def test_a_token_that_the_server_refuses_to_make_leaves_no_file(tenfold, tmp_path: Path) -> None:
    with pytest.raises(OtaError, match=r"operator\.read_only"):
        tenfold("token", "create", tmp_path / "mine.token", name="op.console")
    assert not (tmp_path / "mine.token").exists()


def test_a_token_file_that_is_missing_is_told(tenfold, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_TOKEN_FILE", "missing.token")
    with pytest.raises(SettingsError, match=r"TENFOLD_TOKEN_FILE: got missing\.token"):
        tenfold("rollout", "list")


def test_two_people_start_a_rollout(tenfold, port: int, certificates: pki.FleetPki, signing: Keys) -> None:
    with operator(port, certificates) as desk:
        manifest = desk.publish(*signing.release(2))["manifest"]
    asked = json.loads(tenfold("rollout", "start", manifest))
    with pytest.raises(OtaError, match=r"approval\.same"):
        tenfold("rollout", "approve", asked["rollout"])
    told = tenfold("rollout", "approve", asked["rollout"], "--reason", "read it", name="op.second")
    assert told == f"{asked['rollout']}: running\n"
