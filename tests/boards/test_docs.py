"""The documents name every board and every code of profiles."""

import re
from pathlib import Path

from host.cli import boards

ROOT = Path(__file__).parents[2]
README = (ROOT / "firmware/README.md").read_text(encoding="utf-8")


def test_board_or_code_that_nobody_explains():
    assert not {name for name in boards.names() if f"`{name}`" not in README}
    sources = [*(ROOT / "host/boards").glob("*.py"), ROOT / "host/cli/boards.py", ROOT / "firmware/board/esp32/profile.py"]
    codes = {code for path in sources for code in re.findall(r'"(board\.[a-z]+)"', path.read_text(encoding="utf-8"))}
    assert {"board.unknown", "board.profile", "board.pin", "board.network", "board.psram"} <= codes
    assert not {code for code in codes if f"`{code}`" not in README}
