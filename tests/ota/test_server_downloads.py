"""Downloads: the bytes that were signed, whole or piece by piece, to the devices that were directed to them."""

import hashlib
import logging

import pytest

from ota.server.downloads import Download
from ota.store import attempts
from tests.ota.support import DEVICE, IMAGE, Plant, code, directed, fleet, install_and_confirm


def test_devices_get_the_bytes_that_were_signed(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    body = server.publish(raw, artifact).json()
    device = directed(server, body["manifest"])
    assert device.get(f"/v1/manifests/{body['manifest']}").content == raw
    whole = device.get(f"/v1/artifacts/{body['artifact']}")
    assert (whole.content, whole.headers["accept-ranges"]) == (artifact, "bytes")
    assert device.get("/v1/roots/1").content == server.keys.root_raw
    for missing in ("/v1/roots/2", "/v1/roots/0", "/v1/roots/x", "/v1/roots/²", f"/v1/artifacts/{'0' * 64}", "/v1/manifests/x",
                    f"/v1/artifacts/{body['manifest']}"):
        assert code(server.get(missing, DEVICE)) == (404, "http.404")


def test_a_download_is_resumed_piece_by_piece(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    body = server.publish(raw, artifact).json()
    path, device = f"/v1/artifacts/{body['artifact']}", directed(server, body["manifest"])
    got = b""
    while len(got) < len(artifact):
        answer = device.get(path, range=f"bytes={len(got)}-{len(got) + 1023}")
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {len(got)}-{len(got) + len(answer.content) - 1}/{len(artifact)}"
        got += answer.content
    assert got == artifact


def test_the_log_tells_who_was_given_which_bytes(server: Plant, caplog: pytest.LogCaptureFixture) -> None:
    body = server.publish(*server.keys.release(2)).json()
    name, device = body["artifact"], directed(server, body["manifest"])
    path = f"/v1/artifacts/{name}"
    with caplog.at_level(logging.INFO, "ota"):
        size = len(device.get(path).content)
        device.get(path, range="bytes=100-")
        device.get(path, range=f"bytes={size}-")
        device.get(path, **{"if-none-match": f'"{name}"'})
        server.get(path, "op.release")
    found = list(Download.read(caplog.text.splitlines()))
    assert found == [Download(DEVICE, name, 0, size - 1, size), Download(DEVICE, name, 100, size - 1, size)]
    assert [each.given for each in found] == [size, size - 100]


def test_ranges_that_no_longer_fit(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    body = server.publish(raw, artifact).json()
    path, device = f"/v1/artifacts/{body['artifact']}", directed(server, body["manifest"])
    beyond = device.get(path, range=f"bytes={len(artifact)}-")
    assert code(beyond) == (416, "range")
    assert beyond.headers["content-range"] == f"bytes */{len(artifact)}"
    etag = device.get(path).headers["etag"]
    assert device.get(path, **{"range": "bytes=1-2", "if-range": '"other"'}).content == artifact
    assert device.get(path, **{"range": "bytes=1-2", "if-range": etag}).content == artifact[1:3]
    assert device.get(path, **{"if-none-match": etag}).status_code == 304


def test_an_image_is_fetched_like_a_bundle(server: Plant) -> None:
    raw, artifact = server.keys.release(2, image=IMAGE)
    body = server.publish(raw, artifact, IMAGE).json()
    path, device = f"/v1/artifacts/{body['image']}", directed(server, body["manifest"])
    whole = device.get(path)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, IMAGE, "bytes")
    etag = whole.headers["etag"]
    assert etag == f'"{hashlib.sha256(IMAGE).hexdigest()}"'
    half = len(IMAGE) // 2
    rest = device.get(path, **{"range": f"bytes={half}-", "if-range": etag})
    assert (rest.status_code, rest.headers["content-range"]) == (206, f"bytes {half}-{len(IMAGE) - 1}/{len(IMAGE)}")
    assert whole.content[:half] + rest.content == IMAGE
    assert device.get(path, **{"if-none-match": etag}).status_code == 304
    assert code(device.get(path, range=f"bytes={len(IMAGE)}-")) == (416, "range")
    assert code(server.get(path, "op.release")) == (403, "tls.device")


def test_what_is_uploaded_but_not_published_is_nobodys(server: Plant) -> None:
    raw, artifact = server.keys.release(2, image=IMAGE)
    names = [server.upload(content).json()["artifact"] for content in (artifact, IMAGE)]
    for name in names:
        assert code(server.get(f"/v1/artifacts/{name}", DEVICE)) == (404, "http.404")
    assert code(server.publish(raw, artifact)) == (422, "release.image")
    for name in names:
        assert code(server.get(f"/v1/artifacts/{name}", DEVICE)) == (404, "http.404")
    assert server.publish(raw, artifact, IMAGE).status_code == 201
    device = directed(server, hashlib.sha256(raw).hexdigest())
    for name in names:
        assert device.get(f"/v1/artifacts/{name}").status_code == 200


def test_a_device_does_not_get_what_another_was_directed_to(server: Plant) -> None:
    body = server.publish(*server.keys.release(2, image=IMAGE), IMAGE).json()
    mine, other = fleet(server, 2)
    mine.check_in()
    server.pass_time(1)
    server.rollout(body["manifest"], stages=[50, 100])   # one of one
    mine.check_in()
    other.check_in()
    assert (mine.directed, other.directed) == (body["manifest"], None)
    for path in (f"/v1/manifests/{body['manifest']}", f"/v1/artifacts/{body['artifact']}", f"/v1/artifacts/{body['image']}"):
        assert mine.get(path).status_code == 200
        assert code(other.get(path)) == (403, "artifact.not_directed")
        assert code(other.get(path, range="bytes=0-15")) == (403, "artifact.not_directed")
        assert mine.get(path).status_code == 200


def test_what_a_device_was_directed_to_once_stays_its_own(server: Plant) -> None:
    body = server.publish(*server.keys.release(2)).json()
    device = directed(server, body["manifest"])
    device.install()
    install_and_confirm(server, [device])
    rollout = server.get("/admin/rollouts").json()["rollouts"][0]["rollout"]
    server.post(f"/admin/rollouts/{rollout}/abort")
    server.context.grants._known.clear()   # another process
    assert device.get(f"/v1/artifacts/{body['artifact']}").status_code == 200


def test_the_ranges_of_a_download_cost_one_look_at_the_rows(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    body = server.publish(*server.keys.release(2)).json()
    device = directed(server, body["manifest"])
    looks = []
    was_directed = attempts.was_directed
    monkeypatch.setattr("ota.store.attempts.was_directed", lambda *arguments: looks.append(1) or was_directed(*arguments))
    for at in range(0, 1000, 100):
        assert device.get(f"/v1/artifacts/{body['artifact']}", range=f"bytes={at}-{at + 99}").status_code == 206
    assert len(looks) == 1
