"""The order in which a broker is examined, and what is left out for want of an identity."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from host.doctor import sessions
from host.doctor.codes import CODES, Finding, untried
from host.doctor.doors import doors, old_tls
from host.doctor.foreign import GROUP, Foreign
from host.doctor.identity import Identity
from host.doctor.mqtt import Address
from host.doctor.rights import Rights, let_in
from host.settings import SettingsError

PLAIN_PORT = 1883   # IANA's for MQTT without TLS


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Case:
    """What is examined and with whom: a device, another, one that may do what ingest may, and a device that is not ours."""

    address: Address
    ca_file: Path
    device: Pair
    second: Pair | None = None
    ingest: Pair | None = None
    plain_ports: tuple[int, ...] = (PLAIN_PORT,)
    messages: int = sessions.MESSAGES
    foreign: Pair | None = None


def broker(case: Case, step: Callable[[str], None]) -> Iterator[Finding]:
    """Examine a running broker; `step` is told what comes next.

    Raises:
        DoctorError: it is away, or does not let the identities in.
        SettingsError: a file is not what it should be.
    """
    mark = secrets.token_hex(4)
    one = _identity(case, case.device)
    step("doors")
    with let_in(one):
        pass
    yield from doors(case.address, case.ca_file, one.name, case.plain_ports)
    yield old_tls(case.address, case.ca_file, one.cert_file, one.key_file, one.name)
    other = None if case.second is None else _identity(case, case.second)
    stranger = None if case.foreign is None else _identity(case, case.foreign)
    listener = None if case.ingest is None else _identity(case, case.ingest, f"doctor-{mark}")
    if other is not None and other.name == one.name:
        raise SettingsError("second-cert", f"another certificate of {one.name}", "one of another device")
    if stranger is not None and stranger.name in {one.name, other.name if other else ""}:
        raise SettingsError("foreign-cert", f"another certificate of {stranger.name}", "one of a device that is not ours")
    if other is not None and listener is not None:
        step("names")
        yield from sessions.names(one, other, listener, mark)
        step("rights")
        yield from Rights(one, other, listener, mark).findings()
        if stranger is not None:
            step("foreign devices")
            yield from Foreign(stranger, one, other, listener, mark).findings()
    if listener is not None:
        step("queues")
        yield from sessions.queue(one, listener, mark, case.messages)
    for code in CODES:
        group = code.partition(".")[0]
        if group in {"name", "rights"} and (other is None or listener is None):
            yield untried(code, CODES[code].means, "it takes --second-cert and --ingest-cert")
        if group == GROUP and (stranger is None or other is None or listener is None):
            yield untried(code, CODES[code].means, "it takes --foreign-cert, --second-cert and --ingest-cert")
        if group in {"queue", "size"} and listener is None:
            yield untried(code, CODES[code].means, "it takes --ingest-cert")


def _identity(case: Case, pair: Pair, client_id: str = "") -> Identity:
    return Identity.load(case.address, case.ca_file, pair.cert, pair.key, client_id)
