"""Upkeep against the real OTA server: it tells the gates of links, and says by its code why it may not."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

import pytest

from host.db import open_engine
from host.upkeep.__main__ import tasks_of
from host.upkeep.gates import Telling
from host.upkeep.keeper import Keeper
from host.upkeep.settings import UpkeepSettings
from provisioning import pki
from tests.ota.support import operator
from tests.ota.test_fleet_command import telemetry, tenfold  # noqa: F401  fixtures


@contextmanager
def kept(url: str, port: int, certificates: pki.FleetPki, name: str) -> Iterator[Keeper]:
    settings = UpkeepSettings(
        database=url, ota_url=f"https://localhost:{port}", ca_file=certificates.ca_file, cert_file=certificates.cert(name),
        key_file=certificates.key(name), compact_every_s=0, detectors_every_s=0, forests_every_s=0)
    engine = open_engine(url)
    (task,) = tasks_of(settings, engine)
    yield Keeper([task], lambda: 0.0)
    assert isinstance(task.work, Telling)
    task.work.close()
    engine.dispose()


@pytest.mark.usefixtures("tenfold")   # its device has checked in
def test_gates_wait_for_a_word_that_nobody_brings(telemetry: str, port: int, certificates: pki.FleetPki) -> None:  # noqa: F811
    with kept(telemetry, port, certificates, "op.release") as keeper, operator(port, certificates) as desk:
        keeper.turn(Event())
        assert desk.versions()[0]["totals"]["link_drops"] == 1
        assert desk.links_until() is not None


@pytest.mark.usefixtures("tenfold")
def test_a_certificate_that_only_looks_is_told_by_the_servers_code(
    telemetry: str, port: int, certificates: pki.FleetPki, caplog: pytest.LogCaptureFixture,  # noqa: F811
) -> None:
    with kept(telemetry, port, certificates, "op.console") as keeper:
        keeper.turn(Event())
        assert "gates failed (operator.read_only): " in caplog.text
        failures = {sample.value for sample in keeper.samples() if sample.metric == "tenfold_upkeep_failures_total"}
        assert failures == {1}
