"""The samples that rules are evaluated over, from the telemetry database.

Decides no figure: a device's link and its newest record are rows of ingest, and quarantine has its own sum.
"""

from collections.abc import Callable

from sqlalchemy import Engine, select

from host.monitor.sample import Sample
from host.store.tables import presence, progress, tally


def reader(engine: Engine) -> Callable[[int], list[Sample]]:
    """Make the function that reads all samples as of a time (Unix milliseconds)."""

    def read(now_ms: int) -> list[Sample]:
        with engine.connect() as connection:
            found = [
                Sample("tenfold_ingest_quarantined_total", {}, value)
                for (value,) in connection.execute(select(tally.c.value).where(tally.c.name == "quarantined"))
            ]
            for row in connection.execute(select(presence.c.device, presence.c.online, presence.c.since_ms, presence.c.release)):
                labels = {"device": row.device, "release": row.release}
                offline_s = 0.0 if row.online else (now_ms - row.since_ms) / 1000
                found += [Sample("tenfold_device_online", labels, float(row.online)),
                          Sample("tenfold_device_offline_seconds", labels, offline_s)]
            records = select(progress.c.device, progress.c.last_ms, progress.c.lost_by_overflow)
            for device, last_ms, lost in connection.execute(records):
                found += [Sample("tenfold_device_record_age_seconds", {"device": device}, (now_ms - last_ms) / 1000),
                          Sample("tenfold_device_overflow_records", {"device": device}, lost)]
        return found

    return read
