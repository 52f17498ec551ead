"""What can be wrong with a broker or a database, how bad it is, and what to change in which file.

Decides severity and words from what a probe saw; tries nothing itself. A finding that is fine is told too: what was not looked at
must not look like what is well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """How bad a finding is; the first two end `tenfold doctor` with exit code 1."""

    LOSES = "loses"            # readings that were acknowledged, or the readings of a device that is told a lie
    LETS_IN = "lets in"        # a stranger, or a device where it does not belong
    WARNING = "warning"        # a nuisance, or a wall less behind the one that holds
    FINE = "fine"
    UNTRIED = "not tried"      # an identity that it needs was not given, or the broker ended the test


@dataclass(frozen=True)
class Code:
    """One thing that can be wrong.

    Attributes:
        severity: when it is.
        means: what an attacker or an outage makes of it.
        mend: by broker or database, what to change and where.
    """

    severity: Severity
    means: str
    mend: Mapping[str, str]


@dataclass(frozen=True)
class Finding:
    """What was tried and what happened; `mend` is empty where nothing is to be done."""

    code: str
    severity: Severity
    tried: str
    happened: str
    means: str = ""
    mend: Mapping[str, str] = field(default_factory=dict)


_NATS, _MOSQUITTO, _EMQX = "nats-server, nats.conf", "Mosquitto, mosquitto.conf", "EMQX, base.hocon"
_USERS, _ACL, _RULES = "nats-server, users.conf", "Mosquitto, its acl_file", "EMQX, acl.conf"
_DOORS = {
    _USERS: "render it anew (deploy/nats): each certificate has its own topics and no wildcard",
    _ACL: "render it anew (deploy/mosquitto) and set `acl_file`: lines under `user` for each certificate, no `topic` before the "
          "first `user`, no `pattern` that another's name fits",
    _RULES: "render it anew (deploy/emqx), last rule `{deny, all}.`, and `authorization.no_match = deny` in base.hocon",
}

CODES: Mapping[str, Code] = {
    "door.no_certificate": Code(
        Severity.LETS_IN, "whoever reaches the port is a client", {
            _NATS: "`verify_and_map: true` in the `tls` of `mqtt`",
            _MOSQUITTO: "`require_certificate true`, `allow_anonymous false`",
            _EMQX: "`ssl_options { verify = verify_peer, fail_if_no_peer_cert = true }` of the listener"}),
    "door.foreign_ca": Code(
        Severity.LETS_IN, "anybody can make a certificate with a device's name", {
            _NATS: "`ca_file` in the `tls` of `mqtt`: your CA alone, with `verify_and_map: true`",
            _MOSQUITTO: "`cafile`: your CA alone, no `capath`; `require_certificate true`",
            _EMQX: "`ssl_options.cacertfile`: your CA alone, with `verify = verify_peer`"}),
    "door.plain": Code(
        Severity.LETS_IN, "no certificate is asked there, and everything can be read on the way", {
            _NATS: "one `listen` in `mqtt`, with its `tls`; no `no_auth_user`",
            _MOSQUITTO: "no second `listener` or `port`; with `per_listener_settings` each one needs its own settings",
            _EMQX: "`listeners.tcp.default.enable = false`, so for `ws` and `wss`"}),
    "door.old_tls": Code(
        Severity.WARNING, "TLS below 1.2 has known weaknesses", {
            _NATS: "`min_version: \"1.2\"` in its `tls`", _MOSQUITTO: "`tls_version tlsv1.2`",
            _EMQX: "`ssl_options.versions = [\"tlsv1.3\", \"tlsv1.2\"]`"}),
    "name.user": Code(
        Severity.LETS_IN, "a user name that anybody may send decides what a client may do", {
            _NATS: "`verify_and_map: true`; users named by their certificate's subject, without passwords",
            _MOSQUITTO: "`use_identity_as_username true`", _EMQX: "`mqtt.peer_cert_as_username = cn`"}),
    "name.client_id": Code(
        Severity.WARNING, "a device can end another's connection again and again; it reads and writes nothing as the other", {
            _NATS: "cannot be bound; that is why permissions go by certificate and devices use clean sessions",
            _MOSQUITTO: "`use_username_as_clientid true`", _EMQX: "`mqtt.peer_cert_as_clientid = cn`"}),
    "name.session_read": Code(
        Severity.LETS_IN, "what waits for a device is given to another that takes its client id", {
            _NATS: "keep the release that deploy/nats names: it restores a session under the thief's own permissions",
            _MOSQUITTO: "`use_username_as_clientid true`", _EMQX: "`mqtt.peer_cert_as_clientid = cn`"}),
    "name.session_deleted": Code(
        Severity.WARNING, "a device can delete what waits for another; the rings hold it until ingest's own ack", {
            _NATS: "cannot be bound; keep nothing of value in a session",
            _MOSQUITTO: "`use_username_as_clientid true`", _EMQX: "`mqtt.peer_cert_as_clientid = cn`"}),
    "rights.own": Code(
        Severity.LOSES, "a device's own batches do not reach ingest, though they may be acknowledged", _DOORS),
    "rights.publish": Code(Severity.LETS_IN, "a device can send readings and states as another", _DOORS),
    "rights.retain": Code(Severity.LETS_IN, "a device can leave a state for another that everybody is told from now on", _DOORS),
    "rights.will": Code(Severity.LETS_IN, "a device can have the broker say that another is gone", _DOORS),
    "rights.ack": Code(
        Severity.LOSES, "a forged ack empties a ring of readings that no database has", _DOORS),
    "rights.subscribe": Code(Severity.LETS_IN, "a device can read what others send or are told", _DOORS),
    "rights.sys": Code(Severity.WARNING, "a device can read about the broker, its clients and its load", _DOORS),
    "rights.share": Code(
        Severity.WARNING, "a device that joins a group of workers takes its share of the batches away; the rings send them again", {
            _NATS: "has no shared subscriptions over MQTT; workers use JetStream",
            _MOSQUITTO: "the ACL file does not look at subscriptions: run one ingest, or keep the group's name secret",
            _RULES: "allow `subscribe` of the group's topics to ingest alone, last rule `{deny, all}.`"}),
    "foreign.own": Code(
        Severity.LOSES, "the packs of a device that is not ours do not reach ingest, though they may be acknowledged", _DOORS),
    "foreign.publish": Code(
        Severity.LETS_IN, "a device that is not ours can send as one that is, or as another, or one of ours as one that is not",
        _DOORS),
    "foreign.subscribe": Code(Severity.LETS_IN, "a device that is not ours can read what others send or are told", _DOORS),
    "queue.drops": Code(
        Severity.LOSES, "what was acknowledged is gone when a subscriber stalls; only ingest's own ack makes that harmless", {
            _NATS: "does not drop; look at `max_file_store` and the log",
            _MOSQUITTO: "`max_queued_messages 100000` (its default is 1000; 0 has no limit), no `max_queued_bytes`",
            _EMQX: "`mqtt.max_mqueue_len = 100000` (its default is 1000)"}),
    "queue.offline": Code(
        Severity.LOSES, "what is acknowledged while a subscriber with a session is away is gone", {
            _NATS: "`jetstream` with a `store_dir` on a disk", _MOSQUITTO: "no `persistent_client_expiration` below a day, "
            "`max_queued_messages 100000`", _EMQX: "`mqtt.session_expiry_interval = 2h` or more, `mqtt.max_mqueue_len = 100000`"}),
    "size.batch": Code(
        Severity.LOSES, "a batch that a device may send does not pass, though it is acknowledged", {
            _NATS: "`max_payload: 65536`", _MOSQUITTO: "`message_size_limit 65536`, or none",
            _EMQX: "`mqtt.max_packet_size = 64KB` or more"}),
    "database.sync": Code(
        Severity.LOSES, "a power cut takes back what was acknowledged", {
            "SQLite": "WAL and synchronous=FULL; open it with Tenfold only",
            "PostgreSQL, postgresql.conf": "`fsync = on`, `full_page_writes = on`; `synchronous_commit` not `off` for Tenfold"}),
    "database.place": Code(
        Severity.LOSES, "a restart, or a network that hiccups, takes back what was acknowledged", {
            "SQLite": "a file on a disk of this machine: no tmpfs, no network file system"}),
    "database.room": Code(
        Severity.LOSES, "when the disk is full nothing is stored any more, and rings overflow in the end", {
            "any": "make room, or set retention: `tenfold telemetry --help`"}),
    "database.writes": Code(
        Severity.LOSES, "nothing can be stored there", {
            "PostgreSQL": "name the primary, not a standby, and a user who may write", "SQLite": "rights of file and folder"}),
}


def judge(code: str, bad: bool, tried: str, happened: str) -> Finding:
    """A finding, bad or fine."""
    what = CODES[code]
    return Finding(code, what.severity, tried, happened, what.means, what.mend) if bad else Finding(
        code, Severity.FINE, tried, happened)


def untried(code: str, tried: str, why: str) -> Finding:
    """A finding that there is none."""
    return Finding(code, Severity.UNTRIED, tried, why)


def is_bad(findings: Iterable[Finding]) -> bool:
    """Whether something loses data or lets somebody in."""
    return any(one.severity in {Severity.LOSES, Severity.LETS_IN} for one in findings)


def lost(sent: int, came: Iterable[int]) -> int:
    """How many of the numbers 0 … sent - 1 did not come, however often the others did."""
    return sent - len(set(came) & set(range(sent)))
