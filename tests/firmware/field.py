"""What a board meets in the field: real EST and update servers, a real broker, an ingest whose acks the test holds in its hand."""

import datetime as dt
import signal
import subprocess
import threading
import time

import httpx
import paho.mqtt.client as mqtt

from host import broker, tls
from host.db import open_engine
from host.ecdsa import point
from node.wire import batch, signed, topics
from ota.client import OtaClient
from ota.release import keys, sign
from ota.release.bundle import manifest_for
from ota.release.verify import manifest_name
from ota.server.app import create_app as create_ota
from ota.server.settings import OtaSettings
from provisioning import ca, pki
from provisioning.enrol.app import create_app
from provisioning.enrol.settings import EnrolSettings
from provisioning.ledger import Ledger
from provisioning.line.station import Station
from tests.brokers import nats_settings


class Field:
    """Servers of one fleet. The broker can be stopped and started again.

    Args:
        names: DNS names of the servers, beside localhost.
    """

    def __init__(self, folder, device, names=()):
        self.device = device
        self.pki = pki.make_fleet_pki(folder / "pki", names)
        ledger = Ledger(open_engine(f"sqlite:///{folder / 'ledger.db'}"))
        key = ca.make_key()
        now_s = int(time.time())
        ledger.open_lot("demo", point(key.public_key()).hex(), 10, now_s + 3600, now_s)
        self.station = Station(ledger, "demo", "bench1", key)
        self._servers = []
        self.est_port = self._start_est(folder)
        self.mqtt_port, self._config = self._write_broker(folder, self.pki.cert("svc.broker"))
        self.nats = None
        self._more = []   # further brokers
        self._operator = None

    def _write_broker(self, folder, cert_file):
        settings = nats_settings(self.pki, folder / "store", cert_file=cert_file)
        return settings.mqtt_port, broker.write(folder / "nats", settings, [self.device])

    def _start_est(self, folder):
        settings = EnrolSettings(
            cert_file=self.pki.cert("svc.enrol"), key_file=self.pki.key("svc.enrol"), ca_file=self.pki.ca_file,
            issuing_cert=self.pki.cert("issuing"), issuing_key=self.pki.key("issuing"), root_cert=self.pki.cert("root"),
            database=f"sqlite:///{folder / 'ledger.db'}")
        return self._serve(create_app(settings), settings.tls())

    def _serve(self, app, settings):
        server = tls.make_server(app, settings)
        listener = tls.listen("127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        self._servers.append((server, thread, listener))
        return listener.getsockname()[1]

    def start_ota(self, folder, period_s=1):
        """The update server, its root and its keys; sets ota_port and root. `period_s`: between a device's check-ins."""
        names = ("root", "release", "direction")
        self.keys = {name: keys.generate(folder / f"{name}-signing.pem") for name in names}
        public = {name: [keys.public65(self.keys[name])] for name in names}
        self.root = sign.first_root([self.keys["root"]], public["release"], public["direction"])
        (folder / "root.bin").write_bytes(self.root)
        settings = OtaSettings(
            cert_file=self.pki.cert("svc.ota"), key_file=self.pki.key("svc.ota"), ca_file=self.pki.ca_file,
            database=f"sqlite:///{folder / 'ota.db'}", archive=folder / "archive", root_file=folder / "root.bin",
            direction_key=folder / "direction-signing.pem", period_s=period_s, tick_s=0.1, flush_s=0.1)
        self.ota_port = self._serve(create_ota(settings), settings.tls())
        self._operator = httpx.Client(
            base_url=f"https://localhost:{self.ota_port}", verify=tls.client_context(
                self.pki.cert("root"), self.pki.cert("op.release"), self.pki.key("op.release")))

    def sign_release(self, bundle, release, counter, image=None, deltas=None):
        """Give (envelope, artifact, name) of a release; `image` is an ESP32 application that it brings too."""
        payload, artifact = manifest_for(bundle, release, counter, ["hall"], (0, 100), image=image, deltas=deltas)
        raw = sign.envelope(signed.MANIFEST, payload, [self.keys["release"]])
        return raw, artifact, manifest_name(raw)

    def operate(self, path, body):
        answer = self._operator.post(path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def publish(self, raw, artifact, image=None, deltas=()):
        OtaClient(self._operator).publish(raw, artifact, image, deltas)

    def upload(self, content):
        OtaClient(self._operator).upload(content)

    def devices(self):
        return self._operator.get("/admin/devices").json()["devices"]

    def start_broker(self):
        self.nats = self._start_nats(self._config)

    def another_broker(self, folder, names=None):
        """Start a broker more, for the same fleet; gives its port. `names`: its certificate's, in place of the others' names."""
        folder.mkdir()
        cert_file = self.pki.cert("svc.broker")
        if names is not None:
            issuing = pki.load_authority(self.pki.cert("issuing"), self.pki.key("issuing"))
            key = pki.load_key(self.pki.key("svc.broker"))
            cert_file = folder / "broker.pem"
            hosts = [*pki.LOCAL_HOSTS, *names]
            pki.write_pem(cert_file, ca.issue_server(issuing, key.public_key(), "svc.broker", hosts, dt.datetime.now(dt.UTC)),
                          issuing.certificate)
        port, config = self._write_broker(folder, cert_file)
        self._more.append(self._start_nats(config))
        return port

    def _start_nats(self, config):
        nats = subprocess.Popen([broker.nats_server_binary(), "-c", config], stderr=subprocess.PIPE, text=True)
        for line in nats.stderr:
            if "Server is ready" in line:
                break
        threading.Thread(target=self._drain, args=(nats.stderr,), daemon=True).start()
        return nats

    @staticmethod
    def _drain(log):
        for _line in log:
            pass
        log.close()

    def stop_broker(self):
        if self.nats:
            self.nats.send_signal(signal.SIGTERM)
            self.nats.wait(10)
            self.nats = None

    def stop(self):
        self.stop_broker()
        for nats in self._more:
            nats.send_signal(signal.SIGTERM)
            nats.wait(10)
        if self._operator:
            self._operator.close()
        for server, thread, listener in self._servers:
            server.should_exit = True
            thread.join(10)
            listener.close()


class Ingest:
    """Takes what devices publish; acks everything in order while `acking`. `port`: of another broker than the field's first."""

    def __init__(self, field, acking=True, port=None):
        self.records, self.states, self.received, self.acking = {}, [], 0, acking
        self._field = field
        self._paho = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "ingest", False, protocol=mqtt.MQTTv311)
        self._paho.tls_set_context(tls.client_context(
            field.pki.cert("root"), field.pki.cert("svc.ingest"), field.pki.key("svc.ingest")))
        self._paho.reconnect_delay_set(1, 1)
        self._paho.on_connect = lambda *_: self._paho.subscribe([("t/+/up", 1), ("t/+/state", 1)])
        self._paho.on_message = self._take
        self._paho.connect("localhost", port or field.mqtt_port, keepalive=10)
        self._paho.loop_start()

    def _take(self, _client, _user, message):
        device, kind = topics.parse(message.topic)
        if kind == topics.STATE:
            self.states.append(topics.parse_state(message.payload))
            return
        self.received += 1
        _, boot, seq = batch.record_name(message.payload)
        assert self.records.setdefault(seq, message.payload) == message.payload
        if self.acking:
            self.ack(device, boot)

    def ack(self, device, boot, flags=0):
        """Ack the contiguous records from the first."""
        seq = 0
        while seq in self.records:
            seq += 1
        if seq:
            boot = batch.record_name(self.records[seq - 1])[1]
            self._paho.publish(topics.ack(device), topics.encode_ack(boot, seq - 1, flags))

    def stop(self):
        self._paho.disconnect()
        self._paho.loop_stop()
