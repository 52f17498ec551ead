"""The configuration of Mosquitto, the other broker that devices may be served by.

Decides who may connect (a certificate of ours that is not revoked; its name is user and client id) and what each may publish and
subscribe. Every device has lines of its own in the ACL file, where a pattern would do: Mosquitto ends no session of a certificate
that is revoked, but applies a new ACL file to the sessions that there are, and who is not in it can neither publish nor receive.
Renders text and writes it; starting the process and sending SIGHUP are the caller's.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from host import broker
from host.broker import Permissions, accounts
from host.files import write_whole
from host.settings import Settings

WORKERS = 8   # of ingest that are let in, each by a certificate of its own: the name becomes the client id

SERVICES: Mapping[str, Permissions] = {
    **{name: permissions for name, permissions in broker.SERVICES.items() if permissions.publish},   # others come by NATS alone
    **{f"svc.ingest{number}": broker.SERVICES["svc.ingest"] for number in range(1, WORKERS + 1)},
}


class MosquittoSettings(Settings):
    """What Mosquitto's configuration is made of.

    Attributes:
        host: address to listen on.
        port: MQTT over TLS.
        cert_file: PEM chain of the broker, leaf first.
        key_file: its PEM key.
        ca_file: PEM bundle of root and issuing CA that client certificates are verified against.
        crl_file: the issuing CA's list (`crl_files` of the enrolment server). Past its end Mosquitto lets nobody in.
        acl_file: who may do what (`acl_files` of the enrolment server).
        pid_file: where it writes its process id (`broker_pid_files`).
        max_queued_messages: kept for a client that does not keep up; its own default, 1,000, is passed in a stall of a second.
        max_payload_bytes: one message; a ring record is at most 2048.
        user: whom it becomes when root starts it.
    """

    host: str = "127.0.0.1"
    port: int = 8883
    cert_file: Path
    key_file: Path
    ca_file: Path
    crl_file: Path
    acl_file: Path
    pid_file: Path
    max_queued_messages: int = 100_000
    max_payload_bytes: int = 64 << 10
    user: str = "mosquitto"


def render(settings: MosquittoSettings) -> str:
    """Render the configuration file."""
    return f"""\
# Rendered by host.mosquitto; edit the settings, not this file.
user {settings.user}
pid_file {settings.pid_file}
log_dest stderr
listener {settings.port} {settings.host}
cafile {settings.ca_file}
certfile {settings.cert_file}
keyfile {settings.key_file}
crlfile {settings.crl_file}
require_certificate true
use_identity_as_username true
use_username_as_clientid true
allow_anonymous false
acl_file {settings.acl_file}
max_queued_messages {settings.max_queued_messages}
message_size_limit {settings.max_payload_bytes}
persistence false
"""


def render_acl(
    device_ids: Iterable[str], services: Mapping[str, Permissions] = SERVICES, foreign_ids: Iterable[str] = (),
) -> str:
    """Render the ACL file.

    Raises:
        BrokerError: as host.broker.accounts.
    """
    users = accounts(device_ids, foreign_ids, services)
    return "# Rendered by host.mosquitto. After a change: SIGHUP to the broker.\n" + "".join(
        _user(name, permissions) for name, permissions in users.items())


def write_acl(path: Path, device_ids: Iterable[str], foreign_ids: Iterable[str] = ()) -> None:
    """Replace the ACL file in one step; Mosquitto reads it at its next SIGHUP and keeps its connections."""
    write_whole(path, render_acl(device_ids, foreign_ids=foreign_ids))


def _user(name: str, permissions: Permissions) -> str:
    lines = [f"topic write {_topic(each)}" for each in permissions.publish]
    lines += [f"topic read {_topic(each)}" for each in permissions.subscribe]
    return "\n".join([f"\nuser {name}", *lines, ""])


def _topic(subject: str) -> str:
    return subject.replace(".", "/").replace("*", "+")
