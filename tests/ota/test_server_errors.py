"""What clients are told when something is wrong: a status and a code, never a traceback or a secret."""

import pytest

from host.db import open_engine
from ota.store.session import writing
from tests.ota.support import DEVICE, Plant, code, plant, post_raw, request_of


@pytest.mark.parametrize(("raw", "expected"), [
    (b"", "checkin.json"), (b"[]", "checkin.object"), (b"{}", "checkin.v"), (b"\xff", "checkin.json"),
    (request_of(DEVICE, nonce="00"), "checkin.nonce"), (request_of(DEVICE, counter=-1), "checkin.counter"),
    (request_of(DEVICE, metrics={"uptime_s": "1"}), "checkin.uptime_s"),
])
def test_malformed_check_ins_name_the_key(server: Plant, raw: bytes, expected: str) -> None:
    assert code(post_raw(server, raw)) == (422, expected)


def test_endless_bodies_are_cut_off(server: Plant) -> None:
    assert code(post_raw(server, b" " * 5_000)) == (413, "checkin.size")
    assert code(server.post("/admin/rollouts", {"manifest": "x" * 100_000})) == (413, "request.size")


def test_unknown_paths_methods_and_keys(server: Plant) -> None:
    assert code(server.get("/nothing")) == (404, "http.404")
    assert code(server.client.get("/v1/checkin", headers={"x-test-peer": DEVICE})) == (405, "http.405")
    assert code(server.post("/admin/releases", {"manifest": "AA==", "artifact": "AA==", "x": 1})) == (422, "request.x")
    assert code(server.get("/admin/devices?limit=0")) == (422, "request.query.limit")
    assert code(server.get("/admin/rollouts/r1")) == (404, "http.404")
    assert code(server.get(f"/admin/devices/{DEVICE}/explain")) == (404, "http.404")


def test_a_fault_of_the_server_tells_no_secrets(server: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(server.context.desk, "settle", broken)
    answer = post_raw(server, request_of(DEVICE))
    assert code(answer) == (500, "server.fault")
    assert "secret" not in answer.text


def test_a_locked_database_is_told_as_busy(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.db.BUSY_TIMEOUT_MS", 50)
    with plant(tmp_path) as server:
        other = open_engine(server.context.settings.database)
        with writing(other):
            answer = server.publish(*server.keys.release(2))
        other.dispose()
        assert code(answer) == (503, "server.busy")
        assert answer.headers["retry-after"] == "5"
        assert server.publish(*server.keys.release(2)).status_code == 201


def test_text_that_a_database_cannot_keep_is_no_fault(server: Plant, released: str) -> None:
    """PostgreSQL keeps no text with a NUL, and numbers of its columns' sizes only; SQLite keeps everything."""
    ident = server.rollout(released)["rollout"]
    answer = server.post(f"/admin/rollouts/{ident}/pause", {"reason": "a\0b"})
    assert answer.status_code == 200 or code(answer) == (422, "request.value")
    answer = server.get("/admin/devices/%00/explain")
    assert code(answer) in {(404, "http.404"), (422, "request.value")}
    assert "INSERT" not in answer.text
