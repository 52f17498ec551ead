"""What check-ins told, for a monitor; and a monitor's word on links, which a gate waits for from the first one on."""

import pytest

from ota.rules import gate
from tests.ota.support import Plant, code, fleet, install_and_confirm

WINDOW = "/admin/metrics/links"


def tell(server: Plant, from_s: float, until_s: float, *rows: dict):
    return server.post(WINDOW, {"from_s": int(from_s), "until_s": int(until_s), "rows": list(rows)})


def row(counter: int, online_s: int, drops: int, cohort: int = 1) -> dict:
    return {"model": "hall", "counter": counter, "cohort": cohort, "online_s": online_s, "drops": drops}


def test_devices_tell_their_last_metrics_and_where_they_stand_page_by_page(server: Plant, known) -> None:
    known[3].metrics |= {"uptime_s": 77, "drops": 5}
    known[3].check_in()
    server.pass_time(1)
    first = server.get("/admin/metrics/devices?limit=20").json()
    rest = server.get(f"/admin/metrics/devices?limit=20&after={first['next']}").json()
    rows = first["devices"] + rest["devices"]
    assert (len(first["devices"]), len(rows), rest["next"]) == (20, 24, None)
    assert (rows[3]["metrics"]["drops"], rows[3]["site"], rows[3]["release"], rows[3]["model"]) == (5, "nord", "1.1.0", "hall")
    assert rows[3]["cohort"] == rows[4]["cohort"] != rows[20]["cohort"]


def test_totals_are_told_by_site(server: Plant, known) -> None:
    for each in (known[3], known[20], known[21]):
        each.live(100)
        each.check_in()
    server.pass_time(1)
    found = {one["site"]: one for one in server.get("/admin/metrics/totals").json()["totals"]}
    assert (found["nord"]["totals"]["uptime_s"], found["sued"]["totals"]["uptime_s"]) == (100, 200)
    assert (found["nord"]["model"], found["nord"]["counter"], found["nord"]["release"]) == ("hall", 1, "1.1.0")


def test_a_window_is_counted_once_however_often_it_is_told(server: Plant, known) -> None:
    now_s = int(server.clock())
    assert server.get(WINDOW).json() == {"until_s": None}
    assert tell(server, now_s - 200, now_s - 100, row(1, 50, 2)).status_code == 201
    assert code(tell(server, now_s - 200, now_s - 100, row(1, 50, 2))) == (409, "links.window")
    assert code(tell(server, now_s - 150, now_s - 50, row(1, 50, 2))) == (409, "links.window")
    assert tell(server, now_s - 100, now_s, row(1, 50, 1), row(1, 25, 0, cohort=1)).status_code == 201
    assert server.get(WINDOW).json() == {"until_s": now_s}
    sums = server.get("/admin/versions").json()["versions"][0]["totals"]
    assert (sums[gate.LINK_ONLINE_S], sums[gate.LINK_DROPS]) == (125, 3)


@pytest.mark.parametrize(("from_s", "until_s"), [(100, 100), (200, 100), (0, 3600)])
def test_a_window_that_is_none_or_lies_ahead_is_refused(server: Plant, from_s: int, until_s: int) -> None:
    now_s = int(server.clock())
    assert code(tell(server, now_s + from_s, now_s + until_s)) == (422, "links.window")


def test_who_only_looks_tells_nothing(server: Plant) -> None:
    assert server.post(WINDOW, {"from_s": 0, "until_s": 1, "rows": []}, peer="op.console").status_code == 403
    assert server.client.request("DELETE", WINDOW, headers={"x-test-peer": "op.console"}).status_code == 403


def watched(server: Plant, released: str):
    """A release on two of ten devices, for long enough that everything that devices tell themselves is well."""
    devices = fleet(server, 10)
    for each in devices:
        each.check_in()
    server.pass_time(1)
    ident = server.rollout(released, stages=[20, 100], min_reports=2, soak_s=10)["rollout"]
    return devices, ident


def live(server: Plant, devices, periods: int, drops: int | None) -> None:
    """Check in every three seconds; a monitor tells of each period, with so many drops of the new release. None: it is silent."""
    for _ in range(periods):
        from_s = int(server.clock())
        install_and_confirm(server, devices)
        if drops is not None:
            new = sum(each.counter == 2 for each in devices)
            rows = [row(1, 3 * (10 - new), 0), *([row(2, 3 * new, drops)] if new else [])]
            assert tell(server, from_s, server.clock(), *rows).status_code == 201


def links_of(server: Plant, ident: str) -> dict:
    checks = server.status(ident)["stages"][0]["gate"]["checks"]
    return next((check for check in checks if check["name"] == "links"), {})


def test_a_rollout_goes_on_when_the_monitor_saw_nothing_wrong(server: Plant, released: str) -> None:
    devices, ident = watched(server, released)
    live(server, devices, 12, drops=0)
    assert server.status(ident)["stage"] == 1


def test_drops_that_only_the_monitor_sees_hold_a_rollout(server: Plant, released: str) -> None:
    devices, ident = watched(server, released)
    live(server, devices, 12, drops=2)
    told = server.status(ident)
    assert (told["state"], told["stage"], links_of(server, ident)["verdict"]) == ("running", 0, "unknown")
    assert sum(each.counter == 2 for each in devices) == 2


def test_a_monitor_that_fell_silent_holds_a_rollout_until_it_is_taken_out(server: Plant, released: str) -> None:
    now_s = int(server.clock())
    assert tell(server, now_s - 60, now_s - 30).status_code == 201
    devices, ident = watched(server, released)
    live(server, devices, 12, drops=None)
    assert (server.status(ident)["stage"], links_of(server, ident)["verdict"]) == (0, "unknown")
    answer = server.client.request("DELETE", WINDOW, headers={"x-test-peer": "op.release"})
    assert answer.json() == {"until_s": None}
    live(server, devices, 2, drops=None)
    assert server.status(ident)["stage"] == 1


def test_a_server_without_a_monitor_has_no_such_check(server: Plant, released: str) -> None:
    devices, ident = watched(server, released)
    live(server, devices, 3, drops=None)
    assert links_of(server, ident) == {}
