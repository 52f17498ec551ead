"""Who is let in: certificates, TLS, a port without it. Probes; the words and how bad it is are codes.py's."""

import datetime as dt
import ssl
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from host.doctor.codes import Finding, judge, untried
from host.doctor.mqtt import ACCEPTED, GONE, Address, Connection, Hello
from host.tls import client_context

TOO_OLD = ("TLSv1", "TLSv1.1")


def doors(address: Address, ca_file: Path, name: str, plain_ports: Sequence[int]) -> Iterator[Finding]:
    """Try the doors as whoever has no certificate of ours; `name` is that of a device that exists."""
    hello = Hello(name)
    with Connection(address, client_context(ca_file), hello) as stranger:
        yield judge("door.no_certificate", stranger.code == ACCEPTED, "a connection without a certificate", _what(stranger))
    with _foreign(name) as (cert, key), Connection(address, client_context(ca_file, cert, key), hello) as stranger:
        yield judge("door.foreign_ca", stranger.code == ACCEPTED, f"a certificate for {name} by a CA of our own making",
                    _what(stranger))
    for port in plain_ports:
        if port != address.port:
            with Connection(replace(address, port=port), None, hello) as stranger:
                yield judge("door.plain", stranger.code == ACCEPTED, f"a connection without TLS to port {port}", _what(stranger))


def old_tls(address: Address, ca_file: Path, cert_file: Path, key_file: Path, name: str) -> Finding:
    """Try to be let in with a TLS that is too old."""
    tried = "TLS 1.0 and 1.1"
    context = client_context(ca_file, cert_file, key_file)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)   # that they are old is the point
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        context.set_ciphers("DEFAULT@SECLEVEL=0")   # else OpenSSL on this side refuses before the broker does
    except (ValueError, ssl.SSLError) as error:
        return untried("door.old_tls", tried, f"this machine's OpenSSL has none: {error}")
    with Connection(address, context, Hello(name)) as old:
        return judge("door.old_tls", old.tls in TOO_OLD, tried, f"{old.tls}: {_what(old)}" if old.tls else _what(old))


def _what(one: Connection) -> str:
    if one.code == ACCEPTED:
        return "let in"
    return f"refused: {one.why}" if one.code == GONE else f"refused with CONNACK {one.code}"


@contextmanager
def _foreign(name: str) -> Iterator[tuple[Path, Path]]:
    """A certificate for a name of ours, by a CA that nobody knows."""
    now, day = dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nobody")])
    made = (
        x509.CertificateBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])).issuer_name(issuer)
        .public_key(key.public_key()).serial_number(x509.random_serial_number()).not_valid_before(now - day)
        .not_valid_after(now + day).sign(ca_key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory(prefix="tenfold-") as folder:
        cert_file, key_file = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        cert_file.write_bytes(made.public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        yield cert_file, key_file
