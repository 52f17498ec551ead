"""gooseBit, an update server with hawkBit's device API, as a peer of `tenfold bench checkin`: how it is started, what it is asked.

It is no dependency of the project: its user names the Python of an environment that holds it. Started by uvicorn as its own
container does, one worker, which is all that it supports, with SQLite in a file, here behind the same mutual TLS as our server. Its
database is filled before the start; a device polls and has nothing to do.
"""

import os
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from provisioning.pki import FleetPki

PYTHON_ENV = "TENFOLD_GOOSEBIT"
VERSION = "0.2.12"    # whose tables `prepare` fills
START_LIMIT_S = 120   # of a migration
CONFIG = """metrics: {prometheus: {enable: false}}
logging: {version: 1, disable_existing_loggers: false, root: {level: WARNING}}
"""
FILL = """INSERT INTO device (id, name, sw_version, hardware_id, feed, update_mode, last_state, force_update)
VALUES (?, ?, '1.1.0', 1, 'default', 3, 2, 0)"""   # 3: by rollouts; 2: registered


class PeerError(Exception):
    """The environment does not hold this gooseBit; the message tells what it holds."""


def version(python: Path) -> str:
    """Tell which gooseBit an environment holds.

    Raises:
        PeerError: none, or another than VERSION.
    """
    asked = "import importlib.metadata as m; print(m.version('goosebit'))"
    try:
        found = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
    except OSError as error:
        raise PeerError(f"{python}: {error.strerror}, expected a Python with gooseBit {VERSION}") from None
    if found.stdout.strip() != VERSION:
        raise PeerError(f"{python}: got gooseBit {found.stdout.strip() or 'nowhere'}, expected {VERSION}")
    return VERSION


def prepare(python: Path, folder: Path, devices: Sequence[str]) -> dict[str, str]:
    """Make a database with registered devices; give the environment variables that the server needs."""
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    where = subprocess.run(
        [python, "-c", "import importlib.util as u; print(u.find_spec('goosebit').submodule_search_locations[0])"],
        capture_output=True, text=True, timeout=START_LIMIT_S, check=True).stdout.strip()
    (folder / "aerich.toml").write_text(
        f'[tool.aerich]\ntortoise_orm = "goosebit.db.config.TORTOISE_CONF"\nlocation = "{where}/db/migrations"\n', encoding="utf-8")
    env = {"GOOSEBIT_DB_URI": f"sqlite:///{folder}/goosebit.db", "GOOSEBIT_ARTIFACTS_DIR": f"{folder}/artifacts",
           "GOOSEBIT_CONFIG_FILE": f"{folder}/config.yaml"}
    done = subprocess.run(
        [python, "-m", "aerich", "--config", "aerich.toml", "upgrade"], cwd=folder, env=os.environ | env, capture_output=True,
        text=True, timeout=START_LIMIT_S, check=False)
    if done.returncode:
        raise PeerError(f"{python}: aerich upgrade failed: {done.stderr[-500:]}")
    with sqlite3.connect(folder / "goosebit.db") as connection:
        connection.execute("INSERT INTO hardware (id, model, revision) VALUES (1, 'default', 'default')")
        connection.executemany(FILL, [(name, name) for name in devices])
    connection.close()
    return env


def command(python: Path, port: int, pki: FleetPki) -> list[str]:
    """Tell how its server is started."""
    return [str(python), "-m", "uvicorn", "goosebit:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log",
            "--ssl-certfile", str(pki.cert("svc.ota")), "--ssl-keyfile", str(pki.key("svc.ota")),
            "--ssl-ca-certs", str(pki.ca_file), "--ssl-cert-reqs", "2"]


def requests(device: str) -> Callable[[], bytes]:
    """Build one device's polls (DDI, "base poll")."""
    poll = f"GET /DEFAULT/controller/v1/{device} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    return lambda: poll
