"""Workers that share the work, and die: nothing lost, nothing twice. Real brokers with mutual TLS, real processes, SIGKILL."""

import os
import shutil
import signal
import socket

import pytest

from host import mosquitto, tls
from host.cli.errors import USER_ERRORS
from host.ingest.stream import StreamError
from tests.ingest.crew import Crew
from tests.ingest.plant import WAIT_S, until
from tests.ingest.records import DEVICE, OTHER

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
THIRD = "hall-0242ac110003"
RECORDS = 300
MQTT_STATE = "t/+/state"


@pytest.fixture
def crew(tmp_path):
    crew = Crew(tmp_path, [DEVICE, OTHER, THIRD], f"sqlite:///{tmp_path}/telemetry.db")
    yield crew
    crew.close()


@pytest.fixture
def jetstream(crew):
    crew.start_node(0)
    until(lambda: crew.said("Server is ready", "node0.log"), "the broker")
    crew.make_stream()
    crew.configure(source="jetstream")
    return crew


def check_all_arrived(crew, sent):
    until(lambda: all(one.done() for one in crew.devices), "the last acks")
    rows, sums = crew.stored()
    assert rows == sent
    for one in crew.devices:
        assert (sums[one.name].records, sums[one.name].next_seq) == (RECORDS, RECORDS)


def test_two_workers_of_a_stream_of_which_one_is_killed_lose_nothing(jetstream):
    parent = jetstream.start_workers(2)
    until(lambda: jetstream.said("subscribed to ingest of tenfold") == 2, "two workers")
    sent = jetstream.send(RECORDS)
    until(lambda: jetstream.acked() > RECORDS // 4, "acks")
    os.kill(jetstream.worker_pid(1), signal.SIGKILL)
    assert jetstream.acked() < len(sent), "killed with nothing to do"
    until(lambda: jetstream.said("subscribed to ingest of tenfold") == 3, "another in its place")
    check_all_arrived(jetstream, sent)
    assert jetstream.said("this worker leads") >= 1
    pids = [jetstream.worker_pid(number) for number in (1, 2)]
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(WAIT_S) == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_workers_end_when_who_started_them_is_killed(jetstream):
    parent = jetstream.start_workers(2)
    until(lambda: jetstream.said("subscribed to ingest of tenfold") == 2, "two workers")
    jetstream.kill(parent)
    until(lambda: jetstream.said("the process that started this worker is gone") == 2, "both ends")


def test_what_came_while_no_worker_was_there_waits_in_the_stream(jetstream):
    device = jetstream.send(2)
    until(lambda: jetstream.said("Server is ready", "node0.log"), "the broker")
    jetstream.start_worker(1)
    until(lambda: all(one.done() for one in jetstream.devices), "acks of what waited")
    assert jetstream.stored()[0] == device


def test_ingest_may_not_make_streams_and_nobody_else_may_listen(jetstream):
    """Who may create a stream may listen to everything."""
    def refused(name, port, *lines):
        context = tls.client_context(jetstream.pki.ca_file, jetstream.pki.cert(name), jetstream.pki.key(name))
        plain = socket.create_connection(("127.0.0.1", port))
        plain.settimeout(5)
        plain.recv(4096)   # INFO, before TLS
        with context.wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall(b"\r\n".join([b'CONNECT {"verbose":true,"headers":true}', *lines, b"PING", b""]))
            heard = b""
            while b"PONG" not in heard and (part := peer.recv(4096)):
                heard += part
            return heard.count(b"Violation")

    port = jetstream.nats_ports[0]
    assert refused("svc.ingest", port, b"SUB $MQTT.sub.> 1", b"SUB $JS.> 2", b"SUB _INBOX.> 3", b"SUB > 4") == 4
    wanted = [b"PUB $JS.API.STREAM.CREATE.spy 0", b"", b"PUB $JS.API.STREAM.DELETE.tenfold 0", b"",
              b"PUB $JS.API.STREAM.MSG.GET.$MQTT_rmsgs 0", b"", b"PUB $JS.API.CONSUMER.CREATE.tenfold.spy 0", b""]
    assert refused("svc.ingest", port, *wanted) == 4
    assert refused("op.broker", port, *wanted[:2], b"SUB t.> 1") == 2
    assert refused(DEVICE, port) == 1   # Authorization Violation: devices come by MQTT alone


def test_stream_is_changed_in_place_and_a_refusal_is_told_in_one_line(jetstream):
    jetstream.make_stream()   # as it is
    with pytest.raises(StreamError, match="stream tenfold on localhost") as told:
        jetstream.make_stream(replicas=3)   # one node cannot
    assert isinstance(told.value, USER_ERRORS)


@pytest.fixture
def mosquitto_of(crew):
    """A real Mosquitto as host.mosquitto configures it, without a list of revoked certificates."""
    if MOSQUITTO is None:
        pytest.skip("MOSQUITTO WAS NOT TRIED: apt-get install mosquitto")
    folder, names = crew.folder, crew.pki
    settings = mosquitto.MosquittoSettings(
        port=crew.ports[0], cert_file=names.cert("svc.broker"), key_file=names.key("svc.broker"), ca_file=names.ca_file,
        crl_file=folder / "none", acl_file=folder / "acl", pid_file=folder / "pid", user="root")
    mosquitto.write_acl(settings.acl_file, crew.names)
    lines = [line for line in mosquitto.render(settings).splitlines() if not line.startswith("crlfile")]
    (folder / "mosquitto.conf").write_text("\n".join(lines))
    crew._start("mosquitto.log", [MOSQUITTO, "-c", folder / "mosquitto.conf"])
    until(lambda: crew.said("running", "mosquitto.log"), "Mosquitto")
    return crew


def test_two_workers_of_an_mqtt_5_group_of_which_one_is_killed_lose_nothing(mosquitto_of):
    """Mosquitto drops what was on its way to a member that died; the devices send it again."""
    crew, names = mosquitto_of, mosquitto_of.pki
    crew.configure(mqtt_version="5", group="ingest", cert_file=str(names.folder / "svc.ingest{worker}.pem"),
                   key_file=str(names.folder / "svc.ingest{worker}.key"))
    crew.start_workers(2)
    until(lambda: crew.said("subscribed to $share/ingest/t/+/up") == 2, "a group of two")
    until(lambda: crew.said(f"subscribed to {MQTT_STATE}"), "one that hears the states")
    assert crew.said(f"subscribed to {MQTT_STATE}") == 1, "one alone hears the states"
    sent = crew.send(RECORDS)
    until(lambda: crew.acked() > RECORDS // 4, "acks")
    os.kill(crew.worker_pid(1), signal.SIGKILL)
    assert crew.acked() < len(sent), "killed with nothing to do"
    until(lambda: crew.said("subscribed to $share/ingest/t/+/up") == 3, "another in its place")
    check_all_arrived(crew, sent)
    assert crew.said("Assertion") == crew.said("Traceback") == 0


def test_several_workers_on_a_broker_that_does_not_share_are_refused(crew):
    crew.configure()
    assert crew.start_workers(2).wait(WAIT_S) == 2
    assert crew.said("setting group: got none for 2 workers")
