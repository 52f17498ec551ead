"""The broker's side of ingest: MQTT 3.1.1 over mutual TLS with paho.

Decides sessions and acknowledgements: a persistent session under a fixed client id, QoS 1, and a PUBACK only for what is
settled, so that the broker keeps the rest through any crash of ours. Connects again for ever with a growing delay. Knows
nothing of what messages mean.
"""

import logging
import ssl
from collections.abc import Iterable
from threading import Lock, Thread
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from host.ingest import senml
from host.ingest.inbox import Inbox, Message
from host.ingest.sort import senml_topic
from node.wire import topics

log = logging.getLogger(__name__)

FILTERS = [(name, 1) for name in (
    f"t/+/{topics.UP}", f"t/+/{topics.STATE}", senml_topic("+", senml.JSON), senml_topic("+", senml.CBOR))]
RECONNECT_MIN_S = 1
STOP_S = 1.0     # a stop waits this long for the farewell; an attempt to connect may hang longer
REFUSED = 0x80   # SUBACK's return code for a filter that the broker does not grant (MQTT 3.1.1, 3.9.3)


class _Link(Protocol):
    """The settings of one broker link; IngestSettings has them."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def client_id(self) -> str: ...
    @property
    def keepalive_s(self) -> int: ...
    @property
    def reconnect_max_s(self) -> int: ...


class MqttSource:
    """A source (see source.py) on one MQTT broker. Its callbacks run in paho's thread."""

    def __init__(self, link: _Link, tls: ssl.SSLContext) -> None:
        self._link, self._inbox = link, Inbox(0)
        self._connection, self._refused, self._lock = 0, 0, Lock()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=link.client_id, clean_session=False, manual_ack=True,
        )
        client.tls_set_context(tls)
        client.reconnect_delay_set(RECONNECT_MIN_S, link.reconnect_max_s)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_connect_fail, client.on_subscribe = self._on_connect_fail, self._on_subscribe
        client.on_message = self._on_message
        self._client = client

    def start(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._client.connect_async(self._link.host, self._link.port, keepalive=self._link.keepalive_s)
        self._client.loop_start()

    def settle(self, messages: Iterable[Message]) -> None:
        for message in messages:
            connection, mid, qos = message.token   # as _on_message made it
            if connection == self._connection:     # an id of an earlier connection may mean another message by now
                self._client.ack(mid, qos)

    def send(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=0)

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

    def _on_connect(self, client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _props: Any) -> None:
        self._connection += 1
        if reason.is_failure:
            log.error("the broker %s:%d refused us: %s", self._link.host, self._link.port, reason)
            return
        log.info("connected to %s:%d, session %s", self._link.host, self._link.port,
                 "resumed" if flags.session_present else "new")
        client.subscribe(FILTERS)

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any) -> None:
        denied = [name for (name, _), reason in zip(FILTERS, reasons, strict=False) if reason.value >= REFUSED]
        if denied:
            log.error("the broker does not let %s subscribe to %s: mend its permissions", self._link.client_id, denied)
        else:
            log.info("subscribed to %s", ", ".join(name for name, _ in FILTERS))

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
