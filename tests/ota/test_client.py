"""The operators' client: one method an endpoint, the server's codes passed on."""

import pytest

from ota.client import OtaClient, OtaError
from tests.ota.support import IMAGE, Plant, fleet


def test_the_client_passes_codes_on(server: Plant) -> None:
    class Http:
        base_url = "http://ota"

        def request(self, method: str, path: str, **more):
            return server.client.request(method, path, headers={"x-test-peer": "op.release"}, **more)

    client = OtaClient(Http())
    raw, artifact = server.keys.release(2)
    manifest = client.publish(raw, artifact)["manifest"]
    assert client.healthy()
    assert [each["manifest"] for each in client.releases()] == [manifest]
    assert client.publish(*server.keys.release(3, image=IMAGE), IMAGE)["image_bytes"] == len(IMAGE)
    with pytest.raises(OtaError, match=r"release\.image: image: got none, expected the one that the manifest names"):
        client.publish(*server.keys.release(4, image=IMAGE))
    ident = client.start_rollout(manifest, stages=[50, 100], soak_s=1)["rollout"]
    assert client.rollouts()[0]["rollout"] == ident
    assert client.command(ident, "pause", "lunch")["state"] == "paused"
    assert client.rollout(ident)["history"][-1]["reason"] == "lunch"
    for device in fleet(server, 5):
        device.check_in()
    server.pass_time(1)
    assert [each["device"] for each in client.devices(page=2)] == [f"hall-{index:012x}" for index in range(5)]
    assert client.explain("hall-000000000003")["model"] == "hall"
    assert client.forgive("hall-000000000003")["forgiven"] == 0
    assert client.versions()[0]["devices"] == 5
    with pytest.raises(OtaError, match=r"rollout\.state") as caught:
        client.command(ident, "start")
    assert (caught.value.status, caught.value.code) == (409, "rollout.state")
