"""What tests of whom a rollout reaches share: labels put on, offers taken, and what is told of a device."""

import datetime as dt

from tests.ota.support import Plant, PretendDevice

ALL = {"stages": [100], "soak_s": 0, "min_reports": 1}
BERLIN = dt.datetime(2027, 6, 4, 12, tzinfo=dt.UTC)   # a Friday, 14:00 on the wall


def label(server: Plant, devices, **change):
    answer = server.post("/admin/labels", {"devices": [each.ident for each in devices]} | change)
    assert answer.status_code == 201, answer.text
    return answer.json()["changed"]


def explain(server: Plant, device: PretendDevice):
    return server.get(f"/admin/devices/{device.ident}/explain").json()


def history(server: Plant, device: PretendDevice) -> list[tuple[str, int]]:
    shown = server.get(f"/admin/devices/{device.ident}/history").json()["history"]
    return [(each["event"], each["counter"]) for each in reversed(shown)]


def later(server: Plant, device: PretendDevice) -> None:
    server.pass_time(5)
    device.check_in()


def offered(devices: list[PretendDevice]) -> list[int]:
    for each in devices:
        each.check_in()
    return [index for index, each in enumerate(devices) if each.directed]


def at(server: Plant, hours: float) -> None:
    """Set the clock to hours after noon UTC of the Friday."""
    server.clock.now_s = BERLIN.timestamp() + hours * 3_600
