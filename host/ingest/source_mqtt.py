"""The broker's side of ingest: MQTT 3.1.1 or 5 over mutual TLS with paho.

Decides sessions and acknowledgements: QoS 1, and a PUBACK only for what is settled, so that the broker keeps the rest. One worker
alone has a persistent session under a fixed client id, which outlives any crash of ours. Workers of a group have clean sessions
under ids of their own and share the records (`$share`): what was on its way to one that died, the broker drops, and devices
send again. States are not shared, since two workers would store them in any order: the one that leads hears them all, and
the retained ones when it begins to. Connects again for ever with a growing delay. Knows nothing of what messages mean.
"""

import logging
import secrets
import socket
import ssl
from collections.abc import Iterable
from threading import Lock, Thread
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from host.ingest import senml
from host.ingest.inbox import Inbox, Message
from host.ingest.sort import senml_topic
from node.wire import topics

log = logging.getLogger(__name__)

RECORDS = (f"t/+/{topics.UP}", senml_topic("+", senml.JSON), senml_topic("+", senml.CBOR))
STATES = f"t/+/{topics.STATE}"
QOS = 1
RECONNECT_MIN_S = 1
STOP_S = 1.0     # a stop waits this long for the farewell; an attempt to connect may hang longer
REFUSED = 0x80   # SUBACK's return code for a filter that the broker does not grant (MQTT 3.1.1, 3.9.3)
RECEIVE_MAX = 65_535      # the most that MQTT 5 lets a client name (3.1.2.11.3)
SESSION_S = 7 * 86_400    # MQTT 5: how long the broker keeps a persistent session; 3.1.1 cannot say


class _Link(Protocol):
    """The settings of one broker link; IngestSettings has them."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def client_id(self) -> str: ...
    @property
    def mqtt_version(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def inbox_max(self) -> int: ...
    @property
    def keepalive_s(self) -> int: ...
    @property
    def reconnect_max_s(self) -> int: ...


class MqttSource:
    """A source (see source.py) on one MQTT broker. Its callbacks run in paho's thread."""

    def __init__(self, link: _Link, tls: ssl.SSLContext) -> None:
        self._link, self._inbox = link, Inbox(0)
        self._connection, self._refused, self._lock = 0, 0, Lock()
        self._hears = not link.group
        self._asked: dict[int, list[str]] = {}   # filters on their way, by the packet's id
        self._client_id = f"{link.client_id}-{secrets.token_hex(4)}" if link.group else link.client_id
        self._five = link.mqtt_version == "5"
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self._client_id, manual_ack=True,
            clean_session=None if self._five else bool(link.group),
            protocol=MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311,
        )
        client.tls_set_context(tls)
        client.reconnect_delay_set(RECONNECT_MIN_S, link.reconnect_max_s)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_subscribe = self._on_connect_fail, self._on_subscribe
        client.on_message, client.on_socket_open = self._on_message, _at_once
        self._client = client

    def start(self, inbox: Inbox) -> None:
        self._inbox = inbox
        more: dict[str, Any] = {"clean_start": bool(self._link.group), "properties": self._wishes()} if self._five else {}
        self._client.connect_async(self._link.host, self._link.port, keepalive=self._link.keepalive_s, **more)
        self._client.loop_start()

    def settle(self, messages: Iterable[Message]) -> None:
        for message in messages:
            connection, mid, qos = message.token   # as _on_message made it
            if connection == self._connection:     # an id of an earlier connection may mean another message by now
                self._client.ack(mid, qos)

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=0)

    def hear_states(self, *, hear: bool) -> None:
        if not self._link.group or hear is self._hears:
            return
        self._hears = hear
        if hear:
            self._subscribe([STATES])
        else:
            self._client.unsubscribe(STATES)

    def recover(self) -> None:
        with self._lock:
            refused, self._refused = self._refused, 0
        if refused:
            log.info("connecting anew to get %d messages that had no room", refused)
            self._client.disconnect()
            self._client.loop_stop()
            self.start(self._inbox)

    def stop(self) -> None:
        self._client.disconnect()
        ending = Thread(target=self._client.loop_stop, name="mqtt-stop", daemon=True)
        ending.start()
        ending.join(STOP_S)

    def _wishes(self) -> Properties:
        """What MQTT 5 lets us tell the broker: never to send more than the inbox takes, and how long to keep a session."""
        wishes = Properties(PacketTypes.CONNECT)   # type: ignore[no-untyped-call]
        wishes.ReceiveMaximum = min(self._link.inbox_max, RECEIVE_MAX)
        wishes.SessionExpiryInterval = 0 if self._link.group else SESSION_S
        return wishes

    def _subscribe(self, names: list[str]) -> None:
        with self._lock:   # before the answer can be looked at
            _, mid = self._client.subscribe([(name, QOS) for name in names])
            if mid is not None:
                self._asked[mid] = names

    def _on_connect(self, _client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _props: Any) -> None:
        self._connection += 1
        if reason.is_failure:
            log.error("the broker %s:%d refused us: %s", self._link.host, self._link.port, reason)
            return
        log.info("connected to %s:%d as %s, session %s", self._link.host, self._link.port, self._client_id,
                 "resumed" if flags.session_present else "new")
        records = [f"$share/{self._link.group}/{name}" if self._link.group else name for name in RECORDS]
        self._subscribe([*records, STATES] if self._hears else records)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, mid: int, reasons: list[ReasonCode], _props: Any) -> None:
        with self._lock:
            names = self._asked.pop(mid, [])
        denied = [name for name, reason in zip(names, reasons, strict=False) if reason.value >= REFUSED]
        if denied:
            log.error("the broker does not let %s subscribe to %s: mend its permissions", self._client_id, denied)
        else:
            log.info("subscribed to %s", ", ".join(names))

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        log.warning("cannot reach the broker %s:%d, trying again", self._link.host, self._link.port)

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        log.warning("connection to the broker ended: %s", reason)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        token = self._connection, message.mid, message.qos
        copy = bool(message.retain or message.dup)
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""   # goes to quarantine like every name that is none of ours
        if not self._inbox.put(Message(topic, bytes(message.payload), copy, token)):
            with self._lock:
                self._refused += 1


def _at_once(_client: mqtt.Client, _data: Any, link: Any) -> None:
    """Many small packets, each to leave now: else an ack waits 40 ms for the broker's TCP to acknowledge the one before it."""
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
