"""The documents name every setting and every code, and nothing that is gone."""

import re
from pathlib import Path

from provisioning.enrol.settings import EnrolSettings

PART = Path(__file__).parent.parent.parent / "provisioning"
README = "".join((PART / name).read_text(encoding="utf-8") for name in ("README.md", "SECURE.md"))
CODE = re.compile(r'"((?:enrol|birth|provisioning|route|secure|line|label)\.[a-z_]+)"')
NO_REFUSALS = {"enrol.issue", "birth.new", "birth.known", "provisioning.enrol", "provisioning.ledger"}


def test_every_setting_of_the_enrolment_server_is_explained():
    assert {name for name in EnrolSettings.model_fields if f"`{name}`" not in README} == set()


def test_every_refusal_is_explained_and_exists():
    sources = (*PART.rglob("*.py"), PART.parent / "host/cli/secure.py")
    in_code = {code for path in sources for code in CODE.findall(path.read_text(encoding="utf-8"))} - NO_REFUSALS
    in_readme = set(re.findall(r"`((?:enrol|birth|provisioning|route|secure|line|label)\.[a-z_]+)`", README))
    assert in_code == in_readme
