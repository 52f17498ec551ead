"""Faults that the user can mend: these end a command in one clear line instead of a traceback."""

from host.bench.checkin import StartError
from host.bench.encode import EncodeError
from host.bench.fleet import RefusedError
from host.bench.goosebit import PeerError
from host.bench.victoria import VictoriaError
from host.broker import BrokerError
from host.db import DatabaseError
from host.doctor.identity import DoctorError
from host.ingest.stream import StreamError
from host.monitor.anomaly.forest import ModelError
from host.settings import SettingsError
from host.sim.errors import DemoError
from host.sim.processes import ProcessError
from host.store.aggregates import TooMuchError
from host.store.export_arrow import ExportError
from host.store.maintenance import MaintenanceError
from host.store.packing import PackingError
from host.store.parts import PartsError
from node.errors import NodeError
from ota.archive.folder import ArchiveError
from ota.client import OtaError
from ota.release.bundle import BundleError
from ota.release.keys import KeyFileError
from ota.release.verify import ReleaseError
from provisioning.errors import ProvisioningError
from provisioning.line.fetch import FetchError
from provisioning.line.image import ImageError
from provisioning.pki import PkiError

USER_ERRORS = (
    ArchiveError, BrokerError, BundleError, DatabaseError, DemoError, DoctorError, EncodeError, ExportError, FetchError,
    ImageError, KeyFileError, MaintenanceError, ModelError, NodeError, OtaError, PackingError, PartsError, PeerError, PkiError,
    ProcessError, ProvisioningError, RefusedError, ReleaseError, SettingsError, StartError, StreamError, TooMuchError,
    VictoriaError,
)
