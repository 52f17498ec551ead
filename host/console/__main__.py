"""The console process: `python -m host.console --config FILE`. Ends with 0 at SIGTERM, 2 when it cannot start."""

import argparse
import logging
import sys
from pathlib import Path

from host import logs
from host.console.app import create_app
from host.console.settings import ConsoleSettings
from host.settings import SettingsError, load
from host.stopping import EXIT_CANNOT_START
from host.tls import serve

HOST = "127.0.0.1"   # never another: the console asks nobody who they are

log = logging.getLogger("host.console")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m host.console", description="Show the fleet in a web browser.")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file; keys are those of ConsoleSettings")
    arguments = parser.parse_args(argv)
    logs.begin()
    try:
        settings = load(ConsoleSettings, arguments.config, env_prefix="TENFOLD_CONSOLE_")
        logging.getLogger().setLevel(settings.log_level.upper())
        app = create_app(settings)
    except SettingsError as error:
        log.error("cannot start: %s", error)
        return EXIT_CANNOT_START
    log.info("http://%s:%d", HOST, settings.port)
    return serve(app, HOST, settings.port, None)


if __name__ == "__main__":
    sys.exit(main())
