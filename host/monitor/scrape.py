"""A process's own figures for Prometheus: `GET /metrics` on 127.0.0.1, never another address, since it asks nobody who they are."""

from collections.abc import Callable, Iterable

from prometheus_client import start_http_server

from host.monitor.exposition import registry
from host.monitor.sample import Sample
from host.settings import SettingsError

HOST = "127.0.0.1"


def serve(port: int, ask: Callable[[], Iterable[Sample]]) -> Callable[[], None]:
    """Answer scrapes on a thread of its own until what it returns is called.

    Raises:
        SettingsError: the port is taken.
    """
    try:
        server, thread = start_http_server(port, HOST, registry(ask))
    except OSError as error:
        raise SettingsError("metrics_port", f"{port} ({error.strerror})", f"a free port of {HOST}, or 0 for none") from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
