"""What the APIs' description allows, and what it does not, never makes the real server fail: schemathesis asks, over real TLS."""

import json
from contextlib import suppress

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from node.wire.metrics import METRICS, RSSI
from provisioning import pki
from tests.ota.support import PEER, Keys, Plant, PretendDevice, as_device, check_in, operator, until

EXAMPLES = 25   # of each operation and mode


def session(certificates: pki.FleetPki, name: str) -> requests.Session:
    made = requests.Session()
    made.verify, made.cert, made.trust_env = str(certificates.cert("root")), (
        str(certificates.cert(name)), str(certificates.key(name))), False
    return made


@pytest.fixture
def names(port: int, certificates: pki.FleetPki, signing: Keys) -> dict[str, str]:
    """Of things that are really there, by the name of the parameter that means them."""
    with operator(port, certificates) as desk, as_device(port, certificates) as device:
        published = desk.publish(*signing.release(2))
        check_in(device, "1" * 32)
        until(lambda: len(list(desk.devices())), 1)
        rollout = desk.start_rollout(published["manifest"])["rollout"]
        check_in(device, "2" * 32)
        return {"ident": rollout, "device": PEER, "name": published["artifact"], "command": "pause", "version": "1",
                "manifest": published["manifest"]}


def asked(operation, mode: str, client: requests.Session, base: str, names: dict[str, str]) -> list[tuple[str, requests.Response]]:
    """Ask an operation, of what was made up and then of what is there; gives what was asked and the answers."""
    from schemathesis import GenerationMode  # noqa: PLC0415

    answers = []

    @settings(max_examples=EXAMPLES, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=GenerationMode(mode)))
    def ask(case) -> None:
        made_up = case.path_parameters or {}
        for parameters in (made_up, {name: names.get(name, value) for name, value in made_up.items()}):
            case.path_parameters = parameters
            if parameters is not made_up and isinstance(case.body, dict) and "manifest" in case.body:
                case.body["manifest"] = names["manifest"]
            answer = case.call(base_url=base, session=client, verify=client.verify, cert=client.cert)
            answers.append((f"{case.method} {case.formatted_path} {case.query} {case.body!r:.300}", answer))

    with suppress(Unsatisfiable):   # what takes nothing cannot be asked wrongly
        ask()
    return answers


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_nothing_that_is_asked_makes_the_server_fail(
    port: int, certificates: pki.FleetPki, names: dict[str, str], mode: str,
) -> None:
    import schemathesis  # noqa: PLC0415  it changes how pytest reports; only where it is used

    base, answers = f"https://localhost:{port}", []
    with session(certificates, "op.release") as desk, session(certificates, PEER) as device:
        described = desk.get(f"{base}/admin/openapi.json", timeout=10).json()
        for methods in described["paths"].values():   # what is behind the doors is asked: made-up tokens would stay before them
            for operation in methods.values():
                del operation["security"]
        operations = [found.ok() for found in schemathesis.openapi.from_dict(described).get_all_operations()]
        assert len(operations) > 25
        for operation in operations:
            answers += asked(operation, mode, device if operation.path.startswith("/v1") else desk, base, names)
    assert [f"{call}: {answer.text:.200}" for call, answer in answers if answer.status_code >= 500] == []
    assert [f"{call}: {answer.text:.200}" for call, answer in answers
            if answer.status_code >= 400 and set(answer.json()) != {"code", "message"}] == []
    assert {200, 404, 422} <= {answer.status_code for _, answer in answers}


def test_the_description_knows_the_check_in_that_devices_make(server: Plant) -> None:
    described = server.get("/admin/openapi.json").json()
    schema = described["paths"]["/v1/checkin"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    device = PretendDevice(server, "hall-000000000001")
    device.check_in()   # it is one that the server takes
    sent = {"v", "device", "failed", *schema["required"], *device.config}
    assert sent == set(schema["properties"])
    assert set(schema["properties"]["metrics"]["properties"]) == {*METRICS, RSSI}


def test_every_error_is_described_as_it_is(server: Plant) -> None:
    described = server.get("/admin/openapi.json").json()
    assert "HTTPValidationError" not in json.dumps(described)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            error = operation["responses"]["default"]["content"]["application/json"]["schema"]
            assert error == {"$ref": "#/components/schemas/Error"}, (method, path)
            assert {"certificate": []} in operation["security"]
    assert described["paths"]["/admin/tokens"]["post"]["security"] == [{"certificate": []}]   # no token can do that
