"""Publishing: only what the offline key signed, whole, and without stranding anybody."""

import base64
import hashlib
from pathlib import Path

import pytest

from node.wire.manifest import MAX_ARTIFACT_BYTES
from ota.release import sign
from ota.release.verify import ReleaseError
from ota.server import publish
from tests.ota.support import DEVICE, IMAGE, Plant, PretendDevice, code


def test_what_the_release_key_did_not_sign_is_not_published(server: Plant) -> None:
    assert code(server.publish(*server.keys.release(2, key=server.keys.direction_key))) == (422, "signature.threshold")
    raw, artifact = server.keys.release(2)
    assert code(server.publish(raw, artifact + b"x")) == (422, "release.artifact")
    assert code(server.publish(b"not an envelope" * 10, artifact)) == (422, "signed.magic")
    assert server.get("/admin/releases").json() == {"releases": []}


def test_publishing_twice_is_publishing_once(server: Plant) -> None:
    raw, artifact = server.keys.release(2)
    assert [server.publish(raw, artifact).status_code for _ in range(2)] == [201, 201]
    assert len(server.get("/admin/releases").json()["releases"]) == 1


def test_a_counter_names_one_release(server: Plant, released: str) -> None:
    assert code(server.publish(*server.keys.release(2, low=1))) == (409, "release.counter")
    assert server.publish(*server.keys.release(2, models=("roof",))).status_code == 201


def test_a_release_that_would_strand_a_version_in_use_is_refused(server: Plant) -> None:
    PretendDevice(server, DEVICE, counter=1).check_in()
    server.pass_time(1)
    stranding = server.keys.release(4, low=3)
    answer = server.publish(*stranding)
    assert code(answer) == (409, "release.stranded")
    assert "1 devices: hall at counter 1 (1 devices)" in answer.json()["message"]
    assert server.publish(*server.keys.release(3, stone=True)).status_code == 201
    assert server.publish(*stranding).status_code == 201


def test_stranding_on_purpose_must_be_said(server: Plant) -> None:
    PretendDevice(server, DEVICE, counter=1).check_in()
    server.pass_time(1)
    stranding = server.keys.release(4, low=3)
    assert code(server.publish(*stranding, allow_stranded=True)) == (422, "request.reason")
    manifest = server.publish(*stranding, allow_stranded=True, reason="one device, in a box").json()["manifest"]
    assert server.get(f"/admin/releases/{manifest}").json()["history"] == [
        {"at_s": server.clock(), "event": "publish", "by": "op.release", "reason": "one device, in a box",
         "stranded": [{"model": "hall", "counter": 1, "devices": 1}]}]


def test_a_publish_that_races_a_new_root_is_refused(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, artifact = server.keys.release(2)
    verify = publish.verify_release

    def slow(*arguments):
        verified = verify(*arguments)
        roles = {name: ([bytes.fromhex(key) for key in body["keys"]], 1) for name, body in server.keys.root["roles"].items()}
        new = sign.next_root(2, roles, [server.keys.root_key])
        assert server.post("/admin/roots", {"root": base64.b64encode(new).decode()}).status_code == 201
        return verified

    monkeypatch.setattr(publish, "verify_release", slow)
    upload = server.upload(artifact).json()["artifact"]
    context = server.context
    with pytest.raises(ReleaseError, match="another one came meanwhile"):
        publish.publish(context.engine, context.archive, raw, upload, None, 0.0, by="op.release")


# Images. A release with one is published with its bundle and its image, or not at all.

def test_a_release_is_published_with_its_image(server: Plant) -> None:
    raw, artifact = server.keys.release(2, image=IMAGE)
    answer = server.publish(raw, artifact, IMAGE)
    assert answer.status_code == 201, answer.text
    shown = answer.json()
    assert (shown["image"], shown["image_bytes"]) == (hashlib.sha256(IMAGE).hexdigest(), len(IMAGE))
    assert (shown["artifact"], shown["size_bytes"]) == (hashlib.sha256(artifact).hexdigest(), len(artifact))
    assert server.publish(raw, artifact, IMAGE).json() == shown
    assert server.get("/admin/releases").json() == {"releases": [shown]}


def test_a_release_without_the_image_that_it_names_is_refused(server: Plant) -> None:
    answer = server.publish(*server.keys.release(2, image=IMAGE))
    assert code(answer) == (422, "release.image")
    named = f"{len(IMAGE)} bytes, SHA-256 {hashlib.sha256(IMAGE).hexdigest()}"
    assert answer.json()["message"] == f"image: got none, expected the one that the manifest names: {named}"
    assert server.get("/admin/releases").json() == {"releases": []}


def test_an_image_that_nobody_signed_is_refused(server: Plant) -> None:
    answer = server.publish(*server.keys.release(2), IMAGE)
    assert code(answer) == (422, "release.image")
    assert answer.json()["message"] == f"image: got {len(IMAGE)} bytes, expected none: the manifest names no image"
    for other in (IMAGE[:-1] + b"x", IMAGE + b"x"):
        assert code(server.publish(*server.keys.release(2, image=IMAGE), other)) == (422, "release.image")
    assert server.get("/admin/releases").json() == {"releases": []}


def test_parts_that_were_not_uploaded_are_named(server: Plant) -> None:
    raw, artifact = server.keys.release(2, image=IMAGE)
    names = {part: hashlib.sha256(content).hexdigest() for part, content in (("artifact", artifact), ("image", IMAGE))}
    body = {"manifest": base64.b64encode(raw).decode()} | names
    for part, content in (("artifact", artifact), ("image", IMAGE)):
        answer = server.post("/admin/releases", body)
        assert code(answer) == (409, "release.missing")
        assert answer.json()["message"] == (
            f"{part}: {names[part]} was not uploaded; PUT it to /admin/artifacts/{names[part]} first")
        assert server.upload(content).status_code == 201
    assert server.post("/admin/releases", body).status_code == 201


# Uploads. Nothing is seen of one that is not whole, and nobody can fetch what no published release names.

def objects(folder: Path) -> list[str]:
    return sorted(path.parent.name + path.name for path in (folder / "archive").rglob("*") if path.is_file())


def test_an_upload_whose_hash_is_another_leaves_nothing(server: Plant, tmp_path: Path) -> None:
    before, name = objects(tmp_path), hashlib.sha256(IMAGE).hexdigest()
    answer = server.upload(IMAGE[:-1], name)
    assert code(answer) == (422, "artifact.sha256")
    assert answer.json()["message"].startswith(f"got {len(IMAGE) - 1} bytes with SHA-256 ")
    assert objects(tmp_path) == before
    assert server.upload(IMAGE, name).json() == {"artifact": name, "size_bytes": len(IMAGE)}
    assert objects(tmp_path) == sorted([*before, name])


def test_an_upload_that_does_not_end_is_cut_off_at_what_a_manifest_may_name(server: Plant, tmp_path: Path) -> None:
    before, sent = objects(tmp_path), 0

    async def endless():
        nonlocal sent
        while sent < 100 << 20:
            sent += 1 << 16
            yield bytes(1 << 16)

    answer = server.client.request(
        "PUT", f"/admin/artifacts/{'0' * 64}", content=endless(), headers={"x-test-peer": "op.release"})
    assert code(answer) == (413, "request.size")
    assert sent == MAX_ARTIFACT_BYTES + (1 << 16)
    assert objects(tmp_path) == before
    assert server.upload(bytes(MAX_ARTIFACT_BYTES)).status_code == 201


@pytest.mark.parametrize("name", ["0" * 63, "A" * 64, "..%2F..%2Fevil"])
def test_an_upload_needs_a_hash_for_a_name(server: Plant, tmp_path: Path, name: str) -> None:
    before = objects(tmp_path)
    assert code(server.upload(b"x", name)) == (404, "http.404")
    assert objects(tmp_path) == before


def test_a_signed_envelope_is_no_part(server: Plant, tmp_path: Path) -> None:
    before = objects(tmp_path)
    for raw in (server.keys.release(2)[0], server.keys.root_raw):
        assert code(server.upload(raw)) == (422, "artifact.kind")
    assert objects(tmp_path) == before


def test_uploads_are_for_those_who_may_publish(server: Plant) -> None:
    assert code(server.upload(IMAGE, peer="op.console")) == (403, "operator.read_only")
    assert code(server.upload(IMAGE, peer=DEVICE)) == (403, "tls.operator")
    assert code(server.client.request("PUT", f"/admin/artifacts/{'0' * 64}", content=b"x")) == (401, "tls.certificate")
