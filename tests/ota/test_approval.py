"""A second pair of eyes: what one person asked for starts when another has approved it, and by no way around that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ota.rules.access import Role
from tests.ota.support import Plant, code, fleet, plant

ROLES = {"op.ann": Role.OPERATOR, "op.bob": Role.APPROVER, "op.cleo": Role.APPROVER, "op.release": Role.APPROVER}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Plant]:
    with plant(tmp_path, roles=ROLES, approvals=1) as made:
        yield made


def events(server: Plant, ident: str) -> list[tuple[str, str]]:
    return [(each["event"], each["by"]) for each in server.status(ident)["history"]]


def asked(server: Plant, manifest: str, peer: str = "op.ann", **headers: str) -> str:
    made = server.client.post("/admin/rollouts", json={"manifest": manifest}, headers={"x-test-peer": peer} | headers).json()
    assert (made["state"], made["approval"]["event"], made["approval"]["asked_s"]) == ("draft", "start", server.clock.now_s)
    return made["rollout"]


def test_a_rollout_starts_when_another_person_has_approved_it(server: Plant, released: str) -> None:
    device = fleet(server, 1)[0]
    device.check_in()
    server.pass_time(1)
    ident = asked(server, released)
    device.check_in()
    assert device.directed is None
    assert code(server.post(f"/admin/rollouts/{ident}/approve", peer="op.ann")) == (403, "operator.role")
    answer = server.post(f"/admin/rollouts/{ident}/approve", {"reason": "read it"}, peer="op.bob").json()
    assert (answer["state"], answer["approval"]) == ("running", None)
    assert events(server, ident) == [("create", "op.ann"), ("ask", "op.ann"), ("approve", "op.bob"), ("start", "op.ann")]
    device.check_in()
    assert device.directed == released
    assert code(server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob")) == (409, "approval.none")


def test_nobody_approves_what_they_asked_for(server: Plant, released: str) -> None:
    ident = asked(server, released, "op.bob")
    assert code(server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob")) == (403, "approval.same")
    assert server.status(ident)["state"] == "draft"
    assert server.post(f"/admin/rollouts/{ident}/approve", peer="op.cleo").json()["state"] == "running"


def test_a_token_of_ones_own_is_no_second_person(server: Plant, released: str) -> None:
    made = server.post("/admin/tokens", {"role": "approver", "days": 1}, peer="op.bob").json()
    token = {"authorization": f"Bearer {made['token']}"}
    ident = asked(server, released, "op.bob")
    for peer in ("op.bob", "svc.ci", "op.cleo"):
        answer = server.client.post(f"/admin/rollouts/{ident}/approve", headers={"x-test-peer": peer} | token)
        assert code(answer) == (403, "approval.same")
    server.post(f"/admin/rollouts/{ident}/abort")
    ident = asked(server, released, "svc.ci", **token)   # the other way round: asked with the token
    assert code(server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob")) == (403, "approval.same")
    assert server.post(f"/admin/rollouts/{ident}/approve", peer="op.cleo").json()["state"] == "running"


def test_another_start_is_no_approval(server: Plant, released: str) -> None:
    ident = asked(server, released, "op.bob")
    assert server.post(f"/admin/rollouts/{ident}/start", peer="op.cleo").json()["state"] == "draft"   # now cleo asks
    assert code(server.post(f"/admin/rollouts/{ident}/approve", peer="op.cleo")) == (403, "approval.same")
    assert server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob").json()["state"] == "running"


def test_going_on_after_a_halt_needs_it_too_after_a_pause_not(server: Plant, released: str) -> None:
    device = fleet(server, 1)[0]
    device.check_in()
    server.pass_time(1)
    ident = asked(server, released)
    server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob")
    server.post(f"/admin/rollouts/{ident}/pause", peer="op.ann")
    assert server.post(f"/admin/rollouts/{ident}/resume", peer="op.ann").json()["state"] == "running"
    server.pass_time(1)
    device.check_in()
    device.install()
    device.fall_back()
    device.check_in()
    assert server.status(ident)["state"] == "halted"
    waits = server.post(f"/admin/rollouts/{ident}/resume", {"reason": "a loose cable"}, peer="op.ann").json()
    assert (waits["state"], waits["approval"]["event"], waits["approval"]["reason"]) == ("halted", "resume", "a loose cable")
    assert server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob").json()["state"] == "running"
    assert events(server, ident)[-2:] == [("approve", "op.bob"), ("resume", "op.ann")]


def test_what_was_asked_for_lapses_when_the_rollout_moves_on(server: Plant, released: str) -> None:
    ident = asked(server, released)
    aborted = server.post(f"/admin/rollouts/{ident}/abort", peer="op.ann").json()
    assert (aborted["state"], aborted["approval"]) == ("aborted", None)
    assert code(server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob")) == (409, "approval.none")
    assert code(server.post("/admin/rollouts/r0/approve", peer="op.bob")) == (404, "http.404")


def test_an_approval_whose_start_fails_has_not_happened(
    server: Plant, released: str, monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("on the way")

    ident = asked(server, released)
    with monkeypatch.context() as patch:
        patch.setattr("ota.store.rollouts.open_stage", broken)
        assert code(server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob")) == (500, "server.fault")
    assert events(server, ident) == [("create", "op.ann"), ("ask", "op.ann")]
    assert server.status(ident)["approval"] is not None
    assert server.post(f"/admin/rollouts/{ident}/approve", peer="op.bob").json()["state"] == "running"


def test_what_cannot_start_is_not_asked_for(server: Plant, released: str) -> None:
    ident = asked(server, released)
    server.post(f"/admin/rollouts/{ident}/abort")
    assert code(server.post(f"/admin/rollouts/{ident}/start", peer="op.ann")) == (409, "rollout.state")
    assert server.status(ident)["approval"] is None


def test_without_the_setting_a_start_starts(tmp_path: Path) -> None:
    with plant(tmp_path, roles=ROLES) as server:
        manifest = server.publish(*server.keys.release(2)).json()["manifest"]
        assert server.post("/admin/rollouts", {"manifest": manifest}, "op.ann").json()["state"] == "running"
