"""Watches a running demo for its story and its display: who runs what, who is connected, how the rollouts stand.

Reads the OTA server's operators' API and the telemetry database once a second and keeps the last answer; a source that is away for
a moment (it may have been killed on purpose) leaves the last answer standing and is asked again.
"""

import asyncio
import contextlib
from collections.abc import Iterable

from sqlalchemy.exc import SQLAlchemyError

from host.db import open_engine
from host.sim import audit
from host.sim.plant import Plant
from host.sim.powered import Powered
from host.sim.processes import Child
from host.sim.view import DeviceFace, RolloutFace, View
from host.store.queries import Queries
from ota.client import OtaClient, OtaError

EVERY_S = 1.0


class Watch:
    """The latest facts. `run` refreshes them until cancelled; the rest answers from memory."""

    def __init__(
        self, plant: Plant, client: OtaClient, boards: dict[str, Powered], children: dict[str, Child], view: View,
    ) -> None:
        self._queries = Queries(open_engine(plant.url("telemetry"), read_only=True))
        self._plant = plant
        self._client, self._boards, self._children, self._view = client, boards, children, view
        self._confirmed: dict[str, str] = {}   # device -> release that it runs, not on trial
        self._configs: dict[str, tuple[str, bool, str]] = {}   # device -> configuration that it runs, on trial, failed
        self._rollouts: dict[str, RolloutFace] = {}

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            with contextlib.suppress(OtaError):
                await asyncio.to_thread(self._ask_ota)
            with contextlib.suppress(SQLAlchemyError):
                await asyncio.to_thread(self._ask_telemetry)
            self._view.restarts = sum(child.restarts for child in self._children.values())
            for device, board in self._boards.items():
                self._face(device).powered = board.powered
            await asyncio.sleep(EVERY_S)

    async def all_on(self, release: str) -> bool:
        """Say whether every device runs this release, confirmed by its own check-in."""
        return bool(self._boards) and all(self._confirmed.get(device) == release for device in self._boards)

    async def all_reported(self) -> bool:
        """Say whether readings of every device are in the database."""
        return all((await self.stored(self._boards)).values())

    async def stored(self, devices: Iterable[str]) -> dict[str, int]:
        """Count the readings of these devices in the database."""
        rows = {row.device: row.readings or 0 for row in await asyncio.to_thread(self._queries.devices)}
        return {device: rows.get(device, 0) for device in devices}

    async def is_home(self, device: str) -> bool:
        """Say whether all that a device ever committed is in the database."""
        committed = await asyncio.to_thread(audit.committed, self._plant.flash(device))
        return (await self.stored([device]))[device] == committed

    async def all_online(self) -> bool:
        """Say whether every device is connected to the broker."""
        return bool(self._boards) and all(self._face(device).online for device in self._boards)

    def config(self, device: str) -> tuple[str, bool, str]:
        """Tell a device's own words: the name of its configuration, whether it is on trial, and of one that failed."""
        return self._configs.get(device, ("", False, ""))

    def rollout(self, rollout: str) -> RolloutFace | None:
        """Tell how a rollout stands; None before it was first seen."""
        return self._rollouts.get(rollout)

    def _face(self, device: str) -> DeviceFace:
        return self._view.devices.setdefault(device, DeviceFace())

    def _ask_ota(self) -> None:
        for row in self._client.devices():
            face = self._face(row["device"])
            face.release, face.trial, face.rolled_back = row["release"], row["trial"], row["attempt"] == "failed"
            self._configs[row["device"]] = row["config"], row["config_trial"], row["config_failed"]
            if row["trial"]:
                self._confirmed.pop(row["device"], None)
            else:
                self._confirmed[row["device"]] = row["release"]
        for row in self._client.rollouts():
            self._rollouts[row["rollout"]] = RolloutFace(
                release=row["release"], state=row["state"], stages=list(row["stages"]), stage=row["stage"],
                confirmed=sum(release == row["release"] for release in self._confirmed.values()), total=len(self._boards),
                note=row["reason"])
        self._view.rollouts = list(self._rollouts.values())

    def _ask_telemetry(self) -> None:
        totals = self._queries.totals()
        self._view.readings_stored, self._view.readings_per_s = totals.readings_stored, totals.readings_per_s
        self._view.bytes_per_reading = totals.bytes / totals.readings_stored if totals.readings_stored else 0.0
        for row in self._queries.devices():
            self._face(row.device).online = bool(row.online)
