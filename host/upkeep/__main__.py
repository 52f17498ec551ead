"""The upkeep process: `tenfold upkeep --config FILE`. Ends with 0 at SIGTERM, with 2 when it cannot start."""

import argparse
import logging
import random
import sys
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread

from sqlalchemy import Engine

from host import logs, stopping
from host.db import DatabaseError, migrate, open_engine
from host.monitor.anomalies import Anomalies
from host.monitor.anomaly.tuning import Tuning
from host.monitor.scrape import serve
from host.settings import SettingsError, load
from host.store.anomalies import AnomalyRows
from host.store.classes import Classes
from host.store.queries import Queries
from host.upkeep import columns
from host.upkeep.detectors import Growing, Judging
from host.upkeep.gates import Telling
from host.upkeep.keeper import Keeper, Task
from host.upkeep.settings import UpkeepSettings
from ota.client import OtaClient

ENV_PREFIX = "TENFOLD_UPKEEP_"

log = logging.getLogger("host.upkeep")


def main(argv: list[str] | None = None) -> int:
    """Keep until a signal; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m host.upkeep", description="Do what must be done again and again.")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file; keys are those of UpkeepSettings")
    arguments = parser.parse_args(argv)
    logs.begin()
    try:
        settings = load(UpkeepSettings, arguments.config, env_prefix=ENV_PREFIX)
        logging.getLogger().setLevel(settings.log_level.upper())
        engine = open_engine(settings.database)
        migrate(engine, "host.store")
        tasks = tasks_of(settings, engine)
        keeper = Keeper(tasks, random.SystemRandom().random)
        if settings.metrics_port:
            serve(settings.metrics_port, keeper.samples)   # a daemon thread: it ends with the process
    except (SettingsError, DatabaseError) as error:
        log.error("cannot start: %s", error)
        return stopping.EXIT_CANNOT_START
    log.info("keeps %s", ", ".join(f"{task.name} every {task.every_s:g} s" for task in tasks))
    stop = Event()
    return stopping.work([Thread(target=keeper.run, args=(stop,), name="upkeep", daemon=True)], stop.set)


def tasks_of(settings: UpkeepSettings, engine: Engine) -> list[Task]:
    """What these settings ask for.

    Raises:
        SettingsError: nothing, or a file of theirs is unusable.
    """
    rows = AnomalyRows(engine)
    tuning = Tuning(zone=settings.zone, budget_per_week=settings.budget_per_week)
    anomalies = Anomalies(Queries(engine), rows, tuning, writer=rows, past_days=settings.past_days)
    tasks = []
    if settings.compact_every_s:
        tasks.append(Task("compact", settings.compact_every_s, columns.task(engine, load(Classes, settings.classes_file))))
    if settings.detectors_every_s:
        tasks.append(Task("detectors", settings.detectors_every_s, Judging(anomalies)))
    if settings.forests_every_s and find_spec("sklearn") is None:
        log.warning("no isolation forests are grown: scikit-learn is not installed; "
                    "`pip install 'tenfold[analysis]'`, or forests_every_s = 0")
    elif settings.forests_every_s:
        growing = Growing(anomalies, rows, settings.past_days, settings.forests_every_s)
        tasks.append(Task("forests", settings.forests_every_s, growing))
    if settings.gates_every_s and settings.ota_url:
        _connect(settings).close()   # a wrong certificate is told now
        tasks.append(Task("gates", settings.gates_every_s, Telling(engine, lambda: _connect(settings), settings.gates_lag_s)))
    if not tasks:
        raise SettingsError("compact_every_s", "0, and no other task", "the period of at least one task")
    return tasks


def _connect(settings: UpkeepSettings) -> OtaClient:
    if not (settings.ca_file and settings.cert_file and settings.key_file):   # OtaAccess has seen to it
        raise SettingsError("cert_file", "nothing", "a certificate for the OTA server")
    return OtaClient.connect(settings.ota_url, settings.ca_file, settings.cert_file, settings.key_file)


if __name__ == "__main__":
    sys.exit(main())
