"""Runs the SenML server: `python -m host.ingest.senml_server --config FILE`. Ends with 0 at SIGTERM, 2 when it cannot start."""

import argparse
import logging
import sys
from pathlib import Path

from pydantic import Field

from host import logs
from host.clock import unix_ms
from host.db import DatabaseError, migrate, open_engine
from host.ingest.known import KnownDevices
from host.ingest.senml_http import create_app
from host.settings import Settings, SettingsError, load
from host.stopping import EXIT_CANNOT_START
from host.tls import TlsSettings, serve

log = logging.getLogger("host.ingest.senml_server")


class SenmlSettings(Settings):
    """What `python -m host.ingest.senml_server --config FILE` reads.

    Attributes:
        host: address to listen on.
        port: TCP port.
        cert_file: PEM chain of the server, leaf first.
        key_file: its PEM key.
        ca_file: PEM bundle of root and issuing CA that devices' certificates are verified against.
        crl_file: the issuing CA's list; revoked devices are refused. None: nobody is asked.
        database: URL of the telemetry database, ingest's; made and migrated when missing. Ingest applies quarantine's bounds.
        known_devices: as ingest's.
        senml_round: as ingest's.
        log_level: debug, info, warning or error.
    """

    host: str = "127.0.0.1"
    port: int = Field(8445, ge=0, le=65535)
    cert_file: Path
    key_file: Path
    ca_file: Path
    crl_file: Path | None = None
    database: str = "sqlite:///telemetry.db"
    known_devices: Path | None = None
    senml_round: bool = False
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m host.ingest.senml_server", description="Take SenML packs over HTTP.")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file; keys are those of SenmlSettings")
    arguments = parser.parse_args(argv)
    logs.begin()
    try:
        settings = load(SenmlSettings, arguments.config, env_prefix="TENFOLD_SENML_")
        logging.getLogger().setLevel(settings.log_level.upper())
        known = None if settings.known_devices is None else KnownDevices(settings.known_devices)
        engine = open_engine(settings.database, brief=True)
        migrate(engine, "host.store")
    except (SettingsError, DatabaseError) as error:
        log.error("cannot start: %s", error)
        return EXIT_CANNOT_START
    app = create_app(engine, unix_ms, known=known, rounding=settings.senml_round)
    tls = TlsSettings(
        cert_file=settings.cert_file, key_file=settings.key_file, ca_file=settings.ca_file, crl_file=settings.crl_file)
    return serve(app, settings.host, settings.port, tls)


if __name__ == "__main__":
    sys.exit(main())
