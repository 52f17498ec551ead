"""A server, keys, releases and pretend devices for the tests of the update server; time stands still unless a test moves it."""

import asyncio
import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from host import tls
from node.wire import checkin, direction, manifest, signed
from ota.client import OtaClient
from ota.release import keys, sign, verify
from ota.release.bundle import manifest_for
from ota.release.patch import Delta
from ota.rules.values import Policy
from ota.server import app as server
from ota.server.desk import Desk
from ota.server.settings import OtaSettings
from provisioning import pki
from tests.databases import migrated

MODEL = "hall"
DEVICE = "hall-000000000000"
PEER = "hall-0242ac110001"   # a device with a certificate of the fleet's own
IMAGE = bytes(manifest.MIN_IMAGE_BYTES - 4) + b"end\n"   # the smallest that a manifest may name
FAST = Policy(stages=(1, 5, 10, 100), soak_s=(6, 6, 6, 6), lease_s=60, min_reports=3, retry_s=20, active_s=60)


class Clock:
    """Unix seconds that only move when told."""

    def __init__(self, now_s: float = 1_800_000_000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Keys:
    """A fresh root with one key a role."""

    folder: Path
    root_key: keys.PrivateKey = field(init=False)
    release_key: keys.PrivateKey = field(init=False)
    direction_key: keys.PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root_key, self.release_key, self.direction_key = (
            keys.generate(self.folder / f"{name}.key") for name in ("root", "release", "direction"))
        self.root_raw = sign.first_root(
            [self.root_key], [keys.public65(self.release_key)], [keys.public65(self.direction_key)])
        self.root = verify.follow([self.root_raw])
        (self.folder / "root.bin").write_bytes(self.root_raw)

    def release(self, counter: int, *, low: int = 0, high: int | None = None, stone: bool = False,
                models: tuple[str, ...] = (MODEL,), key: keys.PrivateKey | None = None,
                image: bytes | None = None, deltas: dict[str, list[Delta]] | None = None) -> tuple[bytes, bytes]:
        """Sign a small release; gives (manifest envelope, artifact). `image` and `deltas` are named in it if they are given."""
        files = {"main.mpy": b"M\x06" + bytes([counter]) * 50, "node/x.mpy": b"x" * 3000}
        payload, artifact = manifest_for(
            files, f"1.{counter}.0", counter, models, (low, counter - 1 if high is None else high), stone=stone, image=image,
            deltas=deltas)
        return sign.envelope(signed.MANIFEST, payload, [key or self.release_key]), artifact


_certificates: dict[str, bytes] = {}
_key = ec.generate_private_key(ec.SECP256R1())


def certificate(name: str) -> bytes:
    """A self-signed certificate with one CN, DER: what host.tls would put into the scope."""
    import datetime as dt  # noqa: PLC0415

    from cryptography import x509  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415
    if name not in _certificates:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        made = (x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(_key.public_key())
                .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=9)).sign(_key, hashes.SHA256()))
        _certificates[name] = made.public_bytes(serialization.Encoding.DER)
    return _certificates[name]


class WithPeer:
    """Puts a client certificate into the scope as host.tls does; its name comes in a header that only tests send."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            name = dict(scope["headers"]).get(b"x-test-peer")
            if name:
                scope.setdefault("extensions", {})["tls"] = {"client_cert_der": certificate(name.decode())}
        await self.app(scope, receive, send)


class Client:
    """Calls an ASGI application in this thread. Its background work does not run: tests do that, when they move the clock."""

    def __init__(self, app: Any) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://ota")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_error: object) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **more))

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


@dataclass
class Plant:
    """A running server with its keys and clock."""

    keys: Keys
    clock: Clock
    client: "Client"
    app: Any

    @property
    def context(self) -> Any:
        return self.app.state.context

    def get(self, path: str, peer: str = "op.console", **headers: str) -> httpx.Response:
        return self.client.get(path, headers={"x-test-peer": peer} | headers)

    def post(self, path: str, body: Any = None, peer: str = "op.release") -> httpx.Response:
        return self.client.post(path, json=body, headers={"x-test-peer": peer})

    def upload(self, content: bytes, name: str | None = None, peer: str = "op.release") -> httpx.Response:
        """Upload a bundle or an image, under its own name unless another is given."""
        name = hashlib.sha256(content).hexdigest() if name is None else name
        return self.client.request("PUT", f"/admin/artifacts/{name}", content=content, headers={"x-test-peer": peer})

    def publish(self, raw: bytes, artifact: bytes, image: bytes | None = None, **more: Any) -> httpx.Response:
        """Upload the parts and publish the release; gives the answer to the latter."""
        parts = {"artifact": artifact} | ({} if image is None else {"image": image})
        names = {}
        for part, content in parts.items():
            answer = self.upload(content)
            assert answer.status_code == 201, answer.text
            names[part] = answer.json()["artifact"]
        return self.post("/admin/releases", {"manifest": base64.b64encode(raw).decode()} | names | more)

    def rollout(self, manifest: str, **more: Any) -> dict[str, Any]:
        answer = self.post("/admin/rollouts", {"manifest": manifest} | more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def status(self, ident: str) -> dict[str, Any]:
        return self.get(f"/admin/rollouts/{ident}").json()

    def pass_time(self, seconds: float) -> None:
        """Move the clock and let the background work run once, as it would have."""
        self.clock.now_s += seconds
        server.pulse(self.context)
        server.tick(self.context)
        server.pulse(self.context)


@dataclass
class PretendDevice:
    """Checks in as a device would, and verifies directions as a device would."""

    plant: Plant
    ident: str
    release: str = "1.1.0"
    counter: int = 1
    manifest: str = ""
    boot: int = 1
    trial: bool = False
    failed: dict[str, Any] | None = None
    seq: int = 0
    metrics: dict[str, int] = field(default_factory=lambda: {"uptime_s": 0, "drops": 0, "app_crashes": 0, "resets": 0})
    config: dict[str, Any] = field(default_factory=lambda: {"config": "", "config_trial": False, "config_failed": None})
    nonces: int = 0
    directed: str | None = None

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.plant.get(path, self.ident, **headers)

    def check_in(self) -> dict[str, Any]:
        self.nonces += 1
        nonce = f"{self.nonces:032x}"
        request = {"device": self.ident, "model": MODEL, "release": self.release, "counter": self.counter,
                   "manifest": self.manifest, "boot": self.boot, "nonce": nonce, "slot": "a", "trial": self.trial,
                   "failed": self.failed, "root": 1, "seq": self.seq, "metrics": self.metrics} | self.config
        answer = self.plant.client.post(
            "/v1/checkin", content=checkin.encode_request(request), headers={"x-test-peer": self.ident})
        assert answer.status_code == 200, answer.text
        self.failed = self.config["config_failed"] = None   # the server has heard
        told = checkin.parse_response(answer.content)
        self.directed = None
        if told["direction"] is not None:
            found = direction.load(told["direction"], self.plant.keys.root, self.ident, nonce, self.seq, told["now_s"])
            self.seq, self.directed = found["seq"], found["manifest"]
        return told

    def install(self) -> None:
        """Boot into what it was directed to, on trial."""
        assert self.directed is not None
        body = self.plant.get(f"/v1/manifests/{self.directed}", self.ident)
        found = verify.release_of(body.content, manifest_of(body.content, self.plant.keys.root))
        self.before = (self.release, self.counter, self.manifest)
        self.release, self.counter, self.manifest, self.trial = found.release, found.counter, found.manifest, True
        self.reboot()

    def fall_back(self, reason: str = "import error") -> None:
        """Boot the old version again and tell of it."""
        self.failed = {"counter": self.counter, "manifest": self.manifest, "reason": reason}
        self.release, self.counter, self.manifest = self.before
        self.trial = False
        self.reboot()

    def reboot(self) -> None:
        self.boot += 1
        self.metrics = {name: value if name == "resets" else 0 for name, value in self.metrics.items()}

    def live(self, seconds: int) -> None:
        self.metrics["uptime_s"] += seconds


def manifest_of(raw: bytes, root: dict[str, Any]) -> dict[str, Any]:
    return manifest.load(raw, root)


def new_database(folder: Path) -> str:
    """Make a database at the newest schema; gives its URL. `test_postgresql` puts another in its place."""
    return migrated(folder / "ota.db", "ota.store")


def empty_url(folder: Path) -> str:
    """A database without a table, and perhaps without a file; gives its URL."""
    return f"sqlite:///{folder}/empty.db"


@contextmanager
def plant(folder: Path, made: Keys | None = None, **more: Any) -> Iterator[Plant]:
    made, clock = made or Keys(folder / "keys"), Clock()
    app = server.create_app(settings_for(folder, made, database=new_database(folder), **more), clock=clock)
    server.pulse(app.state.context)
    with Client(WithPeer(app)) as client:
        yield Plant(made, clock, client, app)
    app.state.context.pool.shutdown()
    app.state.context.engine.dispose()


def restart(plant: Plant) -> None:
    """Go on with the desk of a process that has just started."""
    context = plant.context
    key = keys.load(context.settings.direction_key)
    context.desk = Desk(context.engine, key, context.settings.pace(), plant.clock.now_s, lambda: 0.0)
    context.desk.refresh(plant.clock.now_s)
    context.desk.recall(plant.clock.now_s)


def settings_for(folder: Path, made: Keys, **more: Any) -> OtaSettings:
    values: dict[str, Any] = {
        "cert_file": folder / "cert.pem", "key_file": folder / "key.pem", "ca_file": folder / "ca.pem",
        "database": f"sqlite:///{folder}/ota.db", "archive": folder / "archive", "root_file": made.folder / "root.bin",
        "direction_key": made.folder / "direction.key", "period_s": 5, "flush_s": 60, "tick_s": 3600, "offers_per_s": 1000,
        "policy": FAST}
    return OtaSettings(**(values | more))


def directed(plant: Plant, manifest: str, number: int = 0) -> PretendDevice:
    """A device that was just directed to a published release; the only one of its model that the rollout meets."""
    device = PretendDevice(plant, f"hall-{number:012x}")
    device.check_in()
    plant.pass_time(1)
    plant.rollout(manifest, stages=[100])
    device.check_in()
    assert device.directed == manifest
    return device


def fleet(plant: Plant, number: int) -> list[PretendDevice]:
    return [PretendDevice(plant, f"hall-{index:012x}") for index in range(number)]


def install_and_confirm(server: Plant, devices: list[PretendDevice], seconds: float = 3) -> None:
    """One period of a healthy fleet."""
    for device in devices:
        device.live(int(seconds))
        device.check_in()
        if device.directed:
            device.install()
        elif device.trial:
            device.trial = False
    server.pass_time(seconds)


def request_of(device: str, **changes: object) -> bytes:
    body = {"device": device, "model": "hall", "release": "1.1.0", "counter": 1, "manifest": "", "boot": 1, "nonce": "0" * 32,
            "slot": "a", "trial": False, "failed": None, "root": 1, "seq": 0, "metrics": {}}
    return checkin.encode_request(body | changes)


def post_raw(server: Plant, raw: bytes, peer: str | None = DEVICE):
    return server.client.post("/v1/checkin", content=raw, headers={"x-test-peer": peer} if peer else {})


def code(answer) -> tuple[int, str]:
    body = answer.json()
    assert set(body) == {"code", "message"}
    assert "Traceback" not in answer.text
    return answer.status_code, body["code"]


# The real server.

def as_device(port: int, certificates: pki.FleetPki) -> httpx.Client:
    context = tls.client_context(certificates.cert("root"), certificates.cert(PEER), certificates.key(PEER))
    return httpx.Client(base_url=f"https://localhost:{port}", verify=context, trust_env=False)


def operator(port: int, certificates: pki.FleetPki, name: str = "op.release") -> OtaClient:
    return OtaClient.connect(
        f"https://localhost:{port}", certificates.ca_file, certificates.cert(name), certificates.key(name))


def check_in(device: httpx.Client, nonce: str, **changes: object) -> dict:
    body = {"device": PEER, "model": MODEL, "release": "1.1.0", "counter": 1, "manifest": "", "boot": 1, "nonce": nonce,
            "slot": "a", "trial": False, "failed": None, "root": 1, "seq": 0, "metrics": {"uptime_s": 1}}
    answer = device.post("/v1/checkin", content=checkin.encode_request(body | changes))
    assert answer.status_code == 200, answer.text
    return checkin.parse_response(answer.content)


def until(ask, wanted, limit: int = 200):
    """Ask until the answer is the wanted one; the background work of the server runs every 0.05 s."""
    pause = threading.Event()
    for _ in range(limit):
        found = ask()
        if found == wanted:
            return
        pause.wait(0.05)
    raise AssertionError(f"got {found!r}, expected {wanted!r}")
