"""The HTTP face of stations.py: three requests of a station that is not beside the ledger (provisioning/SPEC.md).

Decides paths and what answers look like. A station is let in before its request is read; refusals are app.py's, as everybody's.
"""

import datetime as dt
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool

from node.wire import signed
from provisioning.enrol import received
from provisioning.enrol.stations import Bench, Stations

PREFIX = "/line/v1"


def station_router(stations: Stations) -> APIRouter:
    """Make the router."""
    router = APIRouter(prefix=PREFIX)

    async def admitted(request: Request) -> Bench:
        now = dt.datetime.now(dt.UTC)
        return await run_in_threadpool(stations.admit, received.certificate(request), now, time.monotonic())

    @router.get("/lots/{lot}")
    async def terms(lot: str, request: Request) -> dict[str, Any]:
        order, births = await run_in_threadpool(stations.terms, await admitted(request), lot)
        return {"lot": order.lot, "quota": order.quota, "births": births, "expires": order.expires_s, "revoked": order.revoked,
                "closed": order.closed}

    @router.get("/births/{device}")
    async def born(device: str, request: Request) -> dict[str, Any]:
        found = await run_in_threadpool(stations.born, await admitted(request), device, int(time.time()))
        return {"key": found.key, "may_change": found.may_be_reborn} if found else {"key": None}

    @router.post("/lots/{lot}/births")
    async def append(lot: str, request: Request) -> dict[str, Any]:
        bench = await admitted(request)
        raw = await received.body(request, signed.MAX_BYTES[signed.BIRTH])
        return {"code": (await run_in_threadpool(stations.append, bench, lot, raw, int(time.time()))).value}

    return router
