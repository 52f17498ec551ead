"""The documents name every setting and every code, and nothing that is gone."""

import re
from pathlib import Path

from provisioning.enrol.settings import EnrolSettings
from provisioning.rules.explain import EXPLANATIONS

PART = Path(__file__).parent.parent.parent / "provisioning"
README = "".join((PART / name).read_text(encoding="utf-8") for name in ("README.md", "SECURE.md", "SPEC.md"))
NAMES = r"(?:enrol|birth|provisioning|route|secure|ca|lot|revoke|port|board|flash|image|shell|line|label|station|tls)\.[a-z_]+"
CODE = re.compile(rf'"({NAMES})"')
OF_CA = ("enrol", "birth", "provisioning", "ca", "lot", "revoke", "station", "tls")
NO_REFUSALS = {
    "enrol.issue", "birth.new", "birth.known", "birth.reborn", "provisioning.enrol", "provisioning.ledger", "ca.pem", "image.bin",
    "board.py", "station.key", "station.pem"}


def refusals() -> set[str]:
    commands = (path for path in (PART.parent / "host/cli").glob("*.py") if path.name != "boards.py")   # of firmware/README.md
    sources = (*(path for path in PART.rglob("*.py") if path.name != "explain.py"), *commands)
    return {code for path in sources for code in CODE.findall(path.read_text(encoding="utf-8"))} - NO_REFUSALS


def test_every_setting_of_the_enrolment_server_is_explained():
    assert {name for name in EnrolSettings.model_fields if f"`{name}`" not in README} == set()


def test_every_refusal_is_explained_and_exists():
    assert refusals() == set(re.findall(rf"`({NAMES})`", README)) - NO_REFUSALS


def test_every_refusal_of_ca_and_enrolment_is_explained_to_operators():
    assert {code for code in refusals() if code.partition(".")[0] in OF_CA} == set(EXPLANATIONS)
