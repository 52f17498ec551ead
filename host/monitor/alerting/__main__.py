"""The alerts process: `python -m host.monitor.alerting --config FILE`. Ends with 0 at SIGTERM, 2 when it cannot start."""

import argparse
import logging
import random
import signal
import sys
import time
from pathlib import Path
from threading import Event, Thread

from host.db import DatabaseError, migrate, open_engine
from host.monitor.alerting.rules import load_rules
from host.monitor.alerting.runner import Runner
from host.monitor.alerting.sender import Sender
from host.monitor.alerting.settings import AlertSettings
from host.monitor.alerting.source import reader
from host.monitor.alerting.targets import make_targets
from host.settings import SettingsError, load

EXIT_CRASHED = 1
EXIT_CANNOT_START = 2
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
STOP_S = 3.0    # a try that hangs longer is left: it is made again at the next start
ENV_PREFIX = "TENFOLD_ALERTS_"

log = logging.getLogger("host.monitor.alerting")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m host.monitor.alerting", description="Evaluate alert rules, and tell of them.")
    parser.add_argument("--config", type=Path, required=True, help="TOML or JSON file; keys are those of AlertSettings")
    arguments = parser.parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("alembic", "httpx", "httpcore"):   # httpx tells each URL otherwise
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        settings = load(AlertSettings, arguments.config, env_prefix=ENV_PREFIX)
        logging.getLogger().setLevel(settings.log_level.upper())
        rules = load_rules(settings.rules)
        targets = make_targets(settings)
        engine = open_engine(settings.database)
        migrate(engine, "host.store")
    except (SettingsError, DatabaseError) as error:
        log.error("cannot start: %s", error)
        return EXIT_CANNOT_START
    if not targets:
        log.warning("no target is set: alerts are kept and listed, nobody is told")
    senders = [Sender(each, engine, now_ms, random.SystemRandom().random) for each in targets]

    def wake() -> None:
        for each in senders:
            each.wake.set()

    runner = Runner(rules, engine, targets, reader(engine), now_ms, evaluate_s=settings.evaluate_s,
                    history_days=settings.history_days, told=wake)
    return _run(runner, senders)


def _run(runner: Runner, senders: list[Sender]) -> int:
    """Work in threads until a signal; the main thread only waits."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    stop = Event()
    evaluating = Thread(target=runner.run, args=(stop,), name="alerts", daemon=True)
    sending = [Thread(target=each.run, name=f"to-{each.target.name}", daemon=True) for each in senders]
    for each in (evaluating, *sending):
        each.start()
    code = 0
    while signal.sigtimedwait(STOP_SIGNALS, 1.0) is None:
        if not all(each.is_alive() for each in (evaluating, *sending)):
            log.error("ended by a fault, see above")
            code = EXIT_CRASHED
            break
    stop.set()
    for sender in senders:
        sender.stop()
    until_s = time.monotonic() + STOP_S
    for each in (evaluating, *sending):
        each.join(max(0.0, until_s - time.monotonic()))
    log.info("stopped")
    return code


if __name__ == "__main__":
    sys.exit(main())
