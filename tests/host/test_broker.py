"""The default broker's configuration, against the real nats-server: whose doors each certificate opens."""

import json
import queue
import signal
import socket
import subprocess
import threading
import urllib.request
from contextlib import contextmanager, suppress

import paho.mqtt.client as mqtt
import pytest

from host import broker, tls
from host.ingest.source_mqtt import RECORDS, STATES
from provisioning import ca, pki
from provisioning.ca import CLIENT_DAYS
from tests.brokers import issue, nats_settings

A, B, C = "hall-0242ac110001", "hall-0242ac110002", "hall-0242ac110003"
WAIT_S = 5   # for what must come; what must not come is shown by something that comes after it
RELOADED = "Reloaded server configuration"


class Broker:
    """One nats-server process with its own folder and ports."""

    def __init__(self, folder, fleet, **changes):
        self.folder, self.fleet = folder, fleet
        self.settings = nats_settings(fleet, folder / "store", **changes)
        self.config = broker.write(folder / "etc", self.settings, [A, B])
        self.start()

    def start(self):
        command = [broker.nats_server_binary(), "-c", self.config]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log = queue.Queue()
        threading.Thread(target=self._read_log, daemon=True).start()
        self.await_log("Server is ready")

    def _read_log(self):
        for line in self.process.stderr:
            self.log.put(line)

    def await_log(self, words):
        while True:
            line = self.log.get(timeout=WAIT_S)
            if words in line:
                return line

    def set_devices(self, *devices):
        broker.write_users(self.config.parent, devices)
        self.process.send_signal(signal.SIGHUP)
        self.await_log(RELOADED)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(WAIT_S)
        self.process.stderr.close()


class Client:
    """paho with queues in place of callbacks."""

    def __init__(self, server, name, client_id=None, clean=True, will=None):
        self.messages, self.granted, self.gone, self.connected = queue.Queue(), queue.Queue(), threading.Event(), queue.Queue()
        client_id = client_id or name.replace(".", "-")
        self.paho = paho = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id, clean, protocol=mqtt.MQTTv311, reconnect_on_failure=False)
        paho.tls_set_context(tls.client_context(server.fleet.cert("root"), server.fleet.cert(name), server.fleet.key(name)))
        if will:
            paho.will_set(*will)
        paho.on_connect = lambda _c, _u, flags, code, _p: self.connected.put((code.value, flags.session_present))
        paho.on_disconnect = lambda *_: self.gone.set()
        paho.on_subscribe = lambda _c, _u, _mid, codes, _p: self.granted.put(codes[0].value)
        paho.on_message = lambda _c, _u, message: self.messages.put((message.topic, message.payload, message.retain))
        paho.connect("localhost", server.settings.mqtt_port, keepalive=10)
        paho.loop_start()
        self.code, self.session_present = self.connected.get(timeout=WAIT_S)

    def publish(self, topic, payload, qos=1, retain=False):
        """Publish and wait for the PUBACK; say whether it came."""
        info = self.paho.publish(topic, payload, qos, retain)
        info.wait_for_publish(WAIT_S)
        return info.is_published()

    def subscribe(self, topic, qos=1):
        """Subscribe and give the code in the SUBACK: the granted QoS, or 128 for refused."""
        self.paho.subscribe(topic, qos)
        return self.granted.get(timeout=WAIT_S)

    def get(self):
        return self.messages.get(timeout=WAIT_S)

    def cut(self):
        """End the connection as a power cut does: without DISCONNECT."""
        self.paho.loop_stop()
        with suppress(OSError):
            self.paho.socket().shutdown(socket.SHUT_RDWR)
        self.paho.socket().close()

    def close(self):
        self.paho.disconnect()
        self.paho.loop_stop()


def issue_devices(made):
    now = pki.load_certificates(made.cert("issuing"))[0].not_valid_before_utc + ca.BACKDATE
    issue(made, A, B, C, now=now, days=CLIENT_DAYS)
    return made


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    return issue_devices(pki.make_fleet_pki(tmp_path_factory.mktemp("pki") / "ours"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, fleet):
    server = Broker(tmp_path_factory.mktemp("broker"), fleet)
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path, fleet):
    server = Broker(tmp_path, fleet)
    yield server
    server.stop()


@pytest.fixture
def connect():
    clients = []

    def make(*args, **kwargs):
        clients.append(Client(*args, **kwargs))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def ingest(server, connect):
    """Ingest with its subscriptions, past the states that earlier tests left retained."""
    client = connect(server, "svc.ingest")
    assert [client.subscribe("t/+/state"), client.subscribe("t/+/up")] == [1, 1]
    device = connect(server, B, "marker")
    device.publish(f"t/{B}/up", b"marker")
    while client.get()[1] != b"marker":
        pass
    device.close()
    return client


def connack(server, context, client_id=A):
    """Send a CONNECT by hand and give the CONNACK's code; None when the connection ends in its place."""
    body = b"\x00\x04MQTT\x04\x02\x00\x0a" + len(client_id).to_bytes(2, "big") + client_id.encode()
    try:
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.settings.mqtt_port)),
                                 server_hostname="localhost") as peer:
            peer.sendall(bytes((0x10, len(body))) + body)
            answer = peer.recv(4)
    except OSError:
        return None
    return answer[3] if len(answer) == 4 else None


def test_a_device_without_a_certificate_is_refused(server, fleet):
    assert connack(server, tls.client_context(fleet.cert("root"), fleet.cert(A), fleet.key(A))) == 0
    assert connack(server, tls.client_context(fleet.cert("root"))) is None


def test_a_certificate_of_a_foreign_ca_is_refused(server, fleet, tmp_path):
    foreign = issue_devices(pki.make_fleet_pki(tmp_path / "theirs"))
    assert connack(server, tls.client_context(fleet.cert("root"), foreign.cert(A), foreign.key(A))) is None


@pytest.mark.parametrize("name", [C, "op.console"])
def test_a_certificate_of_ours_that_is_not_listed_is_refused(server, connect, name):
    assert connect(server, name).code == 135   # not authorized


def test_a_device_publishes_only_its_own_topics(server, connect, ingest):
    device = connect(server, A)
    for topic in (f"t/{B}/up", f"t/{B}/state", f"t/{A}/ack", f"t/{B}/ack", "t/x", "$SYS/x", f"t/{A}/up/more"):
        assert device.publish(topic, b"forged"), "a denied publish is acknowledged all the same: PUBACK proves nothing"
    device.publish(f"t/{A}/up", b"genuine")
    assert ingest.get() == (f"t/{A}/up", b"genuine", False)


@pytest.mark.parametrize("topic", [f"t/{B}/ack", "t/+/ack", "#", "t/#", f"t/{A}/up", f"t/{B}/state", "+/+/ack", "$MQTT/sub/#",
                                   "$JS/#"])
def test_a_device_hears_nothing_but_its_own_acks(server, connect, topic):
    assert connect(server, A).subscribe(topic) == 128


@pytest.mark.parametrize("qos", [0, 1])
def test_an_ack_reaches_its_device_alone(server, connect, ingest, qos):
    device, other = connect(server, A), connect(server, B)
    assert device.subscribe(f"t/{A}/ack", qos) == other.subscribe(f"t/{B}/ack", qos) == qos
    ingest.publish(f"t/{A}/ack", b"for A", qos)
    ingest.publish(f"t/{B}/ack", b"for B", qos)
    assert (device.get(), other.get()) == ((f"t/{A}/ack", b"for A", False), (f"t/{B}/ack", b"for B", False))


def test_ingest_cannot_pretend_to_be_a_device(server, connect, ingest):
    device = connect(server, A)
    ingest.publish(f"t/{A}/up", b"forged")
    device.publish(f"t/{A}/up", b"genuine")
    assert ingest.get()[1] == b"genuine"


def test_a_state_is_retained_and_the_will_replaces_it_when_the_device_dies(server, connect, ingest):
    device = connect(server, A, will=(f"t/{A}/state", b'{"on":0}', 1, True))
    device.publish(f"t/{A}/state", b'{"on":1}', retain=True)
    assert ingest.get() == (f"t/{A}/state", b'{"on":1}', False)
    device.cut()
    assert ingest.get() == (f"t/{A}/state", b'{"on":0}', False)
    late = connect(server, "svc.ingest", "late")
    late.subscribe("t/+/state")
    assert late.get() == (f"t/{A}/state", b'{"on":0}', True)


def test_a_will_for_another_device_is_not_sent(server, connect, ingest):
    device = connect(server, A, will=(f"t/{B}/state", b"forged", 1, True))
    device.cut()
    server.await_log("Publish Violation")
    connect(server, A).publish(f"t/{A}/up", b"genuine")
    assert ingest.get()[1] == b"genuine"


def test_a_device_that_comes_back_before_its_old_connection_died_sends_no_will(server, connect, ingest):
    old = connect(server, A, will=(f"t/{A}/state", b"off", 1, False))
    new = connect(server, A)
    assert old.gone.wait(WAIT_S)
    new.publish(f"t/{A}/up", b"here")
    assert ingest.get()[1] == b"here"


def test_the_client_id_is_not_bound_to_the_certificate_but_opens_no_door(server, connect, ingest):
    """What NATS really does: B may call itself A and throw A out. It still cannot read or write as A."""
    victim = connect(server, A)
    thief = connect(server, B, client_id=A)
    assert thief.code == 0
    assert victim.gone.wait(WAIT_S)
    assert thief.subscribe(f"t/{A}/ack") == 128
    thief.publish(f"t/{A}/up", b"forged")
    thief.publish(f"t/{B}/up", b"its own")
    assert ingest.get() == (f"t/{B}/up", b"its own", False)


def test_a_stolen_session_tells_nothing_but_a_clean_one_deletes_it(own_server, connect):
    """Why nothing of value lives in a session."""
    ingest = connect(own_server, "svc.ingest", clean=False)
    ingest.subscribe("t/+/up")
    thief = connect(own_server, B, client_id="svc-ingest", clean=False)
    assert ingest.gone.wait(WAIT_S)
    connect(own_server, A).publish(f"t/{A}/up", b"for ingest")
    own_server.await_log("Subscription Violation")
    thief.close()
    assert thief.messages.empty()
    ingest = connect(own_server, "svc.ingest", clean=False)
    assert ingest.get()[1] == b"for ingest"
    thief = connect(own_server, B, client_id="svc-ingest", clean=True)
    assert ingest.gone.wait(WAIT_S)
    thief.close()
    assert connect(own_server, "svc.ingest", clean=False).session_present is False


def test_qos_2_ends_the_connection(server, connect):
    device = connect(server, A)
    device.paho.publish(f"t/{A}/up", b"x", 2)
    assert device.gone.wait(WAIT_S)


def test_a_device_cannot_use_the_nats_protocol(server, fleet):
    context = tls.client_context(fleet.cert("root"), fleet.cert(A), fleet.key(A))
    plain = socket.create_connection(("127.0.0.1", server.settings.client_port))
    plain.recv(4096)   # INFO, before TLS
    with context.wrap_socket(plain, server_hostname="localhost") as peer:
        peer.sendall(b'CONNECT {"verbose":true}\r\nSUB $MQTT.sub.> 1\r\nPING\r\n')
        assert b"Authorization Violation" in peer.recv(4096)


def test_a_new_device_comes_by_reload_and_a_removed_one_goes_while_others_stay(own_server, connect):
    ingest, device = connect(own_server, "svc.ingest"), connect(own_server, A)
    ingest.subscribe("t/+/up")
    assert connect(own_server, C).code == 135
    own_server.set_devices(A, B, C)
    new = connect(own_server, C)
    new.publish(f"t/{C}/up", b"new")
    device.publish(f"t/{A}/up", b"old")
    assert [ingest.get()[1], ingest.get()[1]] == [b"new", b"old"]
    own_server.set_devices(A, B)
    assert new.gone.wait(WAIT_S)
    device.publish(f"t/{A}/up", b"still here")
    assert ingest.get()[1] == b"still here"
    assert not device.gone.is_set()
    assert not ingest.gone.is_set()


def test_a_device_that_is_not_ours_has_its_own_tree_and_hears_nothing(own_server, connect):
    broker.write_users(own_server.config.parent, [A, B], foreign_ids=[C])
    own_server.process.send_signal(signal.SIGHUP)
    own_server.await_log(RELOADED)
    ingest, device, foreign = connect(own_server, "svc.ingest"), connect(own_server, A), connect(own_server, C)
    assert [ingest.subscribe(topic) for topic in (*RECORDS, STATES)] == [1] * (len(RECORDS) + 1)
    for topic in (f"t/{C}/up", f"t/{C}/state", f"s/{A}/senml", f"s/{C}/up", f"t/{A}/ack"):
        foreign.publish(topic, b"forged")
    device.publish(f"s/{A}/senml", b"forged")
    for kind in ("senml", "senmlc"):
        foreign.publish(f"s/{C}/{kind}", b"genuine")
        assert ingest.get() == (f"s/{C}/{kind}", b"genuine", False)
    for topic in (f"t/{C}/ack", f"s/{C}/senml", "s/+/senml", "#", f"t/{A}/up"):
        assert foreign.subscribe(topic) == 128


def test_a_killed_broker_keeps_retained_states_and_a_persistent_sessions_queue(own_server, connect):
    ingest = connect(own_server, "svc.ingest", clean=False)
    ingest.subscribe("t/+/up")
    ingest.cut()
    device = connect(own_server, A)
    device.publish(f"t/{A}/state", b"on", retain=True)
    sent = [str(i).encode() for i in range(10)]
    for payload in sent:
        assert device.publish(f"t/{A}/up", payload)
    own_server.stop(signal.SIGKILL)
    own_server.start()
    ingest = connect(own_server, "svc.ingest", clean=False)
    assert ingest.session_present
    assert [ingest.get()[1] for _ in sent] == sent
    ingest.subscribe("t/+/state")
    assert ingest.get() == (f"t/{A}/state", b"on", True)
    connect(own_server, A).publish(f"t/{A}/up", b"after")
    assert ingest.get()[1] == b"after"


@contextmanager
def small_store(folder, fleet):
    server = Broker(folder, fleet, max_store_bytes=1 << 20)
    try:
        yield server
    finally:
        server.stop()


def test_an_absent_persistent_subscriber_fills_the_store_and_locks_everyone_out(tmp_path, fleet, connect):
    """Why ingest uses clean sessions: this is what the broker really does when its store is full."""
    with small_store(tmp_path, fleet) as server:
        absent = connect(server, "svc.ingest", clean=False)
        absent.subscribe("t/+/up")
        absent.cut()
        device = connect(server, A)
        for _ in range(40):
            device.paho.publish(f"t/{A}/up", bytes(32_000), 1)
        server.await_log("resource limits exceeded")
        assert device.gone.wait(WAIT_S), "no PUBACK for what was not stored"
        assert connack(server, tls.client_context(fleet.cert("root"), fleet.cert(B), fleet.key(B)), B) is None


def test_without_a_subscriber_nothing_is_stored(own_server, connect):
    ingest = connect(own_server, "svc.ingest")
    ingest.subscribe("t/+/up")
    device = connect(own_server, A)
    device.publish(f"t/{A}/up", b"1")
    assert ingest.get()[1] == b"1"
    ingest.close()
    for _ in range(20):
        device.publish(f"t/{A}/up", bytes(2048))
    with urllib.request.urlopen(f"http://127.0.0.1:{own_server.settings.monitor_port}/jsz?streams=true") as answer:
        account = json.load(answer)["account_details"][0]
    (stored,) = [stream["state"]["messages"] for stream in account["stream_detail"] if stream["name"] == "$MQTT_msgs"]
    assert stored == 0


def test_a_client_id_with_a_dot_is_refused_so_services_use_a_dash(server, fleet):
    context = tls.client_context(fleet.cert("root"), fleet.cert("svc.ingest"), fleet.key("svc.ingest"))
    assert connack(server, context, "svc.ingest") == 2   # identifier rejected
    assert connack(server, context, "svc-ingest") == 0
