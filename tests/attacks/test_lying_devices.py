"""A device that was opened lies to the real server: about itself, about others, about what it installed."""

import httpx
import pytest

from host import tls
from node.wire import checkin
from ota.client import OtaClient
from provisioning import pki
from tests.ota.support import MODEL, PEER, Keys, as_device, check_in, operator, until

OTHER = "hall-0242ac110002"


@pytest.fixture
def desk(port: int, certificates: pki.FleetPki):
    with operator(port, certificates) as desk:
        yield desk


@pytest.fixture
def liar(port: int, certificates: pki.FleetPki):
    with as_device(port, certificates) as device:
        yield device


def body(nonce: str = "1" * 32, **changes: object) -> bytes:
    return checkin.encode_request({
        "device": PEER, "model": MODEL, "release": "1.1.0", "counter": 1, "manifest": "", "boot": 1, "nonce": nonce, "slot": "a",
        "trial": False, "failed": None, "root": 1, "seq": 0, "metrics": {}} | changes)


def test_version_report_forged_for_another_device_is_refused_and_leaves_no_trace(desk: OtaClient, liar) -> None:
    answer = liar.post("/v1/checkin", content=body(device=OTHER, counter=99))
    assert (answer.status_code, answer.json()["code"]) == (403, "checkin.device")
    check_in(liar, "2" * 32)
    until(lambda: [one["device"] for one in desk.devices()], [PEER])


def test_version_report_without_a_certificate_is_not_heard(port: int, certificates: pki.FleetPki, desk: OtaClient) -> None:
    context = tls.client_context(certificates.cert("root"))
    with httpx.Client(base_url=f"https://localhost:{port}", verify=context) as nobody, pytest.raises(httpx.HTTPError):
        nobody.post("/v1/checkin", content=body()).raise_for_status()
    assert list(desk.devices()) == []


def test_version_report_of_a_release_never_offered_is_no_success_of_its_rollout(
        desk: OtaClient, liar, signing: Keys) -> None:
    raw, artifact = signing.release(2)
    name = desk.publish(raw, artifact)["manifest"]
    check_in(liar, "1" * 32)
    until(lambda: len(list(desk.devices())), 1)
    for nonce, counter, manifest in (("2" * 32, 2, "ab" * 32), ("3" * 32, 7, name)):   # a name nobody signed; a counter not its own
        check_in(liar, nonce, counter=counter, manifest=manifest, release="1.2.0")
    ident = desk.start_rollout(name)["rollout"]
    stage = desk.rollout(ident)["stages"][0]
    assert (stage["offered"], stage["confirmed"], stage["soaked"]) == (0, 0, 0)


def test_replayed_version_report_of_an_earlier_boot_moves_no_attempt_forwards(desk: OtaClient, liar, signing: Keys) -> None:
    """Who records a device's check-ins within its TLS can at most repeat what was true once."""
    raw, artifact = signing.release(2)
    name = desk.publish(raw, artifact)["manifest"]
    check_in(liar, "1" * 32)
    until(lambda: len(list(desk.devices())), 1)
    desk.start_rollout(name)
    assert check_in(liar, "2" * 32)["direction"] is not None
    for _ in range(3):
        check_in(liar, "1" * 32)
    (attempt,) = desk.explain(PEER)["attempts"]
    assert attempt["state"] == "offered"


@pytest.mark.parametrize("raw", [
    b"", b"{", b"[" * 4000, b'{"v":' + b"[" * 2000 + b"]" * 2000 + b"}", b"\xff" * 100, b"{}" + b" " * 5000,
    body(metrics={"uptime_s": -1}), body(counter=1 << 40), body(nonce="x" * 32), body(metrics={"drops": 1 << 60})])
def test_malformed_report_is_refused_by_name_and_breaks_no_server(desk: OtaClient, liar, raw: bytes) -> None:
    answer = liar.post("/v1/checkin", content=raw)
    assert answer.status_code in (413, 422), answer.text
    assert answer.json()["code"].startswith("checkin.")
    check_in(liar, "2" * 32)


def test_device_certificate_opens_no_operators_door(liar) -> None:
    assert liar.get("/admin/devices").status_code == 403
    assert liar.post("/admin/releases", json={}).status_code == 403
