"""host/DESIGN.md shows what the code does."""

from pathlib import Path

from host.ingest.settings import IngestSettings
from host.monitor.presence import TABLE

DESIGN = (Path(__file__).parents[2] / "host/DESIGN.md").read_text(encoding="utf-8")


def test_the_table_of_states_is_the_codes():
    shown = [line for line in DESIGN.splitlines() if line.startswith(("| unknown |", "| offline |", "| online |"))]
    rows = [
        f"| {state.value} | {signal.value} | {after.value} | {', '.join(kinds)} |".replace("|  |", "| |")
        for (state, signal), (after, kinds) in TABLE.items()
    ]
    assert shown == rows


def test_every_setting_of_ingest_is_told():
    assert not [name for name in IngestSettings.model_fields if f"`{name}`" not in DESIGN]
