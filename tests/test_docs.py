"""Documents that anybody follows: links lead somewhere, every make target and command is explained, examples name real options."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup

from host.cli.parts import Part, load
from host.cli.root import COMMANDS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path for path in ROOT.rglob("*.md") if not {".venv", "build", "node_modules", ".git"} & set(path.relative_to(ROOT).parts)
)
PARTS = {name: load(name, part) for name, part in COMMANDS.items()}


def leaves(command: TyperCommand | TyperGroup, name: str) -> list[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        return [leaf for key, child in command.commands.items() for leaf in leaves(child, f"{name} {key}")]
    assert isinstance(command, TyperCommand), name
    return [(name, command)]


LEAVES = [leaf for name, command in PARTS.items() for leaf in leaves(command, name)]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    broken = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not broken


def test_make_prints_every_target() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony
    hidden = [target for target in phony[1].split() if target != "check-machine" and f"make {target} " not in shown]
    assert not hidden


def test_settings_of_make_demo_stand_in_its_help_and_in_the_readme() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    recipe = makefile[makefile.index("tenfold demo"):makefile.index("\n\ntest:")]
    names = set(re.findall(r"\$\((?:if \$\()?([A-Z]+)\)", recipe)) - {"BIN"}
    assert names
    assert not [name for name in names if f"{name}=" not in shown]
    assert not [name for name in names - {"DEVICES"} if f"{name}=" not in (ROOT / "README.md").read_text(encoding="utf-8")]


@pytest.mark.parametrize(("name", "part"), COMMANDS.items(), ids=COMMANDS)
def test_list_of_commands_says_what_each_says_of_itself(name: str, part: Part) -> None:
    told = " ".join((PARTS[name].help or "").partition("\n\n")[0].split())
    assert part.help == told


@pytest.mark.parametrize(("name", "command"), LEAVES, ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_explains_itself(name: str, command: TyperCommand) -> None:
    assert command.help, name
    for example in re.findall(rf"tenfold {name}( --?[a-z].*)", command.help or ""):
        known = {option for parameter in command.params for option in parameter.opts}
        assert not set(re.findall(r"--[a-z-]+", example)) - known


def test_a_group_of_commands_is_taken_for_a_command_without_options() -> None:
    assert len(LEAVES) > 100
    assert "telemetry compact" in dict(LEAVES)


def test_every_folder_of_the_readme_exists() -> None:
    folders = re.findall(r"^\| `([a-z]+/)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)
