"""Measures check-ins per second of the server's CPU time: `python tests/ota/bench_checkins.py`. Linux only; not a test.

One server process, plain HTTP on the loopback interface with keep-alive, 32 connections, 2,000 devices that have nothing to do. The
server's own CPU time (from /proc) is what to compare: the load generator shares the machine.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "firmware/lib")]

from host import tls  # noqa: E402
from node.wire import checkin  # noqa: E402
from node.wire.metrics import METRICS  # noqa: E402
from ota.server.app import create_app  # noqa: E402
from tests.ota.support import MODEL, Keys, WithPeer, settings_for  # noqa: E402

DEVICES = 2_000
CONNECTIONS = 32
SECONDS = 8.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def serve(descriptor: int) -> None:
    """Serve on an inherited socket until the pipe to the parent closes the process."""
    import socket  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder, socket.socket(fileno=descriptor) as listener:
        app = create_app(settings_for(Path(folder), Keys(Path(folder) / "keys"), period_s=300, flush_s=1, tick_s=10))
        tls.make_server(WithPeer(app), None).run(sockets=[listener])


def request_of(index: int) -> bytes:
    device = f"{MODEL}-{index:012x}"
    body = checkin.encode_request({
        "device": device, "model": MODEL, "release": "1.1.0", "counter": 1, "manifest": "", "boot": 1, "nonce": "0" * 32,
        "slot": "a", "trial": False, "failed": None, "root": 1, "seq": 0, "metrics": dict.fromkeys(METRICS, 7)})
    head = f"POST /v1/checkin HTTP/1.1\r\nHost: ota\r\nX-Test-Peer: {device}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().split()[13:15]
    return (int(user) + int(system)) / TICKS_PER_S


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> float:
    began = time.perf_counter()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
    if not head.startswith(b"http/1.1 200"):
        raise RuntimeError(head.decode())
    return time.perf_counter() - began


async def measure(port: int, pid: int) -> dict[str, float]:
    requests = [request_of(index) for index in range(DEVICES)]
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    took: list[float] = []

    async def first(share: int) -> None:
        for request in requests[share::CONNECTIONS]:
            await ask(*connections[share], request)

    async def idle(share: int, end: float) -> None:
        while time.monotonic() < end:
            took.append(await ask(*connections[share], random.choice(requests)))

    await ask(*connections[0], requests[0])   # the server has started
    before = cpu_s(pid)
    await asyncio.gather(*(first(share) for share in range(CONNECTIONS)))
    between = cpu_s(pid)
    began = time.monotonic()
    await asyncio.gather(*(idle(share, began + SECONDS) for share in range(CONNECTIONS)))
    wall, after = time.monotonic() - began, cpu_s(pid)
    for _, writer in connections:
        writer.close()
    took.sort()
    return {
        "idle_per_cpu_s": round(len(took) / (after - between)), "first_per_cpu_s": round(DEVICES / (between - before)),
        "idle_per_s": round(len(took) / wall), "p50_ms": round(1e3 * took[len(took) // 2], 1),
        "p99_ms": round(1e3 * took[len(took) * 99 // 100], 1)}


def main() -> None:
    with tls.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        server = subprocess.Popen([sys.executable, __file__, str(listener.fileno())], pass_fds=[listener.fileno()])
    try:
        sys.stdout.write(json.dumps(asyncio.run(measure(port, server.pid))) + "\n")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    serve(int(sys.argv[1])) if sys.argv[1:] else main()
