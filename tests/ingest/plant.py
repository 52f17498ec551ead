"""The real thing, small: nats-server, the ingest process, and devices that speak through paho. For test_processes.py."""

import datetime as dt
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import paho.mqtt.client as mqtt

from host import broker, tls
from node.wire import topics
from provisioning import ca, pki

WAIT_S = 60.0   # until a test gives up
# Ingest that never gives up at a stop what has not ended by itself: a stop that hangs is seen, however slow the machine.
INGEST = "import sys, host.ingest.__main__ as program; program.stopping.STOP_S += 3600; sys.exit(program.main())"


def until(condition, what):
    """Look again and again, in short steps, until something outside this process is so."""
    gate, end = threading.Event(), time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end, f"not within {WAIT_S} s: {what}"
        gate.wait(0.005)


class Plant:
    """Certificates, ports and processes of one test; `close` ends what it started."""

    def __init__(self, folder, devices, foreign=()):
        self.folder, self.devices = folder, devices
        self.pki = pki.make_fleet_pki(folder / "pki")
        issuing = pki.load_authority(self.pki.cert("issuing"), self.pki.key("issuing"))
        for device in (*devices, *foreign):
            key = ca.make_key()
            pki.write_key(self.pki.key(device), key)
            pki.write_pem(self.pki.cert(device), ca.issue_device(issuing, key.public_key(), device, dt.datetime.now(dt.UTC)))
        listeners = [tls.listen("127.0.0.1", 0) for _ in range(3)]
        self.port, client_port, monitor_port = (listener.getsockname()[1] for listener in listeners)
        for listener in listeners:
            listener.close()
        settings = broker.BrokerSettings(
            mqtt_port=self.port, client_port=client_port, monitor_port=monitor_port, cert_file=self.pki.cert("svc.broker"),
            key_file=self.pki.key("svc.broker"), ca_file=self.pki.ca_file, store_dir=folder / "store", ack_wait_s=1,
        )
        self.broker_config = broker.write(folder / "broker", settings, devices, foreign_ids=foreign)
        self.database = folder / "telemetry.db"
        self.config = folder / "ingest.json"
        self.config.write_text(json.dumps({
            "database": f"sqlite:///{self.database}", "port": self.port, "ca_file": str(self.pki.ca_file),
            "cert_file": str(self.pki.cert("svc.ingest")), "key_file": str(self.pki.key("svc.ingest")),
            "gather_ms": 2, "gather_max": 4, "reconnect_max_s": 1, "keepalive_s": 5,
        }))
        self.broker = self.ingest = None
        self.clients, self.senders = [], []

    def start_broker(self):
        with (self.folder / "broker.log").open("ab") as log:
            self.broker = subprocess.Popen([broker.nats_server_binary(), "-c", self.broker_config], stderr=log)

    def start_ingest(self):
        with (self.folder / "ingest.log").open("ab") as log:
            self.ingest = subprocess.Popen([sys.executable, "-c", INGEST, "--config", self.config], stderr=log)

    def ingest_said(self, words):
        return (self.folder / "ingest.log").read_text().count(words)

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)

    def stop_ingest(self):
        """SIGTERM; gives the exit code once it has ended by itself."""
        self.ingest.send_signal(signal.SIGTERM)
        return self.ingest.wait(WAIT_S)

    def device(self, device):
        client = Device(self, device)
        self.clients.append(client)
        return client

    def sender(self, name):
        """The MQTT session of a device that hears nothing."""
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, clean_session=True)
        client.tls_set_context(tls.client_context(self.pki.ca_file, self.pki.cert(name), self.pki.key(name)))
        client.connect("localhost", self.port, keepalive=5)
        client.loop_start()
        self.senders.append(client)
        return client

    def rows(self):
        """(device, boot, seq) -> payload, as another process sees the database."""
        reader = sqlite3.connect(self.database)
        try:
            return {tuple(row[:3]): row[3] for row in reader.execute("SELECT device, boot, seq, payload FROM batch")}
        finally:
            reader.close()

    def count(self):
        """How many records are committed."""
        reader = sqlite3.connect(self.database)
        try:
            return reader.execute("SELECT count(*) FROM batch").fetchone()[0]
        finally:
            reader.close()

    def close(self):
        for client in self.clients:
            client.close()
        for client in self.senders:
            client.disconnect()
            client.loop_stop()
        for process in (self.ingest, self.broker):
            if process is not None and process.poll() is None:
                self.kill(process)


class Device:
    """A device's MQTT session; remembers the newest ack."""

    def __init__(self, plant, device):
        self.device, self.acked = device, (0, -1)
        self.connected = threading.Event()
        self.paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, device, clean_session=True)
        self.paho.tls_set_context(tls.client_context(plant.pki.ca_file, plant.pki.cert(device), plant.pki.key(device)))
        self.paho.will_set(topics.state(device), topics.OFFLINE, 1, retain=True)
        self.paho.reconnect_delay_set(1, 1)
        self.paho.on_connect = lambda client, *_: client.subscribe(topics.ack(device))
        self.paho.on_subscribe = lambda *_: self.connected.set()
        self.paho.on_message = self._on_message
        self.paho.connect("localhost", plant.port, keepalive=5)
        self.paho.loop_start()
        assert self.connected.wait(WAIT_S)

    def _on_message(self, _client, _data, message):
        self.acked = max(self.acked, topics.parse_ack(message.payload)[:2])

    def publish(self, topic, payload, *, retain=False):
        return self.paho.publish(topic, payload, 1, retain)

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()
