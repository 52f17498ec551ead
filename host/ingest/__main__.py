"""The ingest process: `python -m host.ingest --config FILE`. Ends with 0 at SIGTERM, 2 when it cannot start."""

import argparse
import logging
import os
import sys
from pathlib import Path
from threading import Thread

from host import logs, stopping
from host.db import DatabaseError, migrate, open_engine
from host.ingest.ingest import Ingest
from host.ingest.settings import IngestSettings
from host.ingest.source import Source
from host.ingest.source_mqtt import MqttSource
from host.ingest.source_nats import NatsSource
from host.ingest.workers import supervise
from host.monitor.scrape import serve
from host.settings import SettingsError, load
from host.tls import client_context

log = logging.getLogger("host.ingest")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m host.ingest", description="Store what devices send, then acknowledge it.")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file; keys are those of IngestSettings")
    parser.add_argument("--workers", type=int, help="processes side by side; default: `workers` of the settings")
    arguments = parser.parse_args(argv)
    logs.begin()
    try:
        settings = load(IngestSettings, arguments.config, env_prefix="TENFOLD_INGEST_")
        logging.getLogger().setLevel(settings.log_level.upper())
        count = settings.workers if arguments.workers is None else arguments.workers
        if count > 1 and not settings.worker:
            _check_shared(settings, count)
            return supervise(arguments.config, count)
        source = open_source(settings)
        engine = open_engine(settings.database, brief=True)
        migrate(engine, "host.store")
        ingest = Ingest(source, engine, settings)
        if settings.metrics_port:
            serve(settings.metrics_port + max(0, settings.worker - 1), ingest.samples)   # a daemon thread: it ends with the process
    except (SettingsError, DatabaseError) as error:
        log.error("cannot start: %s", error)
        return stopping.EXIT_CANNOT_START
    return _run(ingest, os.getppid() if settings.worker else None)


def open_source(settings: IngestSettings) -> Source:
    """Make the source that the settings name.

    Raises:
        SettingsError: a certificate or key is unusable.
    """
    cert_file, key_file = settings.identity()
    tls = client_context(settings.ca_file, cert_file, key_file)
    return NatsSource(settings, tls) if settings.source == "jetstream" else MqttSource(settings, tls)


def _check_shared(settings: IngestSettings, count: int) -> None:
    if settings.source == "mqtt" and not settings.group:
        raise SettingsError(
            "group", f"none for {count} workers", "a name for `$share` (Mosquitto, EMQX), or source = \"jetstream\" (nats-server)",
        )


def _run(ingest: Ingest, parent: int | None) -> int:
    """Work until a signal.

    Args:
        parent: a worker ends when its parent is gone; None has none.
    """
    def has_parent() -> bool:
        if parent is None or os.getppid() == parent:
            return True
        log.error("the process that started this worker is gone")
        return False

    return stopping.work([Thread(target=ingest.run, name="ingest", daemon=True)], ingest.stop, has_parent)


if __name__ == "__main__":
    sys.exit(main())
