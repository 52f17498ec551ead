"""Runs the enrolment server: `python -m provisioning.enrol --config FILE`."""

import argparse
import logging
import sys
from pathlib import Path

from host.db import DatabaseError
from host.settings import SettingsError, load
from host.stopping import EXIT_CANNOT_START
from host.tls import serve
from ota.release.keys import KeyFileError
from provisioning.enrol.app import create_app
from provisioning.enrol.settings import EnrolSettings
from provisioning.pki import PkiError

log = logging.getLogger("provisioning.enrol")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; give the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m provisioning.enrol", description="The enrolment server (EST, RFC 7030).")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file, see provisioning/README.md")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    logging.getLogger("provisioning").setLevel(logging.INFO)
    try:
        settings = load(EnrolSettings, options.config, env_prefix="TENFOLD_ENROL_")
        app = create_app(settings)
    except (SettingsError, PkiError, KeyFileError, DatabaseError) as error:
        log.error("cannot start: %s", error)
        return EXIT_CANNOT_START
    return serve(app, settings.host, settings.port, settings.tls())


if __name__ == "__main__":
    sys.exit(main())
