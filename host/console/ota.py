"""What the OTA server tells the console: rollouts, where each device stands, totals by firmware version.

Decides which of the server's words the page needs, and that a server that is away or talks nonsense is a SourceError. Asks
only; the console's certificate may command too, so nothing here ever sends anything but GET.
"""

import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx

from host.console.watched import SourceError
from host.monitor.words import DEVICES_PATH, PAGE, TOTALS_PATH

ROLLOUTS_SHOWN = 8       # newest first, those under way before all others
DEVICES_PAGE = 500       # the server's largest page
DEVICES_MAX = 5_000      # the page shows no more rows anyway
HISTORY_SHOWN = 12
ACTIVE = ("running", "paused", "halted", "planned")
COUNTS = ("eligible", "needed", "offered", "under_way", "confirmed", "soaked", "failed", "lost")
CRASHES = ("app_crashes", "task_restarts")   # metrics of ota.rules.gate, check "crashes"
Json = dict[str, Any]


class OtaSource(Protocol):
    """Where the console learns of rollouts; tests have another one."""

    async def rollouts(self) -> list[Json]: ...
    async def devices(self) -> dict[str, Json]: ...
    async def versions(self) -> list[Json]: ...
    async def told(self) -> list[Json]: ...
    async def totals(self) -> list[Json]: ...
    async def explain(self, device: str) -> Json | None: ...
    async def close(self) -> None: ...


class NoOta:
    """No OTA server is configured."""

    async def rollouts(self) -> list[Json]:
        raise SourceError("ota.none", "no OTA server is configured (ota_url)")

    async def devices(self) -> dict[str, Json]:
        raise SourceError("ota.none", "no OTA server is configured (ota_url)")

    async def versions(self) -> list[Json]:
        raise SourceError("ota.none", "no OTA server is configured (ota_url)")

    async def told(self) -> list[Json]:
        raise SourceError("ota.none", "no OTA server is configured (ota_url)")

    async def totals(self) -> list[Json]:
        raise SourceError("ota.none", "no OTA server is configured (ota_url)")

    async def explain(self, device: str) -> Json | None:
        raise SourceError("ota.none", "no OTA server is configured (ota_url)")

    async def close(self) -> None:
        pass


class HttpOta:
    """The operators' API of an OTA server.

    Args:
        url: its address, e.g. https://localhost:8443.
        context: verifies the server and shows our certificate; None for a transport of tests.
        timeout_s: of connecting, and of each silence.
    """

    def __init__(
        self, url: str, context: ssl.SSLContext | None, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, verify=True if context is None else context, timeout=timeout_s, transport=transport, trust_env=False)

    async def rollouts(self) -> list[Json]:
        """The newest rollouts with their stages."""
        lines = _listed(await self._get("/admin/rollouts"), "rollouts")
        lines.sort(key=lambda line: line.get("state") not in ACTIVE)   # stable: newest first within each
        return [rollout_view(await self._get(f"/admin/rollouts/{line.get('rollout')}")) for line in lines[:ROLLOUTS_SHOWN]]

    async def devices(self) -> dict[str, Json]:
        """Where each device stands, by id."""
        rows = await self._paged("/admin/devices", DEVICES_PAGE, DEVICES_MAX)
        return {str(row.get("device")): device_view(row) for row in rows}

    async def told(self) -> list[Json]:
        """Every device's last check-in, as host.monitor.words reads it."""
        return await self._paged(DEVICES_PATH, PAGE, None)

    async def totals(self) -> list[Json]:
        """What check-ins added up to by version and site, as host.monitor.words reads it."""
        return _listed(await self._get(TOTALS_PATH), "totals")

    async def versions(self) -> list[Json]:
        """Every firmware version ever seen, with its crashes and check-ins."""
        return [version_view(row) for row in _listed(await self._get("/admin/versions"), "versions")]

    async def explain(self, device: str) -> Json | None:
        """Why a device is or is not offered a release; None when it has never checked in."""
        row = await self._get(f"/admin/devices/{device}/explain", none_at=404)
        return device_view(row) | {"metrics": row.get("metrics", {})} if row else None

    async def close(self) -> None:
        await self._client.aclose()

    async def _paged(self, path: str, page: int, most: int | None) -> list[Json]:
        """Rows of devices, page after page; no more pages once there are `most`."""
        rows: list[Json] = []
        after: str | None = ""
        while after is not None and (most is None or len(rows) < most):
            answer = await self._get(path, {"after": after, "limit": page})
            rows += _listed(answer, "devices")
            after = answer.get("next")
        return rows

    async def _get(self, path: str, parameters: Mapping[str, str | int] | None = None, *, none_at: int = 0) -> Json:
        try:
            answer = await self._client.get(path, params=parameters)
        except httpx.HTTPError as error:
            raise SourceError("ota.unreachable", f"the OTA server does not answer ({_reason(error)})") from None
        if answer.status_code == none_at:
            return {}
        if answer.status_code != httpx.codes.OK:
            raise SourceError("ota.refused", f"the OTA server answers {path} with status {answer.status_code}")
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise SourceError("ota.answer", f"the OTA server's answer to {path} is no JSON object")
        return body


def rollout_view(row: Json) -> Json:
    """A rollout as the page shows it; what the server does not tell is None."""
    now_s = row.get("now_s") or 0.0
    return {
        "id": row.get("rollout"), "release": row.get("release"), "counter": row.get("counter"), "models": row.get("models", []),
        "state": row.get("state"), "reason": row.get("reason") or "", "stage": row.get("stage"),
        "population": row.get("population"), "added_ms": _ms(row.get("added_s")), "by": row.get("added_by"),
        "starts_ms": _ms(row.get("policy", {}).get("start_at") or None), "approval": _approval(row.get("approval")),
        "stages": [_stage(stage, now_s) for stage in row.get("stages", [])],
        "history": [
            {"at_ms": _ms(each.get("at_s")), "event": each.get("event"), "stage": each.get("stage"), "by": each.get("by"),
             "reason": each.get("reason") or ""}
            for each in row.get("history", [])[-HISTORY_SHOWN:]],
        "fallen": [
            {"device": each.get("device"), "state": each.get("state"), "reason": each.get("reason") or ""}
            for each in row.get("attempts", []) if each.get("state") in ("failed", "lost")],
    }


def device_view(row: Json) -> Json:
    """Where a device stands, as the page shows it."""
    return {
        "model": row.get("model"), "site": row.get("site") or "", "release": row.get("release"),
        "counter": row.get("counter"), "trial": bool(row.get("trial")), "slot": row.get("slot"),
        "attempt": row.get("attempt"), "attempt_reason": row.get("attempt_reason") or "",
        "decision": row.get("decision"), "why": row.get("why") or "", "checkin_ms": _ms(row.get("last_seen_s")),
        "config": {   # names; "" is the line's, and nothing failed
            "runs": row.get("config") or "", "trial": bool(row.get("config_trial")), "wanted": row.get("config_wanted") or "",
            "failed": row.get("config_failed") or "", "reason": row.get("config_reason") or ""},
    }


def version_view(row: Json) -> Json:
    """A version's totals, as the page shows them."""
    totals = row.get("totals", {})
    return {
        "release": row.get("release"), "counter": row.get("counter"), "devices": row.get("devices", 0),
        "checkins": totals.get("checkins", 0), "crashes": sum(totals.get(name, 0) for name in CRASHES),
        "resets": totals.get("resets", 0), "uptime_s": totals.get("uptime_s", 0),
    }


def _approval(asked: Json | None) -> Json | None:
    """Whose word a rollout waits for a second person to approve; None when it waits for nobody."""
    return asked and {
        "event": asked.get("event"), "by": asked.get("asked_by"), "at_ms": _ms(asked.get("asked_s")),
        "reason": asked.get("reason") or ""}


def _stage(stage: Json, now_s: float) -> Json:
    left_s, gate = stage.get("soak_remaining_s"), stage.get("gate")
    return {
        "pct": stage.get("pct"), "state": stage.get("state"), "soak_s": stage.get("soak_s"),
        "soak_ends_ms": None if left_s is None else round(now_s + left_s) * 1000,   # an instant: the page counts down to it
        "opened_ms": _ms(stage.get("opened_s")), "closed_ms": _ms(stage.get("closed_s")),
        "gate": None if not gate else {
            "verdict": gate.get("verdict"), "reason": gate.get("reason") or "",
            "checks": [{key: check.get(key) for key in ("name", "verdict", "reason")} for check in gate.get("checks", [])]},
        **{name: stage.get(name) for name in COUNTS},
    }


def _listed(body: Json, key: str) -> list[Json]:
    rows = body.get(key)
    if not isinstance(rows, Sequence) or not all(isinstance(row, dict) for row in rows):
        raise SourceError("ota.answer", f"the OTA server's answer has no list of {key}")
    return list(rows)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    return str(error) or type(error).__name__
