"""Settings of the ingest process."""

from pathlib import Path

from pydantic import Field

from host.settings import Settings
from host.store.retention import Bounds


class IngestSettings(Settings):
    """What `python -m host.ingest --config FILE` reads.

    Attributes:
        database: URL of the telemetry database; made and migrated when missing.
        source: how messages come: `mqtt` by subscription, `jetstream` by pulling from a stream of a nats-server.
        host: name of the broker, as in its certificate.
        port: its MQTT port with TLS.
        mqtt_version: `3.1.1` or `5`; with 5 the broker is told how much the inbox takes.
        group: share the records with the other workers of this name (`$share`); for brokers that have it. Sessions are clean then.
        nats_servers: host:port of the nodes' NATS ports, for `jetstream`; any of them will do. The stream must be there
            (`tenfold broker stream`).
        ca_file: PEM bundle that the broker's certificate is verified against.
        cert_file: PEM certificate of this service (`svc.ingest`).
        key_file: its PEM key. `{worker}` in either is the worker's number, for brokers that bind client ids to certificates.
        client_id: MQTT client id; fixed, since the broker keeps what arrives while we are away under it. In a group each worker
            adds something of its own.
        workers: processes side by side, on one database.
        worker: which of them this one is, from 1; 0 starts the others.
        keepalive_s: the broker is given up after 1.5 times this without a sign.
        reconnect_max_s: longest wait between attempts to reach the broker; it begins at 1 s and doubles.
        gather_ms: messages are gathered for at most this long into one commit; adds to the ack's delay, saves disk syncs.
        gather_max: messages of one commit at most.
        inbox_max: messages waiting for a commit; the broker keeps more, unacknowledged.
        inbox_bytes: of their payloads, with those of the commit that is under way; more stay with the broker, too. 10,000 of the
            largest records of our devices are a third of it, so that they never meet it; packs of foreign devices may have 32
            times as much each, and 10,000 of them would take 640 MB.
        quarantine_rows: rows kept of what could not be stored; the oldest goes first. So with the next two.
        quarantine_bytes: bytes of payload kept in quarantine.
        quarantine_days: age of the oldest row in quarantine.
        event_days: age of the oldest connect or drop that is kept.
        traffic_days: age of the oldest count behind the rates.
        prune_s: how often the bounds are applied.
        known_devices: file of device ids and products (`hall-*`), one a line; what others send goes to quarantine. None: whoever
            the broker lets publish under a name is known by it.
        senml_round: values of foreign devices with more digits than 32 bits hold are rounded; else the pack goes to quarantine.
        pack_days: how long a foreign device's packs are remembered, so that one sent again is stored once.
        metrics_port: of 127.0.0.1, where Prometheus finds `/metrics`; 0: none.
        log_level: debug, info, warning or error.
    """

    database: str = "sqlite:///telemetry.db"
    source: str = Field("mqtt", pattern="^(mqtt|jetstream)$")
    host: str = "localhost"
    port: int = Field(8883, ge=1, le=65535)
    mqtt_version: str = Field("3.1.1", pattern=r"^(3\.1\.1|5)$")
    group: str = Field("", pattern="^[A-Za-z0-9_-]{0,64}$")
    nats_servers: tuple[str, ...] = ("localhost:4222",)
    ca_file: Path
    cert_file: Path
    key_file: Path
    client_id: str = Field("ingest", pattern="^[A-Za-z0-9_-]{1,64}$")   # NATS refuses dots: ids become subjects
    workers: int = Field(1, ge=1, le=64)
    worker: int = Field(0, ge=0, le=64)
    keepalive_s: int = Field(30, ge=5, le=3600)
    reconnect_max_s: int = Field(30, ge=1, le=3600)
    gather_ms: int = Field(5, ge=0, le=1000)
    gather_max: int = Field(512, ge=1, le=10_000)
    inbox_max: int = Field(10_000, ge=1, le=100_000)
    inbox_bytes: int = Field(64 << 20, ge=1 << 20, le=1 << 32)
    quarantine_rows: int = Field(10_000, ge=0)
    quarantine_bytes: int = Field(16 << 20, ge=0)
    quarantine_days: int = Field(30, ge=1)
    event_days: int = Field(90, ge=1)
    traffic_days: int = Field(7, ge=1)
    prune_s: int = Field(600, ge=1)
    known_devices: Path | None = None
    senml_round: bool = False
    pack_days: int = Field(30, ge=1)
    metrics_port: int = Field(0, ge=0, le=65535)
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$")

    def identity(self) -> tuple[Path, Path]:
        """Certificate and key of this worker."""
        cert, key = (Path(str(path).replace("{worker}", str(self.worker or 1))) for path in (self.cert_file, self.key_file))
        return cert, key

    def bounds(self) -> Bounds:
        """The bounds of what is kept beside the readings."""
        return Bounds(
            self.quarantine_rows, self.quarantine_bytes, self.quarantine_days, self.event_days, self.traffic_days,
        )
