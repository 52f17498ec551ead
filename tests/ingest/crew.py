"""Several ingest workers, real brokers, and devices that send until they are acked: for the tests of workers and clusters."""

import json
import os
import re
import signal
import subprocess
import sys
import threading

import paho.mqtt.client as mqtt
from sqlalchemy import func, select

from host import broker, tls
from host.db import open_engine
from host.ingest import stream
from host.store import tables as t
from node.wire import topics
from provisioning import ca, pki
from tests.brokers import free_ports, issue, nats_settings
from tests.ingest.plant import WAIT_S
from tests.ingest.records import batch_of, schema_of, state, up

WINDOW = 20       # records on their way beyond the last ack
AGAIN_S = 3.0     # without an ack for so long, a device begins again after the last one
STALLS = 2        # so often in a row, and it ends the session and tries the next node, as firmware does
CONNECT_S = 5.0


def _issue_node(issuing, key, name, now):
    return ca.issue_server(issuing, key, name, ["localhost"], now, peer=True)


class Crew:
    """Certificates, processes and devices of one test; `close` ends what it started.

    Attributes:
        ports: of MQTT, one for each node.
    """

    def __init__(self, folder, devices, database, nodes=1):
        self.folder, self.names, self.database = folder, devices, database
        self.pki = pki.make_fleet_pki(folder / "pki")
        issue(self.pki, *devices)
        issue(self.pki, "op.broker", "svc.ingest1", "svc.ingest2", make=ca.issue_client)
        issue(self.pki, "svc.node", make=_issue_node)
        self.ports, self.nats_ports, self._route_ports, self._status_ports = (free_ports(nodes) for _ in range(4))
        self.brokers, self.processes, self.devices = {}, [], []

    def start_node(self, number):
        """One nats-server; one of a cluster when there are several."""
        routes = tuple(f"localhost:{port}" for port in self._route_ports)
        settings = nats_settings(
            self.pki, self.folder / f"store{number}", "svc.node", server_name=f"node{number}", mqtt_port=self.ports[number],
            client_port=self.nats_ports[number], monitor_port=self._status_ports[number], ack_wait_s=5,
            cluster=broker.ClusterSettings(port=self._route_ports[number], routes=routes) if len(routes) > 1 else None,
        )
        config = broker.write(self.folder / f"node{number}", settings, self.names)
        self.brokers[number] = self._start(f"node{number}.log", [broker.nats_server_binary(), "-c", config])

    def make_stream(self, replicas=1):
        made = tls.client_context(self.pki.ca_file, self.pki.cert("op.broker"), self.pki.key("op.broker"))
        stream.make(self.servers(), made, stream.Shape(replicas=replicas, max_bytes=64 << 20, ack_wait_s=2))

    def servers(self):
        return [f"localhost:{port}" for port in self.nats_ports]

    def configure(self, **more):
        """Write the settings of ingest."""
        self.config = self.folder / "ingest.json"
        self.config.write_text(json.dumps({
            "database": self.database, "port": self.ports[0], "nats_servers": self.servers(), "ca_file": str(self.pki.ca_file),
            "cert_file": str(self.pki.cert("svc.ingest")), "key_file": str(self.pki.key("svc.ingest")), "gather_ms": 2,
            "gather_max": 16, "reconnect_max_s": 1, "keepalive_s": 5, **more,
        }))

    def start_workers(self, count):
        """`tenfold ingest --workers` as a process; gives it."""
        return self._start("ingest.log", [sys.executable, "-m", "host.ingest", "--config", self.config, "--workers", str(count)])

    def start_worker(self, number):
        """One worker alone."""
        return self._start("ingest.log", [sys.executable, "-m", "host.ingest", "--config", self.config],
                           {**os.environ, "TENFOLD_INGEST_WORKER": str(number)})

    def _start(self, log, command, env=None):
        with (self.folder / log).open("ab") as file:
            process = subprocess.Popen(command, stderr=file, stdout=file, env=env)
        self.processes.append(process)
        return process

    def said(self, words, log="ingest.log"):
        path = self.folder / log
        return path.read_text().count(words) if path.exists() else 0

    def worker_pid(self, number):
        """The process that is worker `number` now, by the log of who started it."""
        return int(re.findall(rf"worker {number} is process (\d+)", (self.folder / "ingest.log").read_text())[-1])

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_S)

    def send(self, records):
        """Have each device send so many records; gives what was sent."""
        for name in self.names:
            self.devices.append(Sender(self, name, records))
        return {(one.name, seq): one.record(seq) for one in self.devices for seq in range(records)}

    def acked(self):
        return sum(one.acked + 1 for one in self.devices)

    def stored(self):
        """(device, seq) -> payload; and each device's row of sums."""
        engine = open_engine(self.database, read_only=True)
        try:
            with engine.connect() as connection:
                rows = [((row.device, row.seq), bytes(row.payload)) for row in connection.execute(select(t.batch))]
                sums = {row.device: row for row in connection.execute(select(t.progress))}
        finally:
            engine.dispose()
        assert len(dict(rows)) == len(rows)
        return dict(rows), sums

    def count(self):
        engine = open_engine(self.database, read_only=True)
        try:
            with engine.connect() as connection:
                return connection.scalar(select(func.count()).select_from(t.batch))
        finally:
            engine.dispose()

    def close(self):
        for one in self.devices:
            one.close()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.kill(process)


class Sender:
    """A device: it sends its records in a window, again and again after the last ack, to whichever node lets it in."""

    def __init__(self, crew, name, records):
        self._crew, self.name, self._records = crew, name, records
        self.acked, self._changed, self._stop = -1, threading.Condition(), False
        self._up = False
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def record(self, seq):
        return batch_of(1, seq) if seq else schema_of(1, 0)

    def close(self):
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._thread.join(WAIT_S)

    def done(self):
        return self.acked == self._records - 1

    def _live(self):
        turn = hash(self.name)
        while not self._stop and not self.done():
            self._session(self._crew.ports[turn % len(self._crew.ports)])
            turn += 1

    def _session(self, port):
        pki_ = self._crew.pki
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, self.name, clean_session=True, reconnect_on_failure=False)
        client.tls_set_context(tls.client_context(pki_.ca_file, pki_.cert(self.name), pki_.key(self.name)))
        client.will_set(topics.state(self.name), topics.OFFLINE, 1, retain=True)
        client.max_inflight_messages_set(4 * WINDOW)
        client.on_connect = lambda client, *_: client.subscribe(topics.ack(self.name))
        client.on_subscribe = lambda *_: self._set(up=True)
        client.on_disconnect = lambda *_: self._set(up=False)
        client.on_message = self._on_message
        try:
            client.connect("localhost", port, keepalive=5)
        except OSError:
            with self._changed:
                self._changed.wait(0.1)
            return
        client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._up or self._stop, CONNECT_S)
        oldest = self.acked + 1
        client.publish(*state(1, (1, oldest), device=self.name), 1, retain=True)
        stalls = 0
        while self._up and not self._stop and not self.done() and stalls < STALLS:
            base = self.acked
            for seq in range(base + 1, min(base + 1 + WINDOW, self._records)):
                client.publish(*up(self.record(seq), self.name), 1)
            last = min(base + WINDOW, self._records - 1)
            with self._changed:   # all of the window, or not for a while
                self._changed.wait_for(lambda last=last: self.acked >= last or not self._up or self._stop, AGAIN_S)
            stalls = 0 if self.acked > base else stalls + 1
        client.disconnect()
        client.loop_stop()
        self._set(up=False)

    def _set(self, *, up):
        with self._changed:
            self._up = up
            self._changed.notify_all()

    def _on_message(self, _client, _data, message):
        with self._changed:
            self.acked = max(self.acked, topics.parse_ack(message.payload)[1])
            self._changed.notify_all()
