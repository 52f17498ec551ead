"""The certificates that a doctor tries with, and the names in them."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from host.doctor.mqtt import Address, Connection, Hello, Will
from host.settings import SettingsError
from host.tls import client_context, common_name


class DoctorError(Exception):
    """Nothing can be tried: the broker is away, or does not let a test identity in; the message says what to do."""


@dataclass(frozen=True)
class Identity:
    """A certificate of ours, and what it opens.

    Attributes:
        name: the CN. cert_file, key_file: where it lies. client_id: a device's is its name.
    """

    name: str
    address: Address
    context: ssl.SSLContext
    cert_file: Path
    key_file: Path
    client_id: str

    @classmethod
    def load(cls, address: Address, ca_file: Path, cert_file: Path, key_file: Path, client_id: str = "") -> "Identity":
        """Read a certificate and its key; `client_id` where it is not to be the name.

        Raises:
            SettingsError: a file is missing or is not what it should be.
        """
        context = client_context(ca_file, cert_file, key_file)
        der = x509.load_pem_x509_certificates(cert_file.read_bytes())[0].public_bytes(Encoding.DER)
        name = common_name(der)
        if name is None:
            raise SettingsError("cert", f"{cert_file}: a subject that is not one CN", "a certificate of `tenfold ca issue`")
        return cls(name, address, context, cert_file, key_file, client_id or name)

    def connect(
        self, *, client_id: str | None = None, clean: bool = True, user: str | None = None, will: Will | None = None,
        acknowledge: bool = True,
    ) -> Connection:
        """Open a connection, under its own client id unless told another; whether it was let in is the connection's `code`."""
        hello = Hello(client_id or self.client_id, clean, user, will)
        return Connection(self.address, self.context, hello, acknowledge).open()

    def topic(self, kind: str) -> str:
        """One of its three topics."""
        return f"t/{self.name}/{kind}"
