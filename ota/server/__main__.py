"""Runs the update server: `python -m ota.server --config FILE`."""

import argparse
import logging
import sys
from pathlib import Path

from host.db import DatabaseError
from host.settings import SettingsError, load
from host.stopping import EXIT_CANNOT_START
from host.tls import serve
from ota.archive.folder import ArchiveError
from ota.release.keys import KeyFileError
from ota.server.app import create_app
from ota.server.settings import OtaSettings

log = logging.getLogger("ota.server")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; give the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m ota.server", description="The update server.")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file, see ota/SPEC.md")
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    logging.getLogger("ota").setLevel(logging.INFO)
    try:
        settings = load(OtaSettings, options.config, env_prefix="TENFOLD_OTA_")
        app = create_app(settings)
    except (SettingsError, KeyFileError, DatabaseError, ArchiveError) as error:
        log.error("cannot start: %s", error)   # one line, no traceback: it is the user's to mend
        return EXIT_CANNOT_START
    return serve(app, settings.host, settings.port, settings.tls())


if __name__ == "__main__":
    sys.exit(main())
