"""TCP ports of a plant on this machine: which there are, and which are free now."""

import socket
from dataclasses import dataclass

from host.sim.errors import DemoError


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1."""

    console: int
    mqtt: int
    nats: int
    monitor: int
    ota: int
    enrol: int
    upkeep: int   # its metrics


def require_free_port(port: int) -> None:
    """Refuse a port that somebody listens on.

    Raises:
        DemoError: it is taken, or this user may not open it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise DemoError(f"port {port} on 127.0.0.1: {error.strerror}; free it or take another: make demo PORT=8080") from None


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
