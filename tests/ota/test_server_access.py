"""Who may call what: the certificate decides, no header and no body. Each attack has its test."""

from tests.ota.support import DEVICE, Plant, code, post_raw, request_of


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
    for header in ("x-ssl-client-cn", "x-forwarded-client-cert", "x-client-verify"):
        assert code(server.client.get("/admin/devices", headers={header: "op.release"}))[0] == 401
