"""Whatever filters, labels, windows and operators do, at the server: one release a device, no stage exceeded."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ota.rules.rollout import OFFERING, rank
from ota.rules.values import ACTIVE, OPEN, Attempt
from ota.rules.windows import is_open
from ota.store import attempts, devices
from ota.store import rollouts as rollout_rows
from ota.store.session import reading
from tests.ota.support import Plant, PretendDevice, fleet, plant
from tests.ota.targets import label, offered

TAGS = ("a", "b")
WINDOWS = ((), ("mon-sun 00:00-06:00",), ("sat,sun 00:00-24:00",))
plans = st.fixed_dictionaries({
    "counter": st.integers(2, 4), "sites": st.lists(st.sampled_from(["nord", "sued"]), unique=True, max_size=1),
    "any": st.lists(st.sampled_from(TAGS), unique=True, max_size=1), "none": st.lists(st.sampled_from(TAGS), max_size=1),
    "stages": st.sampled_from([[10, 50, 100], [50, 100], [100]]), "windows": st.sampled_from(WINDOWS)})
moves = st.tuples(st.sampled_from(["pause", "resume", "abort", "tag", "untag", "site", "none", "none"]), st.integers(0, 50))


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted=st.lists(plans, min_size=2, max_size=4), number=st.integers(3, 14), pressed=st.lists(moves, min_size=6, max_size=14))
def test_no_device_gets_two_releases_and_no_stage_is_exceeded(tmp_path_factory, wanted, number, pressed) -> None:
    with plant(tmp_path_factory.mktemp("targets")) as server:
        manifests = {counter: server.publish(*server.keys.release(counter)).json()["manifest"] for counter in (2, 3, 4)}
        devices = fleet(server, number)
        offered(devices)
        server.pass_time(1)
        label(server, devices[::2], site="nord", tag=["a"])
        label(server, devices[1::2], site="sued")
        idents = [
            server.post("/admin/rollouts", {
                "manifest": manifests[plan["counter"]], "stages": plan["stages"], "soak_s": 0, "min_reports": 1,
                "windows": plan["windows"], "lease_s": 1e6, "active_s": 1e6,
                "filter": {"sites": plan["sites"], "tags": {"any": plan["any"], "none": [
                    tag for tag in plan["none"] if tag not in plan["any"]]}}}).json()["rollout"]
            for plan in wanted]
        for what, which in pressed:
            press(server, what, idents[which % len(idents)], devices[which % number])
            for device in devices:
                check_one(server, device)
            server.pass_time(7_000)
            check_places(server)


def press(server: Plant, what: str, ident: str, device: PretendDevice) -> None:
    if what in ("pause", "resume", "abort"):
        server.post(f"/admin/rollouts/{ident}/{what}")
    elif what == "site":
        label(server, [device], site="nord")
    elif what != "none":
        label(server, [device], **{what: ["b"]})


def check_one(server: Plant, device: PretendDevice) -> None:
    """One period of a device's life, and what must hold for what it is told."""
    if device.directed:
        device.install()
    elif device.trial:
        device.trial = False
    before, row, known = rows(server, device)
    device.check_in()
    after, _, _ = rows(server, device)
    if device.directed is None:
        return
    (ident,) = [each for each in after if after[each].manifest == device.directed and after[each].state in OPEN
                and (each not in before or before[each].state in OPEN)][:1]
    rollout = known[ident]
    assert rollout.state in OFFERING
    begun = [each for each in before if before[each].state in OPEN and known[each].state in OFFERING]
    if begun:
        assert ident in begun   # what was begun is finished first
        return
    assert is_open(rollout.policy.windows, "UTC", server.clock.now_s)
    wanted, tags = rollout.policy.filter, set(row.labels.tags)
    assert not wanted.sites or row.labels.site in wanted.sites
    assert not wanted.tags.any or tags & set(wanted.tags.any)
    assert not tags & set(wanted.tags.none)
    for other in known.values():   # no rollout that goes first would have had it
        fits = (not other.policy.filter.sites or row.labels.site in other.policy.filter.sites) and (
            not other.policy.filter.tags.any or tags & set(other.policy.filter.tags.any)) and not (
            tags & set(other.policy.filter.tags.none))
        if rollout.state in ACTIVE and other.state in ACTIVE and rank(other) < rank(rollout) and fits:
            assert row.report.counter >= other.release.counter


def rows(server: Plant, device: PretendDevice):
    with reading(server.context.engine) as connection:
        mine: dict[str, Attempt] = attempts.of_devices(connection, [device.ident])[device.ident]
        row = devices.get(connection, device.ident)
        return mine, row, {each.ident: each for each in rollout_rows.all_rollouts(connection)}


def check_places(server: Plant) -> None:
    with reading(server.context.engine) as connection:
        for rollout in rollout_rows.all_rollouts(connection):
            tried = attempts.page(connection, rollout.ident, 1_000)
            share = rollout.policy.stages[rollout.stage]
            fleet_share = max(1, int(len(devices.page(connection, "", 1_000)) * share / 100 + 1e-9))
            assert len(tried) == rollout.offered <= fleet_share
