"""Who may import whom (DESIGN, "Layout"): nothing points the other way, and node stays portable."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NODE = ROOT / "firmware/lib/node"

# What the portable device modules may take from the runtime: present on MicroPython and CPython alike.
NODE_RUNTIME = {"micropython", "struct", "binascii", "hashlib", "json", "gc", "asyncio", "array", "sys"}

# Pure packages: decisions from values only. No clock, chance, file, network or database.
PURE = [
    "ota/rules", "provisioning/rules", "host/budget", "host/boards", "host/monitor/anomaly", "firmware/lib/node/wire",
    "host/upkeep/schedule.py",
    *(f"host/monitor/alerting/{name}.py" for name in ("member", "group", "engine", "observe", "rise", "silences", "words")),
]
IMPURE = {
    "asyncio", "fastapi", "httpx", "os", "paho", "pathlib", "random", "requests", "secrets", "shutil", "socket", "sqlalchemy",
    "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "tls", "urllib", "uvicorn",
}

# Package -> prefixes it must never import. Composition roots and the CLI may import everything.
FORBIDDEN = {
    "firmware/lib/node/wire": ["node.agent", "node.app", "node.ring"],
    "firmware/lib/node/app": ["node.agent"],
    "firmware/lib/node/agent": ["node.app"],
    "firmware/lib/node": ["board", "host", "ota", "provisioning"],
    "ota/rules": ["ota.store", "ota.server", "ota.archive", "ota.release", "host", "provisioning"],
    "ota/store": ["ota.server"],
    "ota/archive": ["ota.server", "ota.store"],
    "ota": ["host.cli", "host.sim", "host.console", "host.ingest", "host.store", "host.monitor"],
    "provisioning/rules": ["host", "ota", "provisioning.enrol", "provisioning.ledger", "provisioning.line"],
    "provisioning": ["host.cli", "host.sim", "host.console", "host.ingest", "host.store", "host.monitor"],
    "host/store": ["host.ingest.ingest", "host.ingest.source", "host.console", "host.cli", "host.sim", "ota", "provisioning"],
    "host/ingest": ["host.console", "host.cli", "host.sim", "ota", "provisioning"],
    "host/monitor": ["host.console", "host.cli", "host.sim", "ota", "provisioning"],
    "host/console": ["host.cli", "host.sim"],
    "host/upkeep": ["host.cli", "host.sim", "host.console", "host.ingest"],
    "host/budget": ["host.cli", "host.sim", "host.bench", "host.db", "ota", "provisioning"],   # what they find comes in as values
    "host/boards": ["host.cli", "host.sim", "host.db", "host.budget", "ota", "provisioning"],
    "host/sim": ["host.cli"],
    "host/sim/rollout_fleet.py": ["host.sim"],
    "host/sim/rollout_rows.py": ["host.sim.rollout", "host.sim.rollout_outcome", "host.sim.rollout_runs"],
    "host/sim/rollout_outcome.py": ["host.sim.rollout", "host.sim.rollout_runs"],
    "host/sim/rollout.py": ["host.sim.rollout_runs"],
    "tests/sim/boot_stub.py": ["tests.sim"],
    "tests/sim/memory.py": ["tests.sim"],
    "tests/sim/releases.py": ["tests.sim.memory", "tests.sim.ota_server", "tests.sim.updates"],
    "tests/sim/ota_server.py": ["tests.sim.memory", "tests.sim.updates"],
    "tests/sim/updates.py": ["tests.sim.ota_server"],
    "host/db.py": ["host.cli", "host.sim", "host.store", "host.ingest", "host.console", "ota", "provisioning"],
    "host/webhook.py": ["host.cli", "host.sim", "host.store", "host.ingest", "host.console", "host.monitor", "ota", "provisioning"],
    "host/settings.py": ["host.cli", "host.sim", "host.store", "host.ingest", "host.console", "ota", "provisioning"],
}


def modules(place: str) -> list[Path]:
    path = ROOT / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    package = path.relative_to(NODE.parent if path.is_relative_to(NODE) else ROOT).with_suffix("").parts[:-1]
    for statement in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            base = list(package[: len(package) - statement.level + 1]) if statement.level else []
            prefix = ".".join(base + ([statement.module] if statement.module else []))
            yield prefix
            yield from (f"{prefix}.{alias.name}" for alias in statement.names)


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


@pytest.mark.parametrize("place", sorted(FORBIDDEN))
def test_no_import_points_the_wrong_way(place: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(place)
        for name in imports(path)
        if any(within(name, prefix) for prefix in FORBIDDEN[place])
    ]
    assert modules(place), f"{place} is gone: mend this table"
    assert not found


def test_portable_modules_use_only_what_both_runtimes_have() -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("firmware/lib/node")
        for name in imports(path)
        if name.split(".")[0] not in NODE_RUNTIME | {"node"}
    ]
    assert not found


@pytest.mark.parametrize("place", PURE)
def test_deciding_code_reads_no_clock_chance_file_or_network(place: str) -> None:
    found = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(place)
        for name in imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert not found


def test_only_the_command_line_prints() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for place in ("host", "ota", "provisioning", "firmware/lib/node")
        for path in modules(place)
        if not path.is_relative_to(ROOT / "host/cli") and not path.stem.endswith("_on_device")   # a program for MicroPython
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
    ]
    assert not found


def test_no_device_module_hides_one_of_the_runtime() -> None:
    taken = {"esp32", "network", "machine", "time", "ssl", "tls", "asyncio", "socket", "json"}
    roots = [ROOT / "firmware/lib", ROOT / "firmware"]
    names = {path.stem for root in roots for path in root.iterdir()}
    assert not names & taken


def test_this_test_runs_on_a_supported_python() -> None:
    assert sys.version_info >= (3, 11)
