"""The configuration of EMQX, a broker for plants that need several nodes or shared subscriptions.

Decides who may connect (a certificate of ours; its name is user and client id) and what each may publish and subscribe. Renders
text; starting EMQX and having it read its rules anew are the caller's. What comes out was held against EMQX's sources and not run
on a real one: deploy/emqx/README.md tells what follows from that.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from host.broker import Permissions, accounts
from host.mosquitto import SERVICES  # as there, each ingest worker has a certificate: the name becomes the client id
from host.settings import Settings

CONFIG_FILE, ACL_FILE = "base.hocon", "acl.conf"
DEVICE_PATTERN = "^[a-z0-9]{1,16}-[0-9a-f]{12}$"   # node.wire.identity.is_device_id


class EmqxSettings(Settings):
    """What EMQX's configuration is made of.

    Attributes:
        host: address to listen on.
        port: MQTT over TLS.
        cert_file: PEM chain of the broker, leaf first.
        key_file: its PEM key.
        ca_file: PEM bundle of root and issuing CA that client certificates are verified against.
        acl_file: who may do what.
        max_connections: sockets of this node.
        max_queued_messages: kept for a client that does not keep up; its own default, 1,000, is passed in a stall of a second.
        session_mb: memory of one client's process, above which EMQX ends it and its session, 32 by default: the queue must fit.
            So it ends one with more messages to look at than `max_mailbox_size`, 1,000 by default; that follows the queue.
        session_expiry_h: hours that a session outlives its connection.
        max_payload_bytes: one packet; a ring record is at most 2048.
    """

    host: str = "127.0.0.1"
    port: int = 8883
    cert_file: Path
    key_file: Path
    ca_file: Path
    acl_file: Path
    max_connections: int = 100_000
    max_queued_messages: int = 100_000
    session_mb: int = 256
    session_expiry_h: int = 2
    max_payload_bytes: int = 64 << 10


def render(settings: EmqxSettings) -> str:
    """Render the configuration file, for `etc/base.hocon` of EMQX 5.1 or later.

    `enable_authn` is false since TLS has let nobody in without a certificate of ours, and there is no list of passwords to
    ask: where EMQX_SECURITY_PROFILE is `hardened`, and by default from 7.0 on, EMQX would refuse whoever no list knows.
    """
    return f"""\
# Rendered by host.emqx; edit the settings, not this file.
listeners {{
  ssl.default {{
    bind = {_quote(f"{settings.host}:{settings.port}")}
    max_connections = {settings.max_connections}
    enable_authn = false
    ssl_options {{
      cacertfile = {_quote(settings.ca_file)}
      certfile = {_quote(settings.cert_file)}
      keyfile = {_quote(settings.key_file)}
      verify = verify_peer
      fail_if_no_peer_cert = true
      versions = ["tlsv1.3", "tlsv1.2"]
    }}
  }}
  tcp.default.enable = false
  ws.default.enable = false
  wss.default.enable = false
}}
mqtt {{
  peer_cert_as_username = cn
  peer_cert_as_clientid = cn
  max_qos_allowed = 1
  max_packet_size = "{settings.max_payload_bytes >> 10}KB"
  max_mqueue_len = {settings.max_queued_messages}
  session_expiry_interval = "{settings.session_expiry_h}h"
}}
force_shutdown {{
  max_heap_size = "{settings.session_mb}MB"
  max_mailbox_size = {settings.max_queued_messages}
}}
authorization {{
  no_match = deny
  deny_action = ignore
  sources = [{{type = file, enable = true, path = {_quote(settings.acl_file)}}}]
}}
"""


def render_acl(
    device_ids: Iterable[str] | None, services: Mapping[str, Permissions] = SERVICES, foreign_ids: Iterable[str] = (),
) -> str:
    """Render the rules; the first that fits counts, the last one denies.

    Args:
        device_ids: each gets rules of its own. None: one pair of rules for whoever has a device's name, for fleets of more than
            some hundred. Then a revoked device is kept out by its certificate's end alone, and a foreign one may send as ours
            under its own id.

    Raises:
        BrokerError: as host.broker.accounts.
    """
    users = accounts(device_ids or (), foreign_ids, services)
    rules = "".join(_rules(json.dumps(name), permissions) for name, permissions in users.items())
    if device_ids is None:   # behind those that are named: the first rule that fits counts
        own = Permissions(publish=("t.${username}.up", "t.${username}.state"), subscribe=("t.${username}.ack",))
        rules += _rules("{re, " + json.dumps(DEVICE_PATTERN) + "}", own)
    return f"%% Rendered by host.emqx. EMQX reads it when it starts, or when it is told by its API.\n{rules}{{deny, all}}.\n"


def _rules(who: str, permissions: Permissions) -> str:
    rows = (("publish", permissions.publish), ("subscribe", permissions.subscribe))
    return "".join(
        f"{{allow, {{username, {who}}}, {action}, [{', '.join(map(_topic, subjects))}]}}.\n"
        for action, subjects in rows if subjects)


def _topic(subject: str) -> str:
    return json.dumps(subject.replace(".", "/").replace("*", "+"))


def _quote(value: object) -> str:
    return json.dumps(str(value))
