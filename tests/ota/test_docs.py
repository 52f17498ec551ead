"""The contract names every setting, path, code, state and rule, and nothing that is gone."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from fastapi import FastAPI

from ota.rules.attempts import NEXT
from ota.rules.events import Happened
from ota.rules.gate import Evidence, judge
from ota.rules.rollout import TRANSITIONS, Reason
from ota.rules.values import Counts, Exposure, Policy, Presence
from ota.server import admin_api, archive_api, device_api, devices_api, errors, metrics_api, people_api
from ota.server.settings import OtaSettings
from tests.ota.support import DEVICE, IMAGE, Plant, PretendDevice

PART = Path(__file__).parents[2] / "ota"
SPEC = (PART / "SPEC.md").read_text(encoding="utf-8")
CHECKS = [each.name for each in judge(Policy(), Evidence(Counts(), 1, 0, Presence(), Exposure(), Exposure())).checks]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in SPEC.splitlines() if line.startswith("|")]


@pytest.mark.parametrize("name", [*OtaSettings.model_fields, *[each.name for each in fields(Policy)], *CHECKS])
def test_every_setting_policy_field_and_check_is_there(name: str) -> None:
    assert f"`{name}`" in SPEC


def test_every_path_is_there_and_exists() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    device_api.add_routes(app)
    routers = (admin_api.router, archive_api.router, devices_api.router, metrics_api.router, people_api.router)
    built = {route.path for route in [*app.routes, *(route for router in routers for route in router.routes)]} | {"/healthz"}
    written = {re.sub(r"\?.*", "", path) for path in re.findall(r"`(?:GET|POST|PUT|DELETE) (/[^`]*)`", SPEC)}
    names = re.compile(r"\{[a-z0-9]+\}")
    assert {names.sub("{}", path) for path in written} == {names.sub("{}", path) for path in built if path.startswith("/")}


def test_every_code_is_there() -> None:
    sources = "\n".join(path.read_text(encoding="utf-8") for path in PART.rglob("*.py"))
    raised = set(re.findall(r'(?:ApiError\(\d+|ReleaseError\()(?:, )?"([a-z_.]+)"', sources))
    raised |= set(re.findall(r'ApprovalError\("([a-z.]+)"', sources))
    raised |= {code for _, code in errors.MAPPED.values()} | set(errors.CONFLICTS)
    assert len(raised) > 15
    assert {code for code in raised if f"`{code}`" not in SPEC and f"`{code.split('.')[0]}.<key>`" not in SPEC} == set()


def test_every_reason_and_event_is_there() -> None:
    assert {each.name.lower() for each in (*Reason, *Happened) if f"`{each.name.lower()}`" not in SPEC} == set()


def test_explain_shows_what_is_written(server: Plant) -> None:
    manifest = server.publish(*server.keys.release(2)).json()["manifest"]
    PretendDevice(server, DEVICE).check_in()
    server.pass_time(1)
    server.rollout(manifest)
    (word,) = server.get(f"/admin/devices/{DEVICE}/explain").json()["rollouts"]
    assert {key for key in word if f"`{key}`" not in SPEC} == set()


def test_the_table_of_rollouts_is_the_one_in_the_code() -> None:
    written = {(row[0], row[1]): row[2] for row in ROWS if len(row) == 3 and (row[0], row[1]) in {
        (str(state), str(event)) for state, event in TRANSITIONS}}
    assert written == {(str(state), str(event)): str(after) for (state, event), after in TRANSITIONS.items()}


def test_the_table_of_attempts_is_the_one_in_the_code() -> None:
    written = {row[0]: row[1:] for row in ROWS if len(row) == 7}
    for state, after in NEXT.items():
        assert written[state] == [str(each) for each in after.values()]


def test_a_stage_shows_what_is_written(server: Plant) -> None:
    manifest = server.publish(*server.keys.release(2)).json()["manifest"]
    stage = server.rollout(manifest)["stages"][0]
    assert {key for key in stage if f"`{key}`" not in SPEC} == set()


def test_a_release_shows_what_is_written(server: Plant) -> None:
    shown = server.publish(*server.keys.release(2, image=IMAGE), IMAGE).json()
    assert {key for key in shown if f"`{key}`" not in SPEC} == set()
