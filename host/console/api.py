"""The console's JSON API: GET only, each answer with an ETag, so that a page that polls costs next to nothing.

Thin: names its sources and puts their words together. An answer says in `sources` which source is out of reach and since when,
and then shows that source's last words; only a question about one device fails (503) with its source.
"""

import asyncio
import hashlib
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request, Response

from host.clock import DAY_MS
from host.console.ota import OtaSource
from host.console.telemetry import Telemetry
from host.console.watched import Known, SourceError, Watched
from node.wire.identity import is_device_id

SLOW = 5.0                # versions, sums by release and sparks are read so many times less often than the rest
SPARKS_MAX = 100          # rows in one question: what a page shows at once
MAX_WINDOW_MS = 31 * DAY_MS   # a month at once; more is a job for the export
MAX_MS = 253_402_300_799_000      # the year 9999
POINTS = (10, 4000)       # a plot has at most about 4000 pixels

Json = dict[str, Any]
T = TypeVar("T")
router = APIRouter(prefix="/api")


@dataclass(frozen=True)
class Sources:
    """All that the console reads, each asked once in a while for all browsers together."""

    telemetry: Telemetry
    ota: OtaSource
    clock_ms: Callable[[], int]
    totals: Watched[Json]
    devices: Watched[list[Json]]
    links: Watched[list[Json]]
    quarantine: Watched[list[Json]]
    rollouts: Watched[list[Json]]
    standings: Watched[dict[str, Json]]
    ota_versions: Watched[list[Json]]
    sparks: dict[tuple[str, str | None], Watched[Json]]

    @classmethod
    def make(cls, telemetry: Telemetry, ota: OtaSource, keep_s: float, clock_ms: Callable[[], int]) -> "Sources":
        """Put the sources together; `keep_s` as in the settings."""
        def blocking(ask: Callable[[], T], factor: float = 1.0) -> Watched[T]:
            return Watched(lambda: asyncio.to_thread(ask), keep_s * factor, clock_ms)

        return cls(
            telemetry, ota, clock_ms, blocking(telemetry.totals), blocking(telemetry.devices), blocking(telemetry.versions, SLOW),
            blocking(telemetry.quarantined, SLOW), Watched(ota.rollouts, keep_s, clock_ms),
            Watched(ota.devices, keep_s * 2, clock_ms), Watched(ota.versions, keep_s * SLOW, clock_ms), {})

    def spark(self, device: str, channel: str | None, keep_s: float) -> Watched[Json]:
        """One row's little plot, remembered: rows are asked for again and again."""
        key = device, channel
        if key not in self.sparks:
            while len(self.sparks) >= 50 * SPARKS_MAX:
                self.sparks.pop(next(iter(self.sparks)))
            self.sparks[key] = Watched(
                lambda: asyncio.to_thread(self.telemetry.spark, device, channel), keep_s, self.clock_ms)
        return self.sparks[key]


@router.get("/overview")
async def overview(request: Request) -> Response:
    """Fleet totals and the state of the sources."""
    sources = sources_of(request)
    totals, rollouts = await asyncio.gather(sources.totals.get(), sources.rollouts.get())
    return answered(request, {"totals": totals.value, "sources": {"telemetry": totals.status(), "ota": rollouts.status()}})


@router.get("/devices")
async def devices(request: Request) -> Response:
    """Every device: its link, its records, and where it stands in a rollout (`update`, None when the OTA server has no word)."""
    sources = sources_of(request)
    known, standings = await asyncio.gather(sources.devices.get(), sources.standings.get())
    by_device = standings.value or {}
    rows = None if known.value is None else [row | {"update": by_device.get(str(row["device"]))} for row in known.value]
    return answered(request, {"devices": rows, "sources": _both(known, standings)})


@router.get("/devices/{device}")
async def device(request: Request, device: str) -> Response:
    """One device: newest value of each channel, and the OTA server's word on why it is offered what it is."""
    sources, name = sources_of(request), device_id(device)
    row, why = await asyncio.gather(
        asked(asyncio.to_thread(sources.telemetry.device, name)), _or_none(sources.ota.explain(name)))
    if row is None:
        raise HTTPException(404, {"code": "console.device", "message": f"{name} was never heard"})
    return answered(request, row | {"update": why})


@router.get("/devices/{device}/series")
async def series(
    request: Request, device: str, from_ms: Annotated[int, Query(ge=0, le=MAX_MS)], to_ms: Annotated[int, Query(ge=0, le=MAX_MS)],
    channels: str | None = None, points: Annotated[int, Query(ge=POINTS[0], le=POINTS[1])] = 1000,
) -> Response:
    """Points of channels (comma between them; all by default) in a window of Unix milliseconds, thinned to `points` each."""
    name = device_id(device)
    if not 0 < to_ms - from_ms <= MAX_WINDOW_MS:
        raise HTTPException(422, {"code": "console.window", "message": f"from_ms to to_ms: got {to_ms - from_ms} ms, "
                                                                       f"expected 1 to {MAX_WINDOW_MS}"})
    wanted = None if channels is None else channels.split(",")
    telemetry = sources_of(request).telemetry
    found = await asked(asyncio.to_thread(telemetry.series, name, wanted, from_ms, to_ms, points))
    return answered(request, {"device": name, "from_ms": from_ms, "to_ms": to_ms, "channels": found})


@router.get("/sparks")
async def sparks(request: Request, devices: str, channel: str | None = None) -> Response:
    """The last two minutes of one channel for some devices (comma between them): the little plots of the rows on screen."""
    sources = sources_of(request)
    names = [device_id(name) for name in devices.split(",")[:SPARKS_MAX]]
    keep_s = float(request.app.state.settings.keep_s) * SLOW
    found = await asyncio.gather(*(sources.spark(name, channel, keep_s).get() for name in names))
    return answered(request, {"sparks": {name: one.value for name, one in zip(names, found, strict=True) if one.value}})


@router.get("/rollouts")
async def rollouts(request: Request) -> Response:
    """Rollouts with their stages and gates, those under way first."""
    known = await sources_of(request).rollouts.get()
    return answered(request, {"rollouts": known.value, "sources": {"ota": known.status()}})


@router.get("/versions")
async def versions(request: Request) -> Response:
    """Firmware versions, newest first.

    How well their devices stay connected (24 hours), what they `reported` at check-ins, and how many devices have `fallen`: came
    back from it, or were lost with it. What the OTA server has not told is None.
    """
    sources = sources_of(request)
    links, reported, known = await asyncio.gather(sources.links.get(), sources.ota_versions.get(), sources.rollouts.get())
    untold = {"reported": None, "fallen": None, "counter": 0}
    rows: dict[str, Json] = {str(row["release"]): row | untold for row in links.value or []}
    for row in reported.value or []:
        release = str(row["release"])
        rows.setdefault(release, {"release": release, "devices": row["devices"]})
        fallen = sum(len(each["fallen"]) for each in known.value or [] if each["release"] == release)
        rows[release] |= {"reported": row, "fallen": fallen, "counter": row["counter"]}
    newest_first = sorted(rows.values(), key=lambda row: (-int(row["counter"] or 0), str(row["release"])))
    shown = None if links.value is None and reported.value is None else [row for row in newest_first if row["release"]]
    return answered(request, {"versions": shown, "sources": _both(links, reported)})


@router.get("/quarantine")
async def quarantine(request: Request) -> Response:
    """What could not be stored under a name, newest first."""
    known = await sources_of(request).quarantine.get()
    return answered(request, {"quarantine": known.value, "sources": {"telemetry": known.status()}})


def sources_of(request: Request) -> Sources:
    """The application's sources."""
    sources = request.app.state.sources
    assert isinstance(sources, Sources)  # noqa: S101  app.create_app put it there
    return sources


def _both(telemetry: Known[Any], ota: Known[Any]) -> Json:
    return {"telemetry": telemetry.status(), "ota": ota.status()}


def device_id(name: str) -> str:
    if not is_device_id(name):
        raise HTTPException(404, {"code": "console.device", "message": "not a device id: <product>-<12 hex digits>"})
    return name


async def asked(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except SourceError as error:
        raise HTTPException(503, {"code": error.code, "message": error.message}) from None


async def _or_none(answer: Awaitable[Json | None]) -> Json | None:
    try:
        return await answer
    except SourceError:
        return None   # /api/overview tells that the source is away


def answered(request: Request, body: Json) -> Response:
    """JSON with an ETag; 304 when the browser has it already. `x-now-ms` is the server's clock, for ages."""
    raw = json.dumps(_finite(body), separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=str).encode()
    headers = {
        "etag": '"' + hashlib.sha256(raw).hexdigest()[:24] + '"', "cache-control": "no-store",
        "x-now-ms": str(sources_of(request).clock_ms()),
    }
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(raw, media_type="application/json", headers=headers)


def _finite(value: Any) -> Any:
    """NaN and infinity are no JSON: None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
