"""The command as a whole: what it costs to ask it something."""

import subprocess
import sys

HEAVY = ("fastapi", "nats", "numpy", "sqlalchemy")
ASK = """
import sys
from host.cli.root import app
try:
    app({arguments!r}, prog_name="tenfold")
except SystemExit as end:
    print(end.code, *(name for name in {heavy!r} if name in sys.modules))
"""


def asked(*arguments: str) -> str:
    program = ASK.format(arguments=arguments, heavy=HEAVY)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def test_help_does_not_wait_for_what_the_commands_need() -> None:
    assert asked("--help") == "0"


def test_mistyped_command_is_told_before_anything_is_imported() -> None:
    assert asked("flet", "offline") == "2"
