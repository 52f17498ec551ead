"""Which client certificates were revoked: a CRL in a file, and a door that asks it at every request.

Decides that the list is signed by a CA of ours, never older than the one before, and looked for anew every few seconds. A list that
cannot be used, or whose end has passed, is said loudly and goes on counting: whoever it names stays out, but a fleet is not locked
out because a file was late. Who is on the list is the CA's (provisioning/crl.py).
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from host.settings import SettingsError

LOOK_S = 5.0         # between looks at the file
COMPLAIN_S = 600.0   # between complaints about the same fault
CERT_CACHE = 4096    # certificates whose serial number is remembered
log = logging.getLogger(__name__)
App = Callable[[Any, Any, Any], Awaitable[None]]


class RevocationList:
    """The newest list in a file.

    Args:
        crl_file: PEM or DER, replaced in one step by whoever publishes it.
        ca_file: PEM bundle; one of its CAs must have signed the list.

    Raises:
        SettingsError: there is no usable list to begin with.
    """

    def __init__(self, crl_file: Path, ca_file: Path) -> None:
        self._file = crl_file
        self._looked_s = self._complained_s = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._number, self._serials, self._end_s = -1, frozenset[int](), 0.0
        try:
            self._authorities = x509.load_pem_x509_certificates(ca_file.read_bytes())
            self._read()
        except (OSError, ValueError, x509.ExtensionNotFound) as error:
            raise SettingsError("crl_file", f"{crl_file} ({error})", "a CRL of a CA in ca_file, with a number") from None

    def has(self, cert_der: bytes) -> bool:
        """Tell whether a certificate was revoked."""
        return self.has_serial(_serial(cert_der))

    def has_serial(self, serial: int) -> bool:
        """Tell whether the certificate with a serial number was revoked."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        return serial in self._serials

    def _look(self) -> None:
        try:
            self._read()
        except (OSError, ValueError, x509.ExtensionNotFound) as error:
            self._complain(f"not usable ({error}); the list before it goes on counting")
        if time.time() > self._end_s:
            self._complain("its end has passed: who publishes it? It goes on counting, but whom was revoked since is let in")

    def _read(self) -> None:
        stat = self._file.stat()
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen == self._seen:
            return
        raw = self._file.read_bytes()
        found = x509.load_pem_x509_crl(raw) if raw.startswith(b"-----BEGIN") else x509.load_der_x509_crl(raw)
        if not any(_is_signed(found, authority) for authority in self._authorities):
            raise ValueError("no CA of ours has signed it")
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        if number < self._number:
            raise ValueError(f"got number {number}, expected {self._number} or more: an old list was put in")
        self._number, self._serials, self._seen = number, frozenset(each.serial_number for each in found), seen
        self._end_s = found.next_update_utc.timestamp() if found.next_update_utc else float("inf")

    def _complain(self, words: str) -> None:
        if time.monotonic() - self._complained_s >= COMPLAIN_S:
            self._complained_s = time.monotonic()
            log.error("revocation list %s: %s", self._file, words)


class Unrevoked:
    """ASGI: refuses requests of revoked certificates and ends their connection; a connection that was there before asks too."""

    def __init__(self, app: App, revoked: RevocationList) -> None:
        self._app, self._revoked = app, revoked

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        der = (scope.get("extensions") or {}).get("tls", {}).get("client_cert_der")
        if scope["type"] != "http" or not der or not self._revoked.has(der):
            await self._app(scope, receive, send)
            return
        body = json.dumps({"code": "tls.revoked", "message": "the client certificate was revoked"}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 403, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _is_signed(found: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    try:
        return found.issuer == authority.subject and found.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError, ValueError):
        return False


@lru_cache(maxsize=CERT_CACHE)
def _serial(cert_der: bytes) -> int:
    return x509.load_der_x509_certificate(cert_der).serial_number
