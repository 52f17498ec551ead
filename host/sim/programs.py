"""The processes of a plant on one machine: how each is started and what its settings say.

Decides the settings, which are those of a real plant at a demo's pace, and writes them into the plant's `conf`. Starts nothing.
"""

import json
import sys

from host import broker
from host.sim.plant import REPOSITORY, Plant
from host.sim.processes import Program

PUSH_S = 0.5   # a board that was just born is let in by the broker within this
RULES = REPOSITORY / "deploy" / "alerts" / "rules.toml"
TENFOLD = (sys.executable, "-c", "from host.cli import main; main()")   # wherever the command is installed
NICE = ("nice", "-n", "10")   # upkeep is never more urgent than what devices send; tenfold-upkeep.service says it by Nice=


class Programs:
    """What runs in a plant, beside its boards."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def all(self) -> list[Program]:
        """Every process, with its settings written."""
        self.write_broker()
        return [self.broker(), self.enrol(), self.ota(), self.ingest(), self.console(), self.alerts(), self.upkeep()]

    def write_broker(self) -> None:
        """Write the broker's configuration, with no device yet: the enrolment server lets them in as they are born."""
        plant = self._plant
        settings = broker.BrokerSettings(
            mqtt_port=plant.ports.mqtt, client_port=plant.ports.nats, monitor_port=plant.ports.monitor,
            cert_file=plant.pki.cert("svc.broker"), key_file=plant.pki.key("svc.broker"), ca_file=plant.pki.ca_file,
            store_dir=plant.folder / "broker" / "store", ack_wait_s=5, pid_file=plant.broker_pid,
        )
        broker.write(plant.folder / "broker", settings, [])

    def broker(self) -> Program:
        """The real broker."""
        plant = self._plant
        return Program(
            "broker", (str(broker.nats_server_binary()), "-c", str(plant.folder / "broker" / broker.MAIN_FILE)),
            plant.folder, plant.log("broker"), plant.ports.mqtt)

    def enrol(self) -> Program:
        """The enrolment server; it tells the others who was born and who is revoked."""
        plant = self._plant
        return self._python("enrol", "provisioning.enrol", port=plant.ports.enrol, settings={
            **self._tls("svc.enrol"), "issuing_cert": plant.pki.cert("issuing"), "issuing_key": plant.pki.key("issuing"),
            "root_cert": plant.pki.cert("root"), "port": plant.ports.enrol, "database": plant.url("ledger"),
            "crl_files": [plant.crl_file], "broker_folder": plant.folder / "broker", "broker_pid_files": [plant.broker_pid],
            "push_s": PUSH_S,
        })

    def ota(self) -> Program:
        """The OTA server."""
        plant = self._plant
        return self._python("ota", "ota.server", port=plant.ports.ota, settings={
            **self._tls("svc.ota"), "port": plant.ports.ota, "database": plant.url("ota"), "archive": plant.folder / "archive",
            "root_file": plant.folder / "root.bin", "direction_key": plant.key_file("direction"),
            "period_s": plant.pace.checkin_s, "busy_s": 2, "tick_s": 0.5, "crl_file": plant.crl_file,
            "roles": {"op.release": "approver", "op.upkeep": "operator"},
        })

    def ingest(self) -> Program:
        """The ingest process."""
        return self._python("ingest", "host.ingest", settings={
            **self._tls("svc.ingest"), "host": "localhost", "port": self._plant.ports.mqtt,
            "database": self._plant.url("telemetry"), "reconnect_max_s": 2,
        })

    def console(self) -> Program:
        """The web console."""
        plant = self._plant
        return self._python("console", "host.console", port=plant.ports.console, settings={
            **self._viewer("op.console"), "port": plant.ports.console, "ledger": plant.url("ledger"),
            "metrics_devices": len(plant.devices),
        })

    def alerts(self) -> Program:
        """The process that evaluates alerts. Nobody is told: they stand in its log and in `tenfold alerts list`."""
        plant = self._plant
        return self._program("alerts", (*TENFOLD, "alerts", "run"), {
            **self._viewer("op.alerts"), "ledger": plant.url("ledger"), "rules": RULES, "evaluate_s": plant.pace.alerts_s,
        })

    def upkeep(self) -> Program:
        """All that is done again and again: sums, day columns, detectors, and the monitor's word to the rollout gates."""
        pace = self._plant.pace
        return self._program("upkeep", (*NICE, sys.executable, "-m", "host.upkeep"), {
            **self._viewer("op.upkeep"), "compact_every_s": pace.compact_s, "detectors_every_s": pace.detectors_s,
            "past_days": 1, "forests_every_s": 0, "gates_every_s": pace.gates_s, "gates_lag_s": pace.gates_lag_s,
            "metrics_port": self._plant.ports.upkeep,
        })

    def _viewer(self, name: str) -> dict[str, object]:
        """Who asks the OTA server and reads the telemetry database."""
        plant = self._plant
        return {**self._tls(name), "ota_url": f"https://localhost:{plant.ports.ota}", "database": plant.url("telemetry")}

    def _tls(self, name: str) -> dict[str, object]:
        pki = self._plant.pki
        return {"cert_file": pki.cert(name), "key_file": pki.key(name), "ca_file": pki.ca_file}

    def _python(self, name: str, module: str, settings: dict[str, object], *, port: int | None = None) -> Program:
        return self._program(name, (sys.executable, "-m", module), settings, port)

    def _program(self, name: str, command: tuple[str, ...], settings: dict[str, object], port: int | None = None) -> Program:
        """A process, and its settings written; what is waited for has a port."""
        path = self._plant.folder / "conf" / f"{name}.json"
        path.write_text(json.dumps(settings, default=str, indent=1) + "\n", encoding="utf-8")
        return Program(name, (*command, "--config", str(path)), REPOSITORY, self._plant.log(name), port)
