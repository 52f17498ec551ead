"""Upkeep against the real OTA server: it tells the gates of links, and says by its code why it may not."""

from threading import Event

import pytest

from host.db import open_engine
from host.upkeep.__main__ import tasks_of
from host.upkeep.keeper import Keeper
from host.upkeep.settings import UpkeepSettings
from provisioning import pki
from tests.ota.support import operator
from tests.ota.test_fleet_command import telemetry, tenfold  # noqa: F401  fixtures


def keeper(url: str, port: int, certificates: pki.FleetPki, name: str) -> Keeper:
    settings = UpkeepSettings(
        database=url, ota_url=f"https://localhost:{port}", ca_file=certificates.ca_file, cert_file=certificates.cert(name),
        key_file=certificates.key(name), compact_every_s=0, detectors_every_s=0, forests_every_s=0)
    return Keeper(tasks_of(settings, open_engine(url)), lambda: 0.0)


@pytest.mark.usefixtures("tenfold")   # its device has checked in
def test_gates_wait_for_a_word_that_nobody_brings(telemetry: str, port: int, certificates: pki.FleetPki) -> None:  # noqa: F811
    keeper(telemetry, port, certificates, "op.release").turn(Event())
    with operator(port, certificates) as desk:
        assert desk.versions()[0]["totals"]["link_drops"] == 1
        assert desk.links_until() is not None


@pytest.mark.usefixtures("tenfold")
def test_a_certificate_that_only_looks_is_told_by_the_servers_code(
    telemetry: str, port: int, certificates: pki.FleetPki, caplog: pytest.LogCaptureFixture,  # noqa: F811
) -> None:
    keeping = keeper(telemetry, port, certificates, "op.console")
    keeping.turn(Event())
    assert "gates failed (operator.read_only): " in caplog.text
    failures = {sample.value for sample in keeping.samples() if sample.metric == "tenfold_upkeep_failures_total"}
    assert failures == {1}
