"""The alerts process of `tenfold alerts run`: ends with 0 at SIGTERM, with 2 when it cannot start, with 1 after a fault of its own.

Where samples come from is the caller's: sites and models are the update server's to tell, which nothing in here may ask.
"""

import logging
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event, Thread

from host import logs, stopping
from host.clock import unix_ms
from host.db import DatabaseError, migrate, open_engine
from host.monitor.alerting.rules import load_rules
from host.monitor.alerting.runner import Runner
from host.monitor.alerting.sender import Sender
from host.monitor.alerting.settings import AlertSettings
from host.monitor.alerting.targets import make_targets
from host.monitor.sample import Sample
from host.settings import SettingsError, load

ENV_PREFIX = "TENFOLD_ALERTS_"

Reader = Callable[[int], Iterable[Sample]]   # all samples as of a time, Unix milliseconds
log = logging.getLogger("host.monitor.alerting")


def run(config: Path, make_reader: Callable[[AlertSettings], Reader]) -> int:
    """Evaluate and tell until a signal; gives the exit code."""
    logs.begin()
    try:
        settings = load(AlertSettings, config, env_prefix=ENV_PREFIX)
        logging.getLogger().setLevel(settings.log_level.upper())
        rules = load_rules(settings.rules)
        targets = make_targets(settings)
        engine = open_engine(settings.database)
        migrate(engine, "host.store")
    except (SettingsError, DatabaseError) as error:
        log.error("cannot start: %s", error)
        return stopping.EXIT_CANNOT_START
    if not targets:
        log.warning("no target is set: alerts are kept and listed, nobody is told")
    senders = [Sender(each, engine, unix_ms, random.SystemRandom().random) for each in targets]

    def wake() -> None:
        for each in senders:
            each.wake.set()

    runner = Runner(rules, engine, targets, make_reader(settings), unix_ms, evaluate_s=settings.evaluate_s,
                    history_days=settings.history_days, told=wake)
    stop = Event()

    def end() -> None:
        stop.set()
        for each in senders:
            each.stop()

    threads = [Thread(target=runner.run, args=(stop,), name="alerts", daemon=True)]
    threads += [Thread(target=each.run, name=f"to-{each.target.name}", daemon=True) for each in senders]
    return stopping.work(threads, end)
