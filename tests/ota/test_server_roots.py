"""Roots: the chain grows link by link, withdraws releases and never silences its own server."""

import base64

from ota.release import sign
from ota.release.keys import public65
from tests.ota.support import DEVICE, Plant, code


def rotated(server: Plant, **changes: object):
    roles = {name: ([bytes.fromhex(key) for key in body["keys"]], 1) for name, body in server.keys.root["roles"].items()}
    min_counter = changes.pop("min_counter", 0)
    return sign.next_root(2, roles | changes, [server.keys.root_key], min_counter)


def post_root(server: Plant, raw: bytes):
    return server.post("/admin/roots", {"root": base64.b64encode(raw).decode()})


def test_a_new_root_withdraws_releases_and_is_handed_on(server: Plant, released: str) -> None:
    ident = server.rollout(released)["rollout"]
    raw = rotated(server, min_counter=3)
    assert post_root(server, raw).status_code == 201
    assert server.get("/v1/roots/2", DEVICE).content == raw
    assert server.status(ident)["state"] == "aborted"
    assert code(server.publish(*server.keys.release(2))) == (422, "manifest.counter")
    assert code(server.post("/admin/rollouts", {"manifest": released})) == (404, "http.404")
    assert code(post_root(server, raw)) == (422, "root.version")


def test_a_root_that_would_silence_this_server_is_refused(server: Plant) -> None:
    answer = post_root(server, rotated(server, direction=([public65(server.keys.release_key)], 1)))
    assert code(answer) == (409, "root.direction")
