"""firmware/SPEC.md against the code: every error code of formats and ring appears in it; the golden bytes are current."""

import importlib.util
import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
NODE = ROOT / "firmware/lib/node"
SPEC = (ROOT / "firmware/SPEC.md").read_text(encoding="utf-8")
SOURCES = [*sorted((NODE / "wire").glob("*.py")), NODE / "ring.py", NODE / "chain.py", NODE / "sectors.py"]


def test_every_error_code_is_specified() -> None:
    codes = {code for path in SOURCES for code in re.findall(r'Error\("([a-z0-9]+\.[a-z0-9_]+)"', path.read_text(encoding="utf-8"))}
    assert len(codes) > 40
    missing = {code for code in codes if f"`{code}`" not in SPEC and f"`{code.partition('.')[0]}.<member>`" not in SPEC}
    assert not missing


def test_golden_bytes_are_those_that_the_code_writes() -> None:
    place = ROOT / "tests/vectors/make_golden.py"
    spec = importlib.util.spec_from_file_location("make_golden", place)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    committed = json.loads((ROOT / "tests/vectors/golden.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(maker.golden())) == committed
