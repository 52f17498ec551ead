"""Downloads: the bytes that were signed, whole or piece by piece."""

import hashlib

from tests.ota.support import DEVICE, IMAGE, Plant, code


def test_devices_get_the_bytes_that_were_signed(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    body = server.publish(raw, artifact).json()
    assert server.get(f"/v1/manifests/{body['manifest']}", DEVICE).content == raw
    whole = server.get(f"/v1/artifacts/{body['artifact']}", DEVICE)
    assert (whole.content, whole.headers["accept-ranges"]) == (artifact, "bytes")
    assert server.get("/v1/roots/1", DEVICE).content == server.keys.root_raw
    for missing in ("/v1/roots/2", "/v1/roots/0", "/v1/roots/x", "/v1/roots/²", f"/v1/artifacts/{'0' * 64}", "/v1/manifests/x",
                    f"/v1/artifacts/{body['manifest']}"):
        assert code(server.get(missing, DEVICE)) == (404, "http.404")


def test_a_download_is_resumed_piece_by_piece(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    path = f"/v1/artifacts/{server.publish(raw, artifact).json()['artifact']}"
    got = b""
    while len(got) < len(artifact):
        answer = server.get(path, DEVICE, range=f"bytes={len(got)}-{len(got) + 1023}")
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {len(got)}-{len(got) + len(answer.content) - 1}/{len(artifact)}"
        got += answer.content
    assert got == artifact


def test_ranges_that_no_longer_fit(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    path = f"/v1/artifacts/{server.publish(raw, artifact).json()['artifact']}"
    beyond = server.get(path, DEVICE, range=f"bytes={len(artifact)}-")
    assert code(beyond) == (416, "range")
    assert beyond.headers["content-range"] == f"bytes */{len(artifact)}"
    etag = server.get(path, DEVICE).headers["etag"]
    assert server.get(path, DEVICE, **{"range": "bytes=1-2", "if-range": '"other"'}).content == artifact
    assert server.get(path, DEVICE, **{"range": "bytes=1-2", "if-range": etag}).content == artifact[1:3]
    assert server.get(path, DEVICE, **{"if-none-match": etag}).status_code == 304


def test_an_image_is_fetched_like_a_bundle(server: Plant) -> None:
    raw, artifact = server.keys.release(2, image=IMAGE)
    path = f"/v1/artifacts/{server.publish(raw, artifact, IMAGE).json()['image']}"
    whole = server.get(path, DEVICE)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, IMAGE, "bytes")
    etag = whole.headers["etag"]
    assert etag == f'"{hashlib.sha256(IMAGE).hexdigest()}"'
    half = len(IMAGE) // 2
    rest = server.get(path, DEVICE, **{"range": f"bytes={half}-", "if-range": etag})
    assert (rest.status_code, rest.headers["content-range"]) == (206, f"bytes {half}-{len(IMAGE) - 1}/{len(IMAGE)}")
    assert whole.content[:half] + rest.content == IMAGE
    assert server.get(path, DEVICE, **{"if-none-match": etag}).status_code == 304
    assert code(server.get(path, DEVICE, range=f"bytes={len(IMAGE)}-")) == (416, "range")
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
    for name in names:
        assert server.get(f"/v1/artifacts/{name}", DEVICE).status_code == 200
