"""Several servers on one database: whoever starts or decides first, no stage is exceeded and nothing is made twice."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier

from host.db import open_engine
from ota.release import keys
from ota.server.desk import Desk, sighting_of
from ota.store import attempts, rollouts
from ota.store.session import reading
from provisioning import pki
from tests.brokers import free_ports
from tests.ota import support
from tests.ota.support import Keys, Plant, fleet, operator, until

ROOT = Path(__file__).parents[2]
TAKE = """
import sys
from host.db import open_engine
from ota.store import rollouts
from ota.store.session import reading, writing

engine = open_engine(sys.argv[1])
with reading(engine) as connection:
    rollout = rollouts.get(connection, sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
taken = 0
for _ in range(20):
    with writing(engine) as connection:
        taken += rollouts.take_place(connection, rollout)
print(taken)
"""


def test_processes_never_give_more_places_than_a_stage_has(server: Plant, released: str) -> None:
    for device in fleet(server, 100):
        device.check_in()
    server.pass_time(1)
    ident = server.rollout(released, stages=[25, 100])["rollout"]
    command = [sys.executable, "-c", TAKE, server.context.settings.database, ident]
    with ExitStack() as stack:
        running = [stack.enter_context(subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)) for _ in range(3)]
        for process in running:
            assert process.stdout.readline() == "ready\n"
        for process in running:
            process.stdin.write("\n")
            process.stdin.flush()
        taken = [int(process.communicate(timeout=60)[0]) for process in running]
    assert sum(taken) == 25
    assert server.status(ident)["offered"] == 25


def test_desks_that_decide_at_once_never_exceed_a_stage(server: Plant, released: str) -> None:
    """Two desks, each with its own connections; every device asks both at the same moment."""
    devices = fleet(server, 60)
    for device in devices:
        device.check_in()
    server.pass_time(1)
    ident = server.rollout(released, stages=[20, 100])["rollout"]
    context = server.context
    others = [open_engine(context.settings.database) for _ in range(2)]
    key = keys.load(context.settings.direction_key)
    desks = [Desk(engine, key, context.settings.pace(), server.clock.now_s, lambda: 0.0) for engine in others]
    gate = Barrier(len(desks))

    def ask(desk: Desk) -> list[str]:
        directed = []
        for device in devices:
            request = json.loads(support.request_of(device.ident, boot=device.boot)) | {"config": "", "config_trial": False}
            sighting = sighting_of(request | {"config_failed": None}, server.clock.now_s)
            gate.wait(60)
            if desk.settle(sighting, "0" * 32, 0).direction is not None:
                directed.append(device.ident)
        return directed

    with ThreadPoolExecutor(len(desks)) as pool:
        directed = [name for names in pool.map(ask, desks) for name in names]
    for engine in others:
        engine.dispose()
    with reading(context.engine) as connection:
        rollout = rollouts.get(connection, ident)
        assert rollout.offered == rollout.capacity == 12
        assert {each.device for each in attempts.page(connection, ident, 100)} == set(directed)
    assert len(set(directed)) == 12


def test_servers_that_start_together_on_an_empty_database_all_serve(
    tmp_path: Path, config: dict[str, object], certificates: pki.FleetPki, signing: Keys,
) -> None:
    database = support.empty_url(tmp_path)
    ports = free_ports(3)
    with ExitStack() as stack:
        running = []
        for port in ports:
            path = tmp_path / f"{port}.json"
            path.write_text(json.dumps(config | {"port": port, "database": database}))
            running.append(stack.enter_context(subprocess.Popen(
                [sys.executable, "-m", "ota.server", "--config", str(path)], cwd=ROOT, stderr=subprocess.PIPE)))
        try:
            for port in ports:
                with operator(port, certificates) as desk:
                    until(desk.healthy, True)
            with operator(ports[0], certificates) as desk:
                manifest = desk.publish(*signing.release(2))["manifest"]
            with operator(ports[2], certificates) as desk:
                assert [each["manifest"] for each in desk.releases()] == [manifest]
        finally:
            for process in running:
                process.terminate()
        assert [(process.communicate(timeout=20)[1], process.returncode) for process in running] == [(b"", 0)] * 3
