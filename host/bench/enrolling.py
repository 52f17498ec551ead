"""One process of devices that enrol: `python -m host.bench.enrolling`, started by host/bench/enrol.py.

Reads its job as one line of JSON from standard input, says "ready" when all is at hand, begins at the next line, and writes what
each request took. Imports next to nothing, so that many are started in no time. Who starts it makes keys and requests before.
"""

import asyncio
import json
import ssl
import sys
import time
from collections import deque
from functools import partial
from typing import TypedDict

from host.bench import fleet
from host.bench.fleet import Device

WARM = 4   # devices that ask before the clock runs: a server's first requests have it compile its statements


class Job(TypedDict):
    """What one process does: `bodies` are the requests, base64, one a device; `in_flight` of them are under way."""

    port: int
    ca_file: str
    bodies: list[str]
    seconds: float
    in_flight: int


class Done(TypedDict):
    """`took_s`: each answered request, its handshake included. `cpu_s`: of this process."""

    took_s: list[float]
    handshakes: int
    wall_s: float
    cpu_s: float


def request(body: str) -> bytes:
    """A device's request for its certificate."""
    return (f"POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pkcs10\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def devices(job: Job) -> deque[Device]:
    """The devices of a job: no certificate yet, TLS 1.2 as a board speaks it, the server's name and chain verified."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(job["ca_file"])
    return deque(Device(context, job["port"], partial(request, body)) for body in job["bodies"])


async def run(job: Job) -> Done:
    """Say "ready", wait for the word, and have the devices enrol."""
    waiting = devices(job)
    for _ in range(min(WARM, len(waiting))):
        await waiting[0].ask()
        waiting[0].hang_up()
        waiting.rotate(-1)
    _say("ready")
    sys.stdin.readline()
    handshakes = sum(device.handshakes for device in waiting)
    cpu_s, began = time.process_time(), time.perf_counter()
    took_s = await fleet.ask_in_turn(waiting, job["seconds"], job["in_flight"], hang_up=True)
    return Done(took_s=took_s, handshakes=sum(device.handshakes for device in waiting) - handshakes,
                wall_s=time.perf_counter() - began, cpu_s=time.process_time() - cpu_s)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the job; an answer that is no certificate ends it with one line and exit code 1."""
    try:
        _say(json.dumps(asyncio.run(run(json.loads(sys.stdin.readline())))))
    except (fleet.RefusedError, TimeoutError) as error:
        sys.stderr.write(str(error) or "a server took too long for its answers")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
