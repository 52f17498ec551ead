"""A release with an image from the desk to a device: build, sign, publish, direction, download in pieces, on the real server."""

import json
import logging
import socket
from hashlib import sha256
from pathlib import Path

import pytest

from host import tls
from host.cli.root import app
from node.wire import bundle, direction, manifest
from ota.release.verify import release_of, verify_release
from provisioning import pki
from provisioning.line.fetch import fetch_umqtt
from tests.ota.support import PEER, Keys, as_device, check_in, operator, until
from tests.provisioning.esp_images import ESP32, application, merged

REPOSITORY = Path(__file__).parents[2]
APPLICATION = application(ESP32, code=bytes(range(256)) * 4200)
PIECE_BYTES = 65_536


def tenfold(*arguments: object) -> None:
    """Run a command of the desk in this process."""
    assert app([str(argument) for argument in arguments], standalone_mode=False) in (None, 0)


@pytest.fixture
def signed_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signing: Keys) -> Path:
    """The folder of a release, counter 2, with the application of a stock image."""
    fetch_umqtt(REPOSITORY / "build")
    (tmp_path / "build").symlink_to(REPOSITORY / "build")
    (tmp_path / "stock.bin").write_bytes(merged(app=APPLICATION))
    monkeypatch.chdir(tmp_path)
    tenfold("release", "build", "out", "--release", "1.2.0", "--counter", 2, "--model", "hall", "--image", "stock.bin")
    tenfold("release", "sign", "out", "--key", signing.folder / "release.key")
    tenfold("release", "verify", "out", "--root", signing.folder / "root.bin")
    return tmp_path / "out"


def fetch(port: int, certificates: pki.FleetPki, part: dict) -> bytes:
    """Fetch a part as a device does: by range, through a lost connection, until the size that was signed is there."""
    got, etag = bytearray(), ""
    while len(got) < part["size"]:
        with as_device(port, certificates) as device:   # a new one: the link was lost
            for _ in range(4):
                wanted = {"range": f"bytes={len(got)}-{len(got) + PIECE_BYTES - 1}"} | ({"if-range": etag} if etag else {})
                answer = device.get(f"/v1/artifacts/{part['sha256']}", headers=wanted)
                if len(got) == part["size"]:
                    assert answer.status_code == 416
                    break
                assert answer.status_code == 206
                etag = answer.headers["etag"]
                last = min(len(got) + PIECE_BYTES, part["size"]) - 1
                assert answer.headers["content-range"] == f"bytes {len(got)}-{last}/{part['size']}"
                got += answer.content
    return bytes(got)


def test_a_device_gets_bundle_and_image_of_what_the_desk_signed(
    signed_release: Path, port: int, certificates: pki.FleetPki, signing: Keys, capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    tenfold("release", "publish", signed_release, "--server", f"https://localhost:{port}", "--ca", certificates.ca_file,
            "--cert", certificates.cert("op.release"), "--key", certificates.key("op.release"))
    published = json.loads(capsys.readouterr().out)
    assert (published["image"], published["image_bytes"]) == (sha256(APPLICATION).hexdigest(), len(APPLICATION))
    with operator(port, certificates) as desk, as_device(port, certificates) as device:
        check_in(device, "1" * 32)
        until(lambda: len(list(desk.devices())), 1)
        desk.start_rollout(published["manifest"])
        told = check_in(device, "2" * 32)
        directed = direction.load(told["direction"], signing.root, PEER, "2" * 32, 0, told["now_s"])
        raw = device.get(f"/v1/manifests/{directed['manifest']}").content
        why = desk.explain(PEER)
    body = manifest.load(raw, signing.root)
    artifact, image = (fetch(port, certificates, body[part]) for part in ("artifact", "image"))
    assert image == APPLICATION
    assert "main.mpy" in bundle.parse(artifact)
    assert verify_release(raw, artifact, signing.root, image).release == release_of(raw, body)
    assert why["code"] == "continued"   # under way, told as of any other release


def test_an_upload_that_is_cut_off_leaves_nothing_and_is_no_fault_of_the_server(
    port: int, certificates: pki.FleetPki, tmp_path: Path, caplog: pytest.LogCaptureFixture,
) -> None:
    before = [path for path in (tmp_path / "archive").rglob("*") if path.is_file()]
    context = tls.client_context(certificates.cert("root"), certificates.cert("op.release"), certificates.key("op.release"))
    name = sha256(APPLICATION).hexdigest()
    with socket.create_connection(("localhost", port)) as link, context.wrap_socket(link, server_hostname="localhost") as sender:
        head = f"PUT /admin/artifacts/{name} HTTP/1.1\r\nHost: ota\r\nContent-Length: {len(APPLICATION)}\r\n\r\n"
        sender.sendall(head.encode() + APPLICATION[:300_000])
        until(lambda: len(list((tmp_path / "archive" / name[:2]).glob(".new-*"))), 1)
    until(lambda: [path for path in (tmp_path / "archive").rglob("*") if path.is_file()], before)
    with operator(port, certificates) as desk:
        assert desk.upload(APPLICATION) == name
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
