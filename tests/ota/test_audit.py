"""The audit log: no change without its row, no refusal either, and a row that was changed or removed shows."""

import ast
import json
from pathlib import Path

import pytest
from sqlalchemy import text

from host.cli.root import app
from ota.rules import chain
from ota.server.doors import REFUSED_BURST
from ota.store import audit
from ota.store.session import reading, writing
from provisioning import pki
from tests.ota.support import DEVICE, Plant, code, operator

STORE = Path(audit.__file__)


def rows(server: Plant) -> list[dict]:
    """The log, oldest first; the tests' own uploads and publishing left out."""
    found = server.get("/admin/audit?limit=500").json()["rows"]
    return [row for row in reversed(found) if not row["path"].startswith(("/admin/artifacts", "/admin/releases"))]


def test_a_change_has_its_row(server: Plant, released: str) -> None:
    rollout = server.rollout(released)["rollout"]
    server.post(f"/admin/rollouts/{rollout}/abort", {"reason": "wrong week"})
    begun, ended = rows(server)
    assert (begun["who"], begun["certificate"], begun["role"]) == ("op.release", "op.release", "approver")
    assert (begun["method"], begun["path"], begun["about"]) == ("POST", "/admin/rollouts", released)
    assert (ended["path"], ended["reason"], ended["outcome"]) == (f"/admin/rollouts/{rollout}/abort", "wrong week", "done")


def test_every_changing_call_has_one_row_whatever_it_was(server: Plant) -> None:
    for number, call in enumerate((
        lambda: server.upload(b"x" * 100), lambda: server.publish(*server.keys.release(2)),
        lambda: server.post("/admin/configs", {"body": "{}"}), lambda: server.post(f"/admin/devices/{DEVICE}/forgive"),
        lambda: server.post("/admin/tokens", {"role": "viewer", "days": 1}), lambda: server.post("/admin/nothing"),
        lambda: server.upload(b"y", "0" * 64), lambda: server.post("/admin/roots", {"root": "AA=="}),
    )):
        before = len(server.get("/admin/audit?limit=500").json()["rows"])
        answer = call()
        found = server.get("/admin/audit?limit=500").json()["rows"]
        assert len(found) - before == (2 if number == 1 else 1)   # publishing is an upload and a release
        assert found[0]["outcome"] == ("done" if answer.status_code < 400 else code(answer)[1])


def test_refused_calls_have_their_row(server: Plant, released: str) -> None:
    server.post("/admin/rollouts", {"manifest": released, "reason": "let me"}, "op.console")
    server.post("/admin/rollouts", {"manifest": released}, DEVICE)
    server.client.post("/admin/rollouts", json={})
    assert [(row["who"], row["role"], row["outcome"]) for row in rows(server)] == [
        ("op.console", "viewer", "operator.read_only"), (DEVICE, "", "tls.operator"), ("", "", "tls.certificate")]
    assert "op.console is viewer" in rows(server)[0]["reason"]


def test_looking_leaves_no_row(server: Plant) -> None:
    server.get("/admin/devices")
    assert code(server.get("/admin/devices", DEVICE)) == (403, "tls.operator")
    assert rows(server) == []


def test_a_device_cannot_fill_the_log(server: Plant) -> None:
    for _ in range(int(REFUSED_BURST) + 20):
        assert code(server.post("/admin/rollouts", {}, DEVICE)) == (403, "tls.operator")
    assert len(rows(server)) == REFUSED_BURST
    server.post("/admin/rollouts", {}, "op.console")   # people are always noted
    assert rows(server)[-1]["who"] == "op.console"


def test_a_change_that_fails_is_not_said_to_be_done(server: Plant, released: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_more: object) -> None:
        raise RuntimeError("on the way")

    with monkeypatch.context() as patch:
        patch.setattr("ota.store.rollouts.note", broken)
        assert code(server.post("/admin/rollouts", {"manifest": released})) == (500, "server.fault")
    assert [row["outcome"] for row in rows(server)] == ["server.fault"]
    assert server.get("/admin/rollouts").json()["rollouts"] == []


def test_a_change_whose_row_cannot_be_written_does_not_happen(
    server: Plant, released: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("no row")

    with monkeypatch.context() as patch:
        patch.setattr("ota.store.audit.note", broken)
        assert code(server.post("/admin/rollouts", {"manifest": released})) == (500, "server.fault")
    assert server.get("/admin/rollouts").json()["rollouts"] == []


def test_what_the_body_says_cannot_break_the_log(server: Plant, released: str) -> None:
    rollout = server.rollout(released)["rollout"]
    assert server.post(f"/admin/rollouts/{rollout}/abort", {"reason": "\0\x1b[2J"}).json()["state"] == "aborted"
    assert rows(server)[-1]["reason"] == "??[2J"
    halves = {"content": b'{"reason": "\\ud800"}', "headers": {"x-test-peer": "op.release", "content-type": "application/json"}}
    assert server.client.post(f"/admin/rollouts/{rollout}/abort", **halves).status_code == 422
    assert chain.verify(server.get("/admin/audit").json()["rows"])[0] > 0


@pytest.mark.parametrize("harm", [
    "UPDATE audit SET who = 'op.other' WHERE n = 3", "UPDATE audit SET at_s = at_s + 1 WHERE n = 5",
    "DELETE FROM audit WHERE n = 4", "DELETE FROM audit WHERE n = 1",
    "UPDATE audit SET hash = (SELECT hash FROM audit WHERE n = 2) WHERE n = 3",
    "UPDATE audit SET outcome = 'tls.operator' WHERE n = 6",
])
def test_a_changed_or_removed_row_is_noticed(server: Plant, harm: str) -> None:
    for _ in range(6):
        server.post(f"/admin/devices/{DEVICE}/forgive")
    whole = server.get("/admin/audit").json()["rows"]
    assert chain.verify(whole) == (6, whole[0]["hash"])
    with writing(server.context.engine) as connection:
        connection.execute(text(harm))
    with pytest.raises(chain.ChainError), reading(server.context.engine) as connection:
        chain.verify(audit.page(connection, None, 500))


def test_the_log_is_paged(server: Plant) -> None:
    for _ in range(5):
        server.post(f"/admin/devices/{DEVICE}/forgive")
    first = server.get("/admin/audit?limit=3").json()
    rest = server.get(f"/admin/audit?limit=3&before={first['next']}").json()
    assert [row["n"] for row in first["rows"] + rest["rows"]] == [5, 4, 3, 2, 1]
    assert rest["next"] is None
    assert code(server.get("/admin/audit?before=99999999999999999999")) == (422, "request.query.before")


def test_the_code_only_adds_to_the_log() -> None:
    part = STORE.parents[1]
    for path in part.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("update", "delete"):
                assert ast.unparse(node.value) not in ("tables.audit", "audit"), path


def test_the_command_verifies_what_the_server_has_and_knows_a_head_again(
    port: int, certificates: pki.FleetPki, capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--server", f"https://localhost:{port}", "--ca", str(certificates.ca_file), "--cert",
               str(certificates.cert("op.console")), "--key", str(certificates.key("op.console"))]

    def tenfold(*words: str) -> dict:
        app([*words, *options, "--json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    empty = tenfold("audit", "verify")
    assert empty["rows"] == 0
    with operator(port, certificates) as desk:
        for _ in range(3):
            desk.forgive(DEVICE)
        head = tenfold("audit", "verify")["head"]
        assert head.startswith("3:")
        desk.forgive(DEVICE)
    assert tenfold("audit", "verify", "--head", head)["whole"]
    assert tenfold("audit", "verify", "--head", empty["head"])["whole"]
    assert [row["who"] for row in tenfold("audit", "show", "--last", "2")] == ["op.release"] * 2
    told = tenfold("audit", "verify", "--head", "5:" + "0" * 64)
    assert (told["whole"], "cut at its end or written anew" in told["reason"]) == (False, True)
