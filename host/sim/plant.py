"""A plant on one machine: folders, certificates, keys, ledger, releases and flash images of a demo.

Decides where everything lies; starts nothing. What its processes' settings say is programs.py's. `Pace` holds what makes the demo
fast: the days of a rollout and the minutes of an uplink are settings here, the code they steer is the same as in a real plant.
"""

import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.serialization import Encoding

from host.db import open_engine
from host.ecdsa import point
from host.files import write_whole
from host.sim import hall, signals
from host.sim.errors import DemoError
from host.sim.ports import Ports, free_ports, require_free_port
from host.sim.replay import Replay
from host.sim.signals import Channel
from node.wire import bundle as bundle_format
from node.wire import identity, signed
from ota.client import OtaClient
from ota.release import bundle, delta, keys
from ota.release.patch import Delta
from ota.release.sign import envelope, first_root
from provisioning.ca import make_key
from provisioning.crl import make_crl
from provisioning.ledger import Ledger
from provisioning.line.fetch import fetch_umqtt
from provisioning.line.image import boots_at, build_flash, device_files
from provisioning.line.station import Station
from provisioning.pki import FleetPki, load_authority, make_fleet_pki

REPOSITORY = Path(__file__).parents[2]
FIRMWARE = REPOSITORY / "firmware"
PARTITIONS = FIRMWARE / "image" / "partitions-unix.csv"
PRODUCT = MODEL = "hall"
LOT = "demo"
MAC_PREFIX = "0242ac11"                 # locally administered (IEEE 802, second bit of the first octet)
HALL_SEED = 10                          # the same hall in every run, so that runs can be compared
STATS_SAMPLES = 8                       # one row of minimum, mean, maximum and deviation for each two seconds
ALARM_QUANTILE = 0.97
NEED_DISK_MB = 300                      # flash files, databases and logs of 24 devices take about 100 MB


@dataclass(frozen=True)
class Pace:
    """How fast the demo's world turns. A real plant's values stand behind each.

    Attributes:
        row_ms: a sample of every channel each so often (10 s).
        batch_samples: samples in a batch (60). uplink_s: between uplinks (600 s). checkin_s: between check-ins (3600 s).
        ack_timeout_s: silence of the server's ack before sending again (60 s). trial_s: a release must prove itself (600 s).
        soak_s: each stage must hold so long (1, 2, 3 days). lease_s: an offer (1 day). backoff_max_s: longest retry gap (300 s).
        outage_s: how long the broker is away. calm_s: watching that nothing more happens after a halt.
        alerts_s: between evaluations of the rules (30 s). compact_s: between sums (3600 s). detectors_s: of anomalies (360 s).
        gates_s: gates are told of links each so often (3600 s), up to gates_lag_s ago (60 s).
    """

    row_ms: int = 250
    batch_samples: int = 16
    uplink_s: int = 2
    checkin_s: int = 4
    ack_timeout_s: int = 6
    trial_s: int = 60
    soak_s: tuple[float, ...] = (8, 8, 8, 8)
    lease_s: int = 120
    backoff_max_s: int = 3
    outage_s: float = 10.0
    calm_s: float = 20.0
    alerts_s: float = 3.0
    compact_s: float = 30.0
    detectors_s: float = 30.0
    gates_s: float = 2.0
    gates_lag_s: int = 1


QUICK = Pace(checkin_s=3, soak_s=(4, 4, 4, 4), calm_s=12.0)


@dataclass(frozen=True)
class BuiltRelease:
    """A release, signed.

    Attributes:
        files: by path in the bundle. named: the release.json of a slot that holds it. deltas: from older bundles to this one.
    """

    manifest: bytes
    artifact: bytes
    files: dict[str, bytes]
    named: dict[str, object]
    deltas: tuple[Delta, ...] = ()

    def publish(self, client: OtaClient) -> None:
        """Put it into the server's archive, as the release desk does; what its deltas start from must be there."""
        client.publish(self.manifest, self.artifact, deltas=[each.content for each in self.deltas])


@dataclass
class Plant:
    """Where everything of one demo lies. Made by `Plant.make`; the folder is the demo's own and is emptied first."""

    folder: Path
    build: Path
    ports: Ports
    pace: Pace
    devices: list[str]
    emulated: list[str] = field(default_factory=list)   # those of `devices` that are emulated ESP32 boards
    channels: tuple[Channel, ...] = ()
    alarm: float | None = None   # a value of the last channel that is rarely passed
    keys_folder: Path | None = None   # the operator's own, with root.bin; None: throw-away ones in `folder`
    pki: FleetPki = field(init=False)
    ledger: Ledger = field(init=False)
    station: Station = field(init=False)
    root: bytes = b""

    def __post_init__(self) -> None:
        self.pki = FleetPki(self.folder / "pki")

    @classmethod
    def make(cls, build: Path, count: int, console_port: int, pace: Pace, emulated: Sequence[str] = (),
             keys_folder: Path | None = None) -> "Plant":
        """Check that the machine can carry it, then empty the demo's folder.

        Args:
            count: simulated boards. emulated: device ids of further boards, which others make and provision.
            keys_folder: as `tenfold keys init` leaves it, for release keys that outlive the plant.

        Raises:
            DemoError: port taken, disk full, or a part of the installation missing.
        """
        require_free_port(console_port)
        for name in ("root.bin", "release.pem", "direction.pem") if keys_folder else ():
            if keys_folder and not (keys_folder / name).is_file():
                raise DemoError(f"{keys_folder / name}: no such file; make keys with `tenfold keys init {keys_folder}`")
        free_mb = shutil.disk_usage(build).free >> 20
        if free_mb < NEED_DISK_MB:
            raise DemoError(f"disk: only {free_mb} MB free at {build.resolve()}, the demo needs {NEED_DISK_MB} MB; free some space")
        folder = build / "demo"
        try:
            shutil.rmtree(folder, ignore_errors=True)
            for name in ("conf", "flash", "bench", "logs", "keys", "broker", "archive"):
                (folder / name).mkdir(parents=True)
        except OSError as error:
            raise DemoError(f"disk: {folder}: {error.strerror}; make the folder writable or use --build") from None
        (folder / "keys").chmod(0o700)
        devices = [identity.device_id(PRODUCT, bytes.fromhex(f"{MAC_PREFIX}{number:04x}")) for number in range(1, count + 1)]
        ports = Ports(console_port, *free_ports(6))
        return cls(folder.resolve(), build.resolve(), ports, pace, [*devices, *emulated], list(emulated), keys_folder=keys_folder)

    # --- what exists before anything runs

    def make_authorities(self) -> None:
        """Throw-away root and issuing CA, offline release keys unless there are, the lot and its station."""
        make_fleet_pki(self.pki.folder)
        issuing = load_authority(self.pki.cert("issuing"), self.pki.key("issuing"))
        first = make_crl(issuing, [], datetime.now(UTC), timedelta(days=1))   # no server starts without one
        write_whole(self.crl_file, first.public_bytes(Encoding.PEM))
        if self.keys_folder is None:
            made = {name: keys.generate(self.key_file(name)) for name in ("root", "release", "direction")}
            self.root = first_root([made["root"]], [keys.public65(made["release"])], [keys.public65(made["direction"])])
        else:
            self.root = (self.keys_folder / "root.bin").read_bytes()
        (self.folder / "root.bin").write_bytes(self.root)
        station_key = make_key()   # lives as long as the line: in memory only
        self.ledger = Ledger(open_engine(self.url("ledger")))
        now_s = int(time.time())
        self.ledger.open_lot(LOT, point(station_key.public_key()).hex(), len(self.devices), now_s + 86_400, now_s)
        self.station = Station(self.ledger, LOT, "bench-1", station_key)

    def make_signals(self, replay: Replay | None) -> None:
        """What the sensors will see: the replayed file, or a model of a machine hall."""
        row_ms = self.pace.row_ms
        devices = self.simulated
        tables = dict.fromkeys(devices, replay.table) if replay else hall.tables(HALL_SEED, devices, row_ms=row_ms)
        signals.write(self.bench / signals.FOLDER, tables)
        self.channels = next(iter(tables.values())).channels
        last = np.concatenate([table.values()[:, -1] for table in tables.values()])
        seen = last[np.isfinite(last)]
        self.alarm = float(np.quantile(seen, ALARM_QUANTILE)) if len(seen) else None

    def make_release(
        self, release: str, counter: int, overlay: dict[str, bytes] | None = None, older: Iterable[BuiltRelease] = (),
    ) -> BuiltRelease:
        """Build a release from firmware/ with deltas from older ones, and sign it with the offline key."""
        files = bundle.compile_tree(FIRMWARE, fetch_umqtt(self.build), overlay or {})
        deltas = delta.to(bundle_format.build(files), [each.artifact for each in older])
        payload, artifact = bundle.manifest_for(
            files, release, counter, [MODEL], (1, max(1, counter - 1)), deltas={"artifact": deltas})
        manifest = envelope(signed.MANIFEST, payload, [keys.load(self.key_file("release"), keys.passphrase())])
        named = {"release": release, "counter": counter, "manifest": hashlib.sha256(manifest).hexdigest(), "model": MODEL,
                 "mpy": bundle.MPY_VERSION}
        return BuiltRelease(manifest, artifact, files, named, tuple(deltas))

    def factory(self) -> tuple[dict[str, bytes], dict[str, object]]:
        """Give the factory release that `make_flashes` put on the boards: its files, and its release.json."""
        named: dict[str, object] = json.loads((self.folder / "factory.json").read_text(encoding="utf-8"))
        return bundle_format.parse((self.folder / "factory.bundle").read_bytes()), named

    def make_flashes(self, first: BuiltRelease) -> None:
        """One flash file a simulated board, all alike: what the line writes names no device and holds no secret."""
        (self.folder / "factory.bundle").write_bytes(first.artifact)
        (self.folder / "factory.json").write_text(json.dumps(first.named), encoding="utf-8")
        image = build_flash(PARTITIONS, device_files(
            FIRMWARE, first.files, first.named, ca_der=self.pki.root_der.read_bytes(), root=self.root, site=self.site(),
            boots=boots_at(int(time.time()))))
        for device in self.simulated:
            self.flash(device).write_bytes(image)

    def site(self) -> dict[str, object]:
        """What a simulated board's site.json says."""
        pace, ports = self.pace, self.ports
        return {
            "host": "localhost", "zone": "", "mqtt_port": ports.mqtt, "ota_port": ports.ota, "est_port": ports.enrol,
            "model": MODEL, "product": PRODUCT, "lot": LOT, "period_ms": pace.row_ms, "batch_samples": pace.batch_samples,
            "uplink_s": pace.uplink_s, "checkin_s": pace.checkin_s, "ack_timeout_s": pace.ack_timeout_s, "trial_s": pace.trial_s,
            "window": 8, "backoff_max_s": pace.backoff_max_s, "keepalive_s": 15,
            "channels": [asdict(channel) for channel in self.channels],
        }

    def tuned(self) -> dict[str, object]:
        """What else devices may measure: of the first channel statistics, of the last one only what changes, and an alarm."""
        channels: list[dict[str, object]] = [asdict(channel) for channel in self.channels]
        channels[0]["stats"] = STATS_SAMPLES
        if len(channels) > 1:
            step = float(self.channels[-1].resolution)
            channels[-1] |= {"median": 3, "deadband": 2 * step, "heartbeat_s": 5, "hysteresis": 4 * step}
            if self.alarm is not None:
                channels[-1]["high"] = self.alarm
        return {"channels": channels}

    # --- while it runs

    def enter(self, values: dict[str, object]) -> None:
        """Have the station enter a birth that a board tells on its console.

        Raises:
            ProvisioningError: it is refused.
        """
        self.station.hear(f"BIRTH {json.dumps(values)}", int(time.time()))

    def desk(self) -> OtaClient:
        """Give the release desk's client of the OTA server."""
        return OtaClient.connect(
            f"https://localhost:{self.ports.ota}", self.pki.ca_file, self.pki.cert("op.release"), self.pki.key("op.release"))

    def write_operator(self) -> Path:
        """Write what an operator's shell needs to speak to the OTA server and to revoke; gives the file."""
        words = {"SERVER": f"https://localhost:{self.ports.ota}", "CA": self.pki.ca_file, "CERT": self.pki.cert("op.release"),
                 "KEY": self.pki.key("op.release"), "LEDGER": self.url("ledger"), "CA_FOLDER": self.pki.folder,
                 "TELEMETRY": self.url("telemetry")}
        lines = [f"export TENFOLD_{name}={shlex.quote(str(word))}\n" for name, word in words.items()]
        path = self.folder / "operator.env"
        path.write_text("".join(lines), encoding="utf-8")
        return path

    # --- places

    def url(self, name: str) -> str:
        """Database URL of one part."""
        return f"sqlite:///{self.folder / name}.db"

    def key_file(self, name: str) -> Path:
        """Private key of the release desk; the direction key is the only one that a server reads."""
        return (self.keys_folder or self.folder / "keys").resolve() / f"{name}.pem"

    @property
    def crl_file(self) -> Path:
        """Who is revoked."""
        return self.folder / "crl.pem"

    @property
    def broker_pid(self) -> Path:
        """The broker's process id, for who sends it SIGHUP."""
        return self.folder / "broker" / "nats.pid"

    def flash(self, device: str) -> Path:
        """A board's flash chip."""
        return self.folder / "flash" / f"{device}.bin"

    def log(self, name: str) -> Path:
        """A process's output."""
        return self.folder / "logs" / f"{name}.log"

    @property
    def simulated(self) -> list[str]:
        """Boards that are processes of MicroPython on this machine."""
        return [device for device in self.devices if device not in self.emulated]

    @property
    def bench(self) -> Path:
        """The world outside the boards."""
        return self.folder / "bench"
