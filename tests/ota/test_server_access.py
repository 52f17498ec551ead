"""Who may call what: the certificate decides, or a token beside one; no other header and no body. Each attack has its test."""

import hashlib
import re
from pathlib import Path

import pytest

from ota.rules.access import NEEDS, Role, is_enough
from tests.ota.support import DEVICE, Plant, PretendDevice, code, plant, post_raw, request_of


def test_nobody_without_a_certificate(server: Plant) -> None:
    assert code(post_raw(server, request_of(DEVICE), None)) == (401, "tls.certificate")
    assert code(server.client.get("/admin/devices")) == (401, "tls.certificate")
    assert server.client.get("/healthz").json() == {"status": "ok"}


def test_a_device_cannot_speak_for_another(server: Plant) -> None:
    assert code(post_raw(server, request_of(DEVICE), "hall-000000000001")) == (403, "checkin.device")
    server.pass_time(1)
    assert server.get("/admin/devices").json()["devices"] == []


def test_a_device_certificate_opens_no_operators_door(server: Plant, released: str) -> None:
    for path in ("/admin/devices", "/admin/rollouts", "/admin/versions", "/admin/releases"):
        assert code(server.get(path, DEVICE)) == (403, "tls.operator")
    assert code(server.post("/admin/rollouts", {"manifest": released}, DEVICE)) == (403, "tls.operator")
    assert code(server.get("/admin/devices", "svc.ingest")) == (403, "tls.operator")


def test_an_operator_is_no_device(server: Plant, released: str) -> None:
    assert code(server.get(f"/v1/manifests/{released}", "op.release")) == (403, "tls.device")


def test_the_console_may_look_but_not_touch(server: Plant, released: str) -> None:
    assert server.get("/admin/rollouts", "op.console").status_code == 200
    assert code(server.post("/admin/rollouts", {"manifest": released}, "op.console")) == (403, "operator.read_only")


def test_a_header_does_not_make_a_peer(server: Plant) -> None:
    for header in ("x-ssl-client-cn", "x-client-verify", "x-test-nobody"):
        assert code(server.client.get("/admin/devices", headers={header: "op.release"})) == (401, "tls.certificate")
    for header in ("x-forwarded-client-cert", "ssl-client-cert"):
        for peer in ({}, {"x-test-peer": "op.console"}, {"x-test-peer": DEVICE}):
            assert code(server.client.get("/admin/devices", headers={header: "op.release"} | peer)) == (403, "proxy.untrusted")
        assert code(server.client.post("/v1/checkin", content=request_of(DEVICE), headers={
            header: DEVICE, "x-test-peer": DEVICE})) == (403, "proxy.untrusted")


def test_every_route_of_the_operators_says_who_may(server: Plant) -> None:
    built = {(method.upper(), path) for path, methods in server.get("/admin/openapi.json").json()["paths"].items()
             for method in methods if path.startswith("/admin/")}
    assert len(built) > 20
    assert built == set(NEEDS)


def test_a_route_that_nobody_gave_a_need_is_shut(server: Plant) -> None:
    server.app.add_api_route("/admin/new", lambda: {"secret": 1}, methods=["GET", "POST"])
    assert code(server.get("/admin/new", "op.release")) == (404, "http.404")
    assert code(server.post("/admin/new")) == (404, "http.404")


@pytest.mark.parametrize("role", list(Role))
def test_each_role_opens_its_doors_and_no_others(tmp_path: Path, role: Role) -> None:
    with plant(tmp_path, roles={"op.test": role}) as server:
        for (method, template), need in NEEDS.items():
            path = re.sub(r"\{[a-z]+\}", "x", template)
            answer = server.client.request(method, path, headers={"x-test-peer": "op.test"})
            if is_enough(role, need):
                assert answer.status_code in (200, 404, 422), (method, path)
            else:
                assert code(answer) == (403, "operator.read_only" if role is Role.VIEWER else "operator.role"), (method, path)


# Tokens.

def token(server: Plant, role: str = "operator", **more: object) -> tuple[str, dict[str, str]]:
    """Make a token; gives its ident and the headers of a client that has it and a service's certificate."""
    answer = server.post("/admin/tokens", {"role": role, "days": 1} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["ident"], {"x-test-peer": "svc.ci", "authorization": "Bearer " + answer.json()["token"]}


def test_a_token_has_its_own_role_whatever_the_certificate_may(server: Plant, released: str) -> None:
    ident, headers = token(server, "viewer")
    assert server.client.get("/admin/whoami", headers=headers).json() == {
        "name": f"token.{ident}", "certificate": "svc.ci", "role": "viewer", "models": []}
    strong = headers | {"x-test-peer": "op.release"}   # an approver's certificate
    assert code(server.client.post("/admin/rollouts", json={"manifest": released}, headers=strong)) == (403, "operator.read_only")
    ident, headers = token(server, "operator")
    made = server.client.post("/admin/rollouts", json={"manifest": released}, headers=headers).json()
    assert made["added_by"] == f"token.{ident}"


def test_a_stolen_token_opens_nothing_without_a_certificate_or_with_a_devices(server: Plant) -> None:
    _, headers = token(server)
    alone = {"authorization": headers["authorization"]}
    assert code(server.client.get("/admin/devices", headers=alone)) == (401, "tls.certificate")
    assert code(server.client.get("/admin/devices", headers=headers | {"x-test-peer": DEVICE})) == (403, "tls.operator")


def test_a_token_makes_no_tokens(server: Plant) -> None:
    ident, headers = token(server, "approver")
    body = {"role": "viewer", "days": 1}
    assert code(server.client.post("/admin/tokens", json=body, headers=headers)) == (403, "token.certificate")
    assert code(server.client.post(f"/admin/tokens/{ident}/revoke", headers=headers)) == (403, "token.certificate")


def test_tokens_end_are_revoked_and_are_not_guessed(server: Plant) -> None:
    ident, headers = token(server)
    good = headers["authorization"]
    secret = good.split("_", 2)[2]
    assert len(secret) == 43   # 256 bits
    for bad in (good[:-1], good[:-1] + ("A" if good[-1] != "A" else "B"), f"Bearer tenfold_{ident}_", "Bearer x", "Bearer",
                f"Bearer tenfold_{ident}_{hashlib.sha256(secret.encode()).hexdigest()}", f"Bearer other_{ident}_{secret}",
                "Bearer tenfold_\u00e9_x".encode("latin-1")):
        assert code(server.client.get("/admin/whoami", headers=headers | {"authorization": bad}))[0] == 401
    assert code(server.client.get("/admin/whoami", headers=headers | {"authorization": "Basic b3A6eA=="})) == (401, "token.form")
    twice = [("x-test-peer", "svc.ci"), ("authorization", good), ("authorization", good)]
    assert code(server.client.get("/admin/whoami", headers=twice)) == (401, "token.form")
    assert server.client.get("/admin/whoami", headers=headers).status_code == 200
    server.clock.now_s += 86_400
    assert code(server.client.get("/admin/whoami", headers=headers)) == (401, "token.refused")
    ident, headers = token(server)
    assert server.post(f"/admin/tokens/{ident}/revoke").json()["revoked_by"] == "op.release"
    assert code(server.client.get("/admin/whoami", headers=headers)) == (401, "token.refused")
    assert code(server.post("/admin/tokens/nobody/revoke")) == (404, "http.404")


def test_the_server_does_not_keep_or_show_a_tokens_secret(server: Plant, tmp_path: Path) -> None:
    ident, headers = token(server, note="nightly")
    secret = headers["authorization"].split("_", 2)[2]
    server.client.get("/admin/whoami", headers=headers)
    (shown,) = server.get("/admin/tokens").json()["tokens"]
    assert (shown["ident"], shown["note"], shown["used_s"]) == (ident, "nightly", server.clock.now_s)
    assert not [value for value in shown.values() if value and secret in str(value)]
    assert "secret" not in shown
    server.context.engine.dispose()
    assert not [path for path in tmp_path.rglob("ota.db*") if secret.encode() in path.read_bytes()]


def test_a_token_for_a_model_touches_no_other(server: Plant) -> None:
    mine = server.publish(*server.keys.release(2)).json()["manifest"]
    other = server.publish(*server.keys.release(2, models=("pump",))).json()["manifest"]
    both = server.publish(*server.keys.release(3, models=("hall", "pump"))).json()["manifest"]
    rollout = server.rollout(other)["rollout"]
    device = PretendDevice(server, "hall-000000000001")
    device.check_in()
    server.pass_time(1)
    _, headers = token(server, models=["hall"])
    for manifest in (other, both, "0" * 64):
        assert code(server.client.post("/admin/rollouts", json={"manifest": manifest}, headers=headers)) == (403, "token.models")
    for method, path in (("GET", f"/admin/rollouts/{rollout}"), ("POST", f"/admin/rollouts/{rollout}/abort"),
                         ("GET", "/admin/devices"), ("GET", "/admin/devices/pump-000000000001/explain"), ("POST", "/admin/roots")):
        assert code(server.client.request(method, path, headers=headers)) == (403, "token.models")
    assert server.client.post("/admin/rollouts", json={"manifest": mine}, headers=headers).status_code == 201
    assert server.client.get(f"/admin/devices/{device.ident}/explain", headers=headers).status_code == 200
