"""A telemetry database on a real PostgreSQL: the tests' own cluster, as the OTA server's tests have it."""

from contextlib import contextmanager

from host.db import migrate, open_engine
from tests.ota.postgresql import cluster


@contextmanager
def database():
    """An engine on an empty telemetry database at the newest schema, and its URL."""
    with cluster() as server:
        url = server.create()
        engine = open_engine(url)
        try:
            migrate(engine, "host.store")
            yield engine, url
        finally:
            engine.dispose()
