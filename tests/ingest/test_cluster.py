"""Three nats-servers, a replicated stream, two workers on PostgreSQL: kill any of them while readings flow."""

import json
import os
import signal
import socket
import urllib.request
from contextlib import suppress

import pytest

from host import tls
from tests.ingest.crew import Crew
from tests.ingest.plant import WAIT_S, until
from tests.ingest.records import DEVICE, OTHER

pytestmark = pytest.mark.slow
DEVICES = [DEVICE, OTHER, "hall-0242ac110003", "hall-0242ac110004"]
RECORDS = 400
NODES = 3


@pytest.fixture
def cluster_of_three(tmp_path, postgresql_url):
    crew = Crew(tmp_path, DEVICES, postgresql_url, nodes=NODES)
    for number in range(NODES):
        crew.start_node(number)
    until(lambda: all(crew.said("Server is ready", f"node{number}.log") for number in range(NODES)), "three nodes")
    chosen = "JetStream cluster new metadata leader"
    until(lambda: any(crew.said(chosen, f"node{number}.log") for number in range(NODES)), "a leader of the cluster")
    crew.make_stream(replicas=3)
    crew.configure(source="jetstream")
    yield crew
    crew.close()


def leader_of(crew):
    """Which node leads the stream now, as any of those that live says; None while there is none."""
    for number, process in crew.brokers.items():
        if process.poll() is None:
            url = f"http://127.0.0.1:{crew._status_ports[number]}/jsz?streams=true"
            with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
                accounts = json.load(answer).get("account_details") or []
            for one in (stream for account in accounts for stream in account["stream_detail"]):
                if one["name"] == "tenfold" and (leader := one.get("cluster", {}).get("leader")):
                    return int(leader.removeprefix("node"))
    return None


def test_any_node_and_any_worker_may_be_killed_while_readings_flow(cluster_of_three):
    crew = cluster_of_three
    crew.start_workers(2)
    until(lambda: crew.said("subscribed to ingest of tenfold") == 2, "two workers")
    sent = crew.send(RECORDS)
    step = len(sent) // 8
    for turn, victim in enumerate(["leader", "worker", "other", "worker", "leader"]):
        until(lambda turn=turn: crew.acked() > (turn + 1) * step, f"acks before kill {turn}")
        assert crew.acked() < len(sent), "killed with nothing to do"
        if victim == "worker":
            os.kill(crew.worker_pid(1 + turn // 2 % 2), signal.SIGKILL)   # each once: the first may not be back yet
            continue
        until(lambda: leader_of(crew) is not None, "a leader of the stream")
        leader = leader_of(crew)
        number = leader if victim == "leader" else (leader + 1) % NODES
        crew.kill(crew.brokers[number])
        before = crew.acked()
        until(lambda before=before: crew.acked() > before + 50, "acks with two nodes of three")
        crew.start_node(number)
        until(lambda: all(process.poll() is None for process in crew.brokers.values()), "three nodes again")
    while (acked := crew.acked()) < len(sent):
        until(lambda acked=acked: crew.acked() > acked, "more acks")
    rows, sums = crew.stored()
    assert rows == sent
    assert all((sums[name].records, sums[name].next_seq) == (RECORDS, RECORDS) for name in DEVICES)


def test_a_device_does_not_become_a_node(cluster_of_three):
    """A node may do everything, and every certificate of ours is signed by the same CA."""
    crew = cluster_of_three
    context = tls.client_context(crew.pki.ca_file, crew.pki.cert(DEVICE), crew.pki.key(DEVICE))
    plain = socket.create_connection(("127.0.0.1", crew._route_ports[0]))
    plain.settimeout(WAIT_S)
    plain.recv(4096)   # INFO, before TLS
    heard = b""
    with suppress(OSError), context.wrap_socket(plain, server_hostname="localhost") as peer:   # refused after the handshake
        peer.sendall(b'CONNECT {"verbose":true,"name":"spy","server_id":"spy"}\r\nPING\r\n')
        while part := peer.recv(4096):
            heard += part
    assert heard == b""
