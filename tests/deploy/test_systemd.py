"""deploy/systemd: units that systemd takes and that are shut, commands and settings that exist, no key in reach."""

import contextlib
import importlib
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup

from host.cli import parts
from host.cli.root import COMMANDS
from host.console.settings import ConsoleSettings
from host.ingest.senml_server import SenmlSettings
from host.ingest.settings import IngestSettings
from host.monitor.alerting.process import ENV_PREFIX as ALERTS
from host.monitor.alerting.settings import AlertSettings
from host.settings import load
from host.upkeep.__main__ import ENV_PREFIX as UPKEEP
from host.upkeep.settings import UpkeepSettings
from ota.server.settings import OtaSettings
from provisioning.enrol.settings import EnrolSettings

FOLDER = Path(__file__).parents[2] / "deploy/systemd"
BIN, CONFIG = "/opt/tenfold/.venv/bin/", "/etc/tenfold/"
KEYS = CONFIG + "keys/"
EXPOSURE = 20   # tenths of systemd's points: what has none of it is at 96
PARTS = {
    "ingest@": (IngestSettings, "TENFOLD_INGEST_"), "ota": (OtaSettings, "TENFOLD_OTA_"),
    "enrol": (EnrolSettings, "TENFOLD_ENROL_"), "console": (ConsoleSettings, "TENFOLD_CONSOLE_"),
    "senml": (SenmlSettings, "TENFOLD_SENML_"),
    "alerts": (AlertSettings, ALERTS), "upkeep": (UpkeepSettings, UPKEEP),
}


def directives(path):
    """(section, key) -> values, in order; an empty one begins anew, as systemd has it."""
    found, section = {}, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault((section, key), []).append(value)
    return found


def unit(part):
    return directives(FOLDER / f"tenfold-{part}.service")


def credentials(part):
    return dict(each.split(":", 1) for each in unit(part)["Service", "LoadCredential"])


def environment(part):
    """What the unit sets, with systemd's specifiers replaced."""
    words = " ".join(unit(part)["Service", "Environment"]).replace("%i", "1").replace("%d", "/run/credentials/x")
    return dict(word.split("=", 1) for word in words.split())


def options_of(words):
    """The options of a command, and what is left of the command line behind its name."""
    command, words = parts.load(words[0], COMMANDS[words[0]]), words[1:]
    while isinstance(command, TyperGroup):
        command, words = command.commands[words[0]], words[1:]
    return {name for parameter in command.params for name in parameter.opts}, words


@pytest.fixture
def installed(tmp_path):
    """The units as an installation has them, with this Python in the place of its own."""
    shutil.copytree(FOLDER, tmp_path / "units")
    for path in (tmp_path / "units").rglob("*"):
        if path.suffix in (".service", ".conf") and path.is_file():
            text = path.read_text(encoding="utf-8").replace("/opt/tenfold/.venv", sys.prefix).replace("/opt/tenfold", str(FOLDER))
            path.write_text(text, encoding="utf-8")
    (tmp_path / "units/nats-server.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")   # the packages' own
    (tmp_path / "units/mosquitto.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    return tmp_path / "units"


def analyze(installed, *words):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the units are NOT checked by systemd (Debian: systemd)")
    where = {"SYSTEMD_UNIT_PATH": f"{installed}:", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["systemd-analyze", *words], cwd=installed, env=where, capture_output=True, text=True, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip(f"this systemd-analyze does not know {' '.join(words[:2])}: it is NOT checked (systemd 250 does)")
    return done


def names(installed):
    return sorted(path.name.replace("@.", "@1.") for path in installed.iterdir() if path.suffix in (".service", ".path", ".target"))


def test_systemd_takes_every_unit_without_a_word(installed):
    done = analyze(installed, "verify", "--man=no", *(f"./{name}" for name in names(installed)))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("part", PARTS)
def test_a_service_is_open_to_what_it_does_not_need(installed, part):
    name = f"./tenfold-{part.replace('@', '@1')}.service"
    done = analyze(installed, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("part", PARTS)
def test_a_service_starts_what_exists_with_options_that_exist(part):
    (line,) = unit(part)["Service", "ExecStart"]
    binary, *words = line.split()
    if binary == BIN + "tenfold":
        known, rest = options_of(words)
    else:
        assert (binary, words[0]) == (BIN + "python", "-m")
        name = words[1]
        main = importlib.import_module(name if hasattr(importlib.import_module(name), "main") else f"{name}.__main__").main
        known, rest = told_by(main), words[2:]
    assert set(rest[::2]) <= known
    assert rest[rest.index("--config") + 1] == f"{CONFIG}{part.rstrip('@')}.toml"


def told_by(main):
    """The options that a process's own help names."""
    with contextlib.redirect_stdout(io.StringIO()) as said, pytest.raises(SystemExit):
        main(["--help"])
    return set(re.findall(r"--[a-z-]+", said.getvalue()))


@pytest.mark.parametrize("part", PARTS)
def test_settings_with_what_its_unit_sets_are_settings_of_the_process(part):
    model, prefix = PARTS[part]
    set_by_unit = environment(part)
    assert all(name.startswith(prefix) and name.removeprefix(prefix).lower() in model.model_fields for name in set_by_unit)
    load(model, FOLDER / f"etc/{part.rstrip('@')}.toml", env_prefix=prefix, env=set_by_unit)


@pytest.mark.parametrize("part", PARTS)
def test_a_private_key_is_given_by_systemd_and_read_from_no_folder(part):
    model, prefix = PARTS[part]
    text = (FOLDER / f"etc/{part.rstrip('@')}.toml").read_text(encoding="utf-8")
    assert not re.search(r'^[a-z_]*key[a-z_]*\s*=', text, re.MULTILINE)
    given = credentials(part)
    assert all(place.startswith(KEYS) for place in given.values())
    used = {value.removeprefix("/run/credentials/x/") for name, value in environment(part).items() if "KEY" in name}
    assert used == given.keys() - {"targets"}
    assert {f"{prefix}{name.upper()}" for name in ("key_file", "direction_key", "issuing_key") if name in model.model_fields} == {
        name for name in environment(part) if "KEY" in name}


@pytest.mark.parametrize("part", PARTS)
def test_a_service_lives_where_it_may_write_as_a_user_that_exists(part):
    service = unit(part)
    (user,), (memory,) = service["Service", "User"], service["Service", "MemoryMax"]
    assert memory
    assert f"u {user} " in (FOLDER / "sysusers.conf").read_text(encoding="utf-8")
    mine = [f"/var/lib/{name}" for name in service["Service", "StateDirectory"]]
    mine += service.get(("Service", "ReadWritePaths"), [])
    settings = (FOLDER / f"etc/{part.rstrip('@')}.toml").read_text(encoding="utf-8")
    for key in ("database", "archive", "crl_files", "broker_folder"):
        for place in re.findall(rf'^{key} = .*?(/var/lib/[^"]*)"', settings, re.MULTILINE):
            assert any(place.startswith(folder + "/") for folder in mine), place
    text = (FOLDER / f"tenfold-{part}.service").read_text(encoding="utf-8")
    assert re.search(r"^# .*\nMemoryMax=", text, re.MULTILINE), "MemoryMax without a reason"


def test_what_the_enrolment_server_changes_is_what_the_broker_is_told_of():
    (watched,) = directives(FOLDER / "tenfold-hangup@.path")["Path", "PathChanged"]
    enrol = (FOLDER / "etc/enrol.toml").read_text(encoding="utf-8")
    assert watched.replace("%i", "nats-server").removesuffix("/users.conf") in enrol
    assert watched.replace("%i", "mosquitto") in enrol
    assert "broker_pid_files =" not in enrol   # it may not signal others
    folders = (FOLDER / "tmpfiles.conf").read_text(encoding="utf-8")
    assert all(f"d {Path(watched.replace('%i', broker)).parent} " in folders for broker in ("nats-server", "mosquitto"))


def test_a_user_is_made_by_systemd_with_a_name_that_passwd_takes():
    lines = [line for line in (FOLDER / "sysusers.conf").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    assert {re.fullmatch(r'u ([a-z-]+) +- "[^":]+" +(/var/lib/[a-z-]+)', line)[1] for line in lines} == {
        unit(part)["Service", "User"][0] for part in PARTS}


def test_every_unit_and_every_file_is_in_the_readme():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert not [path.name for path in FOLDER.iterdir() if path.name != "README.md" and path.name not in readme]
