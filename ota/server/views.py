"""What operators see, as plain JSON values: rollouts, devices and why, versions. Reads the database; changes nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from ota.rules import bucket, paths, windows
from ota.rules.filters import may_share
from ota.rules.rollout import Reason, rank
from ota.rules.values import ACTIVE, Failures, Labels, Release, Rollout, RolloutState
from ota.server.settle import Considered, Known, Settled, settle
from ota.server.survey import Survey, summary, survey
from ota.store import approvals, attempts, configs, history, labels, releases, rollouts
from ota.store.devices import Device
from ota.store.releases import Published

ATTEMPTS_SHOWN = 100   # of a rollout; the ones settled last


def release_view(published: Published) -> dict[str, Any]:
    """Show a published release."""
    shown = asdict(published)
    release: dict[str, Any] = shown.pop("release")
    del release["load"]   # the columns say it already
    return release | shown


def rollout_line(rollout: Rollout) -> dict[str, Any]:
    """Show a rollout in a list."""
    release, policy = rollout.release, rollout.policy
    return {
        "rollout": rollout.ident, "manifest": release.manifest, "release": release.release, "counter": release.counter,
        "models": list(release.models), "state": rollout.state, "reason": rollout.reason, "stage": rollout.stage,
        "pct": policy.stages[rollout.stage], "stages": list(policy.stages), "population": rollout.population,
        "offered": rollout.offered, "stage_since_s": rollout.stage_since_s,
    }


def rollout_overlaps(connection: Connection, rollout: Rollout) -> list[str]:
    """Tell which rollouts under way may have devices in common with this one, by precedence: a device belongs to the first."""
    return [
        each.ident for each in sorted(rollouts.in_states(connection, [*ACTIVE, RolloutState.PLANNED]), key=rank)
        if each.ident != rollout.ident and set(each.release.models) & set(rollout.release.models)
        and may_share(each.policy.filter, rollout.policy.filter)]


def rollout_view(connection: Connection, rollout: Rollout, now_s: float) -> dict[str, Any]:
    """Show everything about a rollout: its stages with their counts and gate, its history, its devices."""
    found = survey(connection, rollout, releases.usable(connection), now_s) if rollout.state in ACTIVE else None
    added_s, added_by = rollouts.added(connection, rollout.ident)
    return rollout_line(rollout if found is None else found.rollout) | {
        "policy": asdict(rollout.policy), "overlaps": rollout_overlaps(connection, rollout),
        "added_s": added_s, "added_by": added_by, "now_s": now_s, "approval": _approval(connection, rollout),
        "stages": _stages(connection, rollout, found, now_s),
        "history": [
            {"at_s": row.at_s, "event": row.event, "stage": row.stage, "by": row.by, "reason": row.reason}
            for row in rollouts.history(connection, rollout.ident)],
        "attempts": [each._asdict() for each in attempts.page(connection, rollout.ident, ATTEMPTS_SHOWN)],
    }


def _approval(connection: Connection, rollout: Rollout) -> dict[str, Any] | None:
    asked = approvals.get(connection, rollout.ident)
    return None if asked is None else {
        "event": asked.event, "asked_s": asked.asked_s, "asked_by": asked.asked_by, "reason": asked.reason}


def device_views(connection: Connection, found: Sequence[Device], now_s: float) -> list[dict[str, Any]]:
    """Show devices: what each runs, where it stands in its rollout, and why it is not offered more."""
    names = [each.report.device for each in found]
    known = tuple(rollouts.all_rollouts(connection))
    usable = releases.usable(connection)
    tried, failed = attempts.of_devices(connection, names), attempts.failures(connection, names)
    shown = []
    for each in found:
        device = each.report.device
        settled = settle(each.report, Known(known, tried[device], failed[device], usable, each.labels), now_s)
        shown.append(_device(each) | _standing(device, settled))
    return shown


def explain(connection: Connection, found: Device, now_s: float) -> dict[str, Any]:
    """Tell all that is known of why a device is or is not offered a release: every rollout asked, in order, with its numbers."""
    device = found.report.device
    failed = attempts.failures(connection, [device])[device]
    tried = attempts.of_devices(connection, [device])[device]
    usable = releases.usable(connection, deltas=True)
    settled = settle(found.report, Known(tuple(rollouts.all_rollouts(connection)), tried, failed, usable, found.labels), now_s)
    return _device(found) | _standing(device, settled) | {
        "now_s": now_s, "metrics": dict(found.metrics),
        "rollouts": [_considered(found, each, failed, usable) for each in settled.considered],
        "failures": [{"manifest": manifest, "count": each.count, "last_s": each.last_s} for manifest, each in failed.items()],
        "attempts": [{"rollout": rollout} | each._asdict() for rollout, each in tried.items()],
    }


def config_view(connection: Connection, found: Device, limit: int) -> dict[str, Any]:
    """Tell what configuration a device runs and is meant to, and what became of each, the newest first."""
    shown = {key: value for key, value in _device(found).items() if key == "device" or key.startswith("config")}
    return shown | {"history": configs.events(connection, found.report.device, limit)}


def _stages(connection: Connection, rollout: Rollout, found: Survey | None, now_s: float) -> list[dict[str, Any]]:
    rows = rollouts.stages(connection, rollout.ident)
    population = rollout.population if found is None else found.rollout.population
    shown = []
    for index, (pct, soak_s) in enumerate(zip(rollout.policy.stages, rollout.policy.soak_s, strict=True)):
        row = rows.get(index)
        stage: dict[str, Any] = {
            "index": index, "pct": pct, "soak_s": soak_s, "state": _stage_state(rollout, index),
            "opened_s": None if row is None else row.opened_s, "closed_s": None if row is None else row.closed_s,
            "eligible": min(bucket.capacity(pct, population), population), "soak_remaining_s": None,
        }
        if index == rollout.stage and found is not None:
            stage |= summary(found)
            if found.counts.next_soaked_s:
                stage["soak_remaining_s"] = max(0.0, found.counts.next_soaked_s - now_s)
        elif row is not None and row.summary is not None:
            stage |= row.summary
        shown.append(stage)
    return shown


def _stage_state(rollout: Rollout, index: int) -> str:
    if index < rollout.stage or rollout.state is RolloutState.DONE:
        return "done"
    if index > rollout.stage or rollout.state is RolloutState.DRAFT:
        return "waiting"
    return "current"


def _considered(found: Device, each: Considered, failed: Mapping[str, Failures], usable: Sequence[Release]) -> dict[str, Any]:
    """One rollout's word on one device, with the numbers behind it."""
    report, rollout, attempt, decision = found.report, each.rollout, each.attempt, each.decision
    path = paths.plan(report.model, report.counter, rollout.release, usable)
    step = path[0].manifest if path else rollout.release.manifest
    return {
        "rollout": rollout.ident, "release": rollout.release.release, "counter": rollout.release.counter, "state": rollout.state,
        "decision": decision.kind, "code": Reason(decision.reason).name.lower(), "why": decision.reason,
        "detail": decision.detail, "from_s": decision.from_s or None, "until_s": decision.until_s or None,
        "bucket": bucket.bucket(rollout.ident, report.device), "limit": rollout.limit, "stage": rollout.stage,
        "pct": rollout.policy.stages[rollout.stage], "offered": rollout.offered,
        "capacity": None if rollout.capacity == bucket.UNBOUNDED else rollout.capacity,
        "attempt": None if attempt is None else attempt.state, "attempt_reason": "" if attempt is None else attempt.reason,
        "failures": failed[step].count if step in failed else 0, "quarantine_after": rollout.policy.quarantine_after,
        "path": None if path is None else [
            {"release": stop.release, "counter": stop.counter, "down_bytes": down_bytes}
            for stop, down_bytes in zip(path, paths.down_bytes(report.model, report.counter, path, usable), strict=True)],
        "filter": asdict(rollout.policy.filter), "windows": list(rollout.policy.windows), "zone": found.labels.zone,
        "not_after": rollout.policy.not_after or None,
    }


def history_view(connection: Connection, device: str, limit: int, before: int | None) -> dict[str, Any]:
    """Show a page of a device's history, the newest first."""
    found = history.page(connection, device, limit, before=before)
    return {
        "device": device, "next": found[-1].ident if len(found) == limit else None,
        "history": [{"at_s": each.at_s, "event": each.happened.name.lower(), "counter": each.counter, "detail": each.detail}
                    for each in found]}


def labels_view(connection: Connection, limit: int) -> dict[str, Any]:
    """Show sites with their zones, tags, how many devices have each, and the last orders."""
    zones = labels.zones(connection)
    sites: Counter[str] = Counter(dict.fromkeys(zones, 0))
    tags: Counter[str] = Counter()
    for each, number in labels.count(connection):
        sites[each.site] += number
        tags.update(dict.fromkeys(each.tags, number))
    shown = [(site, zones.get(site, Labels.zone), sites[site]) for site in sorted(sites) if site]
    return {
        "sites": [{"site": site, "zone": zone, "known": windows.is_known(zone), "devices": number} for site, zone, number in shown],
        "tags": [{"tag": tag, "devices": tags[tag]} for tag in sorted(tags) if tags[tag]],
        "orders": labels.orders(connection, limit),
    }


def _device(found: Device) -> dict[str, Any]:
    report = found.report
    return {
        "device": report.device, "model": report.model, "release": report.release, "counter": report.counter,
        "manifest": report.manifest, "trial": report.trial, "slot": found.slot, "boot": found.boot, "root": found.root,
        "first_seen_s": found.first_seen_s, "last_seen_s": found.last_seen_s,
        "config": found.config.name, "config_trial": found.config.trial, "config_wanted": found.config_wanted,
        "config_failed": found.config.failed, "config_reason": found.config.reason,
        "site": found.labels.site, "tags": list(found.labels.tags), "zone": found.labels.zone,
    }


def _standing(device: str, settled: Settled) -> dict[str, Any]:
    rollout, attempt, decision = settled.rollout, settled.attempt, settled.decision
    return {
        "rollout": None if rollout is None else rollout.ident,
        "bucket": None if rollout is None else bucket.bucket(rollout.ident, device),
        "limit": None if rollout is None else rollout.limit,
        "attempt": None if attempt is None else attempt.state,
        "attempt_reason": "" if attempt is None else attempt.reason,
        "decision": decision.kind, "code": Reason(decision.reason).name.lower(), "why": decision.reason,
    }
