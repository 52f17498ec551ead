"""The processes of a demo's plant: their settings are settings, and upkeep may tell the gates."""

import json
from pathlib import Path

import pytest

from host.console.settings import ConsoleSettings
from host.ingest.settings import IngestSettings
from host.monitor.alerting.rules import load_rules
from host.monitor.alerting.settings import AlertSettings
from host.settings import load
from host.sim.plant import QUICK, Pace, Plant
from host.sim.ports import free_ports
from host.sim.programs import Programs
from host.upkeep.settings import UpkeepSettings
from ota.server.settings import OtaSettings
from provisioning.enrol.settings import EnrolSettings

MODELS = {"enrol": EnrolSettings, "ota": OtaSettings, "ingest": IngestSettings, "console": ConsoleSettings, "alerts": AlertSettings,
          "upkeep": UpkeepSettings}


@pytest.mark.parametrize("pace", [Pace(), QUICK])
def test_every_process_of_a_plant_starts_and_with_settings_of_its_own(tmp_path: Path, pace: Pace) -> None:
    plant = Plant.make(tmp_path, 1, free_ports(1)[0], pace)
    programs = {program.name: program for program in Programs(plant).all()}
    assert programs.keys() == {"broker", *MODELS}
    for name, model in MODELS.items():
        settings = load(model, Path(programs[name].argv[-1]))
        assert str(tmp_path) in settings.model_dump_json()
    alerts = load(AlertSettings, plant.folder / "conf/alerts.json")
    assert load_rules(alerts.rules)
    roles = json.loads((plant.folder / "conf/ota.json").read_text())["roles"]
    upkeep = load(UpkeepSettings, plant.folder / "conf/upkeep.json")
    assert upkeep.cert_file
    assert roles[upkeep.cert_file.stem] == "operator"
    assert roles["op.release"] == "approver"


def test_what_is_not_urgent_delays_no_start_and_yields_to_the_rest(tmp_path: Path) -> None:
    programs = {program.name: program for program in Programs(Plant.make(tmp_path, 1, free_ports(1)[0], QUICK)).all()}
    assert programs["alerts"].port is programs["upkeep"].port is None
    assert programs["upkeep"].argv[0] == "nice"
