"""The ingest process: `python -m host.ingest --config FILE`. Ends with 0 at SIGTERM, 2 when it cannot start."""

import argparse
import logging
import signal
import sys
from pathlib import Path
from threading import Thread

from host.db import DatabaseError, migrate, open_engine
from host.ingest.ingest import Ingest
from host.ingest.scrape import serve
from host.ingest.settings import IngestSettings
from host.ingest.source_mqtt import MqttSource
from host.settings import SettingsError, load
from host.tls import client_context

EXIT_CRASHED = 1
EXIT_CANNOT_START = 2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_S = 3.0    # a commit that waits longer than this for the database is abandoned: nothing of it was acknowledged

log = logging.getLogger("host.ingest")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m host.ingest", description="Store what devices send, then acknowledge it.")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file; keys are those of IngestSettings")
    arguments = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = load(IngestSettings, arguments.config, env_prefix="TENFOLD_INGEST_")
        logging.getLogger().setLevel(settings.log_level.upper())
        source = MqttSource(settings, client_context(settings.ca_file, settings.cert_file, settings.key_file))
        engine = open_engine(settings.database)
        migrate(engine, "host.store")
        ingest = Ingest(source, engine, settings)
        if settings.metrics_port:
            serve(settings.metrics_port, ingest.samples)   # a daemon thread: it ends with the process
    except (SettingsError, DatabaseError) as error:
        log.error("cannot start: %s", error)
        return EXIT_CANNOT_START
    return _run(ingest)


def _run(ingest: Ingest) -> int:
    """Work in a thread until a signal; the main thread only waits, so that a busy database cannot delay the stop."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    worker = Thread(target=ingest.run, name="ingest", daemon=True)
    worker.start()
    while signal.sigtimedwait(STOP_SIGNALS, 1.0) is None:
        if not worker.is_alive():
            log.error("ended by a fault, see above")
            return EXIT_CRASHED
    ingest.stop()
    worker.join(STOP_S)
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
