"""host/DESIGN.md shows what the code does."""

from pathlib import Path

from host.ingest.settings import IngestSettings
from host.monitor.alerting import group, member
from host.monitor.alerting.settings import AlertSettings, AppriseTarget, WebhookTarget
from host.monitor.presence import TABLE
from host.upkeep.keeper import CODES, FAULT
from host.upkeep.settings import UpkeepSettings

DESIGN = (Path(__file__).parents[2] / "host/DESIGN.md").read_text(encoding="utf-8")


def test_the_table_of_states_is_the_codes():
    shown = [line for line in DESIGN.splitlines() if line.startswith(("| unknown |", "| offline |", "| online |"))]
    rows = [
        f"| {state.value} | {signal.value} | {after.value} | {', '.join(kinds)} |".replace("|  |", "| |")
        for (state, signal), (after, kinds) in TABLE.items()
    ]
    assert shown == rows


def test_the_tables_of_alerts_are_the_codes():
    shown = DESIGN[DESIGN.index("## Alerts"):].splitlines()
    rows = [f"| {state.value} | {signal.value} | {after.value} |" for (state, signal), after in member.TABLE.items()]
    rows += [
        f"| {told.value} | {now.value} | {kind.value if kind else ''} |".replace("|  |", "| |")
        for (told, now), kind in group.TABLE.items()
    ]
    assert [line for line in shown if line in rows] == rows


def test_every_setting_is_told():
    models = (IngestSettings, AlertSettings, WebhookTarget, AppriseTarget, UpkeepSettings)
    assert not [name for model in models for name in model.model_fields if f"`{name}`" not in DESIGN]


def test_every_code_of_upkeep_is_told():
    assert not [code for code in {FAULT, *(code for _, code in CODES)} if f"`{code}`" not in DESIGN]
