"""Every reason that an operator may find in quarantine is explained in host/DESIGN.md, and every setting."""

import re
from pathlib import Path

from host.ingest.senml_server import SenmlSettings
from host.ingest.settings import IngestSettings

HOST = Path(__file__).parent.parent.parent / "host"
DESIGN = (HOST / "DESIGN.md").read_text(encoding="utf-8")


def test_every_reason_is_explained():
    codes = {code for path in (HOST / "ingest").glob("*.py")
             for code in re.findall(r'"((?:senml|time|device|quarantine|store)\.[a-z_]+)"', path.read_text(encoding="utf-8"))}
    assert len(codes) > 20
    assert not [code for code in codes if f"`{code}`" not in DESIGN]


def test_every_setting_is_explained():
    names = {*IngestSettings.model_fields, *SenmlSettings.model_fields}
    assert not [name for name in names if f"`{name}`" not in DESIGN]
