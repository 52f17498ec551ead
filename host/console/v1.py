"""The REST interface for programs, /api/v1: devices, values, pages at full resolution, sums, exports, quarantine, live readings.

Decides limits: what one question may ask for, how many heavy ones run at once. Every refusal is {"code", "message"}. Whom the
console answers is the guard's decision, as for the page.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request, Response
from sqlalchemy import Engine

from host.console.api import MAX_MS, MAX_WINDOW_MS, POINTS, answered, asked, device_id, sources_of
from host.console.live import DEVICES, FullError, Live
from host.console.streams import Stream, closing, from_thread
from host.store.aggregates import TooMuchError, aggregate
from host.store.channels import Channel
from host.store.events import UNKNOWN, Spans, releases
from host.store.export import FORMATS, export
from host.store.export_arrow import ExportError
from host.store.queries import Queries
from host.store.readings import QUALITIES, Cursor, CursorError, Readings, page
from host.store.shape import Order

PAGE_MAX = 100_000           # readings of one page: about 3 MB
NAMES_MAX = 1_000            # devices that one question names
TEXT_MAX = 40 * NAMES_MAX    # characters of such a list
ROWS_MAX = 50_000            # of an aggregate
READ_MAX = 20_000_000        # readings that an aggregate may read: some seconds
BUCKET_MIN_MS = 1_000
HEAVY = 2                    # aggregates and exports at once: the page's own questions keep the other threads
RETRY_S = 5                  # told to who came when all places were taken
STALL_S = 30.0               # an export's reader may take so long for a piece: the database's snapshot is held for it
LIVE_STALL_S = 10.0

router = APIRouter(prefix="/api/v1")
Json = dict[str, Any]
T = TypeVar("T")
From = Annotated[int, Query(ge=0, le=MAX_MS)]
To = Annotated[int, Query(ge=0, le=MAX_MS)]
Names = Annotated[str | None, Query(max_length=TEXT_MAX)]


@dataclass
class Open:
    """Answers under way."""

    live: Live
    heavy: int = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take one of the places of heavy questions for a while."""
        self.take()
        try:
            yield
        finally:
            self.give()

    def take(self) -> None:
        """Take a place.

        Raises:
            HTTPException: there is none.
        """
        if self.heavy >= HEAVY:
            raise _refusal(503, "console.busy", f"{HEAVY} exports and aggregates are under way: ask again", retry_s=RETRY_S)
        self.heavy += 1

    def give(self) -> None:
        """Give it back."""
        self.heavy -= 1


@router.get("/devices")
async def devices(
    request: Request, after: Annotated[str, Query(max_length=64)] = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """Devices by id, from behind `after` on; `next` is the `after` of the next page, null at the end."""
    rows = [row for row in await _known(request) if str(row["device"]) > after]
    more = str(rows[limit - 1]["device"]) if len(rows) > limit else None
    return answered(request, {"devices": rows[:limit], "next": more})


@router.get("/latest")
async def latest_of(
    request: Request, after: Annotated[str, Query(max_length=64)] = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """The newest value of each channel of devices by id, from behind `after` on; `next` as of /devices."""
    known = [name for name in (str(row["device"]) for row in await _known(request)) if name > after]
    some = known[:limit]
    found = await _ask(request, lambda queries, _engine: queries.latest_of(some))
    rows = [{"device": name, "latest": [asdict(one) for one in found[name]]} for name in some]
    return answered(request, {"devices": rows, "next": some[-1] if len(known) > limit else None})


@router.get("/devices/{device}/latest")
async def latest(request: Request, device: str) -> Response:
    """The newest value of each channel of a device."""
    name = await _heard(request, device)
    found = await _ask(request, lambda queries, _engine: queries.latest(name))
    return answered(request, {"device": name, "latest": [asdict(one) for one in found]})


@router.get("/devices/{device}/series")
async def series(
    request: Request, device: str, from_ms: From, to_ms: To, channels: Names = None,
    points: Annotated[int | None, Query(ge=POINTS[0], le=POINTS[1])] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 10_000, cursor: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Readings of a window, both ends included.

    With `points`: each channel thinned to so many, with all extremes. Else at full resolution: at most `limit` readings in the
    order of time as [time, index of the channel, value, quality], and `next`, the `cursor` of the next page; null at the end.
    """
    name = await _heard(request, device)
    _window(from_ms, to_ms, MAX_WINDOW_MS if points is not None else MAX_MS)
    wanted = _list(channels)
    if points is not None:
        found = await asked(asyncio.to_thread(sources_of(request).telemetry.series, name, wanted, from_ms, to_ms, points))
        return answered(request, {"device": name, "from_ms": from_ms, "to_ms": to_ms, "channels": found})
    try:
        begin = Cursor.parse(cursor) if cursor else None
    except CursorError as error:
        raise _refusal(422, "console.cursor", str(error)) from None

    def question(queries: Queries, _engine: Engine) -> Response:
        parts, more = page(queries, name, wanted, from_ms, to_ms, limit, begin)
        return answered(request, _page(parts) | {"device": name, "from_ms": from_ms, "to_ms": to_ms, "next": more and str(more)})

    return await _ask(request, question)   # the answer too is made on the thread: a page is large


@router.get("/aggregate")
async def sums(
    request: Request, from_ms: From, to_ms: To, by: Literal["device", "site", "version", "all"] = "device", devices: Names = None,
    channels: Names = None, bucket_ms: Annotated[int | None, Query(ge=BUCKET_MIN_MS, le=MAX_WINDOW_MS)] = None,
) -> Response:
    """Minimum, mean, maximum and count by device, site or version, in buckets (by default one); see `tenfold data aggregate`."""
    _window(from_ms, to_ms, MAX_WINDOW_MS)
    names, wanted = await _devices(request, devices), _list(channels)
    sites = await _sites(request) if by == "site" else {}

    def question(queries: Queries, engine: Engine) -> Response:
        spans: dict[str, Spans] = {}
        if by == "version":
            spans = releases(engine, names, from_ms, to_ms)
        for name in names if by != "version" else ():
            spans[name] = [(0, {"device": name, "site": sites.get(name) or UNKNOWN}.get(by, "all"))]
        found = aggregate(queries, spans, wanted, from_ms, to_ms, bucket_ms or to_ms + 1, READ_MAX)
        rows = [asdict(one) | {"t_ms": max(one.t_ms, from_ms)} for _, one in zip(range(ROWS_MAX + 1), found, strict=False)]
        if len(rows) > ROWS_MAX:
            raise TooMuchError(f"more than {ROWS_MAX:,} rows: ask for longer buckets, a shorter window or fewer channels")
        return answered(request, {"by": by, "from_ms": from_ms, "to_ms": to_ms, "bucket_ms": bucket_ms, "rows": rows})

    with _open(request).place():
        try:
            return await _ask(request, question)
        except TooMuchError as error:
            raise _refusal(422, "console.too_much", str(error)) from None


@router.get("/export")
async def whole(
    request: Request, from_ms: From, to_ms: To, devices: Names = None, channels: Names = None,
    form: Annotated[Literal["csv", "parquet", "arrow"], Query(alias="format")] = "csv", wide: bool = False,
) -> Response:
    """All readings of a window as a file. An answer that breaks off has no last chunk: take it for whole only when HTTP does."""
    _window(from_ms, to_ms, MAX_MS)
    names, wanted = await _devices(request, devices), _list(channels)
    order = Order(tuple(names), None if wanted is None else tuple(wanted), from_ms, to_ms)
    places, telemetry = _open(request), sources_of(request).telemetry
    places.take()
    try:
        pieces = await _ask(request, lambda queries, _engine: export(queries, order, form, wide=wide))
    except BaseException as error:
        places.give()
        if isinstance(error, ExportError):
            raise _refusal(501, "console.format", str(error)) from None
        raise
    content: AsyncGenerator[bytes, None] = from_thread(
        lambda: telemetry.asked(lambda _queries, _engine: next(pieces, None)), closing(pieces))
    at = datetime.fromtimestamp(from_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"content-disposition": f'attachment; filename="tenfold-{at}.{form}"', "cache-control": "no-store"}
    return Stream(content, FORMATS[form], stall_s=STALL_S, headers=headers, done=places.give)


@router.get("/quarantine")
async def quarantine(request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Response:
    """What could not be stored under a name, newest first."""
    found = await _ask(request, lambda queries, _engine: queries.quarantined(limit))
    return answered(request, {"quarantine": [asdict(one) for one in found]})


@router.get("/live")
async def live(request: Request, devices: Annotated[str, Query(max_length=64 * DEVICES)]) -> Response:
    """Server-sent events of some devices: `latest` once, `readings` soon after they are stored, `away` when the database is."""
    names = [device_id(name) for name in devices.split(",")]
    if len(names) > DEVICES:
        raise _refusal(422, "console.parameter", f"devices: got {len(names)}, expected at most {DEVICES}")
    hub = _open(request).live
    try:
        listener = hub.listen(names)
    except FullError:
        raise _refusal(503, "console.live_full", "there are as many listeners as there may be", retry_s=RETRY_S) from None
    return Stream(hub.events(listener), "text/event-stream", stall_s=LIVE_STALL_S, headers={"cache-control": "no-store"},
                  done=lambda: hub.leave(listener))


def _page(parts: list[Readings]) -> Json:
    """Readings of a page, with the channels that they count."""
    index: dict[Channel, int] = {}
    rows: list[list[Any]] = []
    for some in parts:
        values: list[Any] = [None] * len(some)
        for channel, places in some.of_each():
            at = index.setdefault(channel, len(index))
            for place, value in zip(places.tolist(), channel.scale(some.steps[places]).tolist(), strict=True):
                values[place] = (at, value)
        quality = [QUALITIES[each] for each in some.quality.tolist()]
        rows += [[t_ms, at, value, how] for t_ms, (at, value), how in zip(some.t_ms.tolist(), values, quality, strict=True)]
    channels = [{"name": one.name, "unit": one.unit, "resolution": str(one.resolution)} for one in index]
    return {"channels": channels, "readings": rows}


async def _ask(request: Request, question: Callable[[Queries, Engine], T]) -> T:
    return await asked(asyncio.to_thread(sources_of(request).telemetry.asked, question))


async def _known(request: Request) -> list[Json]:
    """Every device, as it was told within `keep_s`."""
    known = await sources_of(request).devices.get()
    if known.value is None:
        raise _refusal(503, known.error.code if known.error else "telemetry.unreachable", str(known.error))
    return known.value


async def _heard(request: Request, device: str) -> str:
    name = device_id(device)
    if name not in {row["device"] for row in await _known(request)}:
        raise _refusal(404, "console.device", f"{name} was never heard")
    return name


async def _devices(request: Request, named: str | None) -> list[str]:
    known = [str(row["device"]) for row in await _known(request)]
    if named is None:
        return known
    names = list(dict.fromkeys(device_id(name) for name in named.split(",")))
    if len(names) > NAMES_MAX:
        raise _refusal(422, "console.parameter", f"devices: got {len(names)}, expected at most {NAMES_MAX}")
    strange = sorted(set(names) - set(known))
    if strange:
        raise _refusal(404, "console.device", f"{strange[0]} was never heard")
    return names


async def _sites(request: Request) -> dict[str, str]:
    """Where devices stand, by the OTA server's word."""
    standings = await sources_of(request).standings.get()
    if standings.value is None:
        raise _refusal(503, standings.error.code if standings.error else "ota.unreachable", str(standings.error))
    return {device: str(row["site"]) for device, row in standings.value.items()}


def _list(text: str | None) -> list[str] | None:
    return None if text is None else text.split(",")


def _window(from_ms: int, to_ms: int, longest_ms: int) -> None:
    if not 0 < to_ms - from_ms <= longest_ms:
        raise _refusal(422, "console.window", f"from_ms to to_ms: got {to_ms - from_ms} ms, expected 1 to {longest_ms}")


def _open(request: Request) -> Open:
    found = request.app.state.open
    assert isinstance(found, Open)  # noqa: S101  app.create_app put it there
    return found


def _refusal(status: int, code: str, message: str, *, retry_s: int = 0) -> HTTPException:
    return HTTPException(status, {"code": code, "message": message}, headers={"retry-after": str(retry_s)} if retry_s else None)
