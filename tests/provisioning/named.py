"""A real BIND of the test's own: on loopback, in a temporary folder, with one zone that takes updates signed with one key."""

import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from tests.brokers import free_ports

ZONE = "gw.example.org"
START_S = 60   # bounds nothing but a failure
NAMED = shutil.which("named") or shutil.which("/usr/sbin/named")
KEYGEN = shutil.which("tsig-keygen") or shutil.which("/usr/sbin/tsig-keygen")
ZONE_FILE = f"""$ORIGIN {ZONE}.
$TTL 3600
@ IN SOA ns1.example.org. hostmaster.example.org. 7 3600 600 1209600 60
@ IN NS ns1.example.org.
"""


def make_key(path: Path, name: str = "routes", algorithm: str = "hmac-sha256") -> Path:
    made = subprocess.run([KEYGEN, "-a", algorithm, name], capture_output=True, text=True, check=True)
    path.touch(0o600)
    path.write_text(made.stdout)
    return path


class Named:
    """One server; `say` is what a client calls it."""

    def __init__(self, folder: Path, records: str = "", policy: str = "zonesub A AAAA CNAME") -> None:
        if not all(map(shutil.which, ("dig", "nsupdate"))) or NAMED is None or KEYGEN is None:
            pytest.skip("NOT TESTED: routes against a real DNS server; BIND is not installed (Debian: bind9, bind9-dnsutils)")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.key = make_key(folder / "routes.key")
        self.port = free_ports(1)[0]
        self.say = f"127.0.0.1:{self.port}"
        (folder / "zone").write_text(ZONE_FILE + records)
        (folder / "named.conf").write_text(f"""
            options {{ directory "{folder}"; listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};
              pid-file none; session-keyfile none; recursion no; notify no; dnssec-validation no;
              allow-transfer {{ key "routes"; }}; }};
            controls {{ }};
            {self.key.read_text()}
            zone "{ZONE}" {{ type primary; file "zone"; update-policy {{ grant "routes" {policy}; }}; }};
            """)
        self.process = None
        self.start()

    def __enter__(self) -> "Named":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        command = [NAMED, "-g", "-n", "1", "-c", self.folder / "named.conf"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process.stderr, lines), daemon=True).start()
        said, end = "", time.monotonic() + START_S
        while not said.endswith(" running\n"):
            try:
                said += lines.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                self.stop()
                raise AssertionError(f"named did not start: {said}") from None

    @staticmethod
    def _listen(stream, lines: "queue.Queue[str]") -> None:
        for line in stream:
            lines.put(line)
        stream.close()

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None

    def dig(self, *words: str) -> list[str]:
        """What dig finds, as short lines."""
        done = subprocess.run(["dig", "+short", "+tries=2", "+time=5", "-p", str(self.port), "@127.0.0.1", *words],
                              capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.split()

    def update(self, *lines: str) -> None:
        """Somebody else's update, by nsupdate with the same key."""
        script = f"server 127.0.0.1 {self.port}\nzone {ZONE}\n" + "\n".join(lines) + "\nsend\n"
        subprocess.run(["nsupdate", "-k", self.key], input=script, text=True, check=True, capture_output=True, timeout=60)
