"""Mutual TLS for every HTTP server of the project: who is at the other end, and a server that starts and stops cleanly.

Decides which TLS a server speaks (1.2 or newer, no session resumption, client certificate required or optional) and hands the
verified client certificate to the application in `scope["extensions"]["tls"]`. Does not decide what a name may do: that is
the application's, by `peer_name`.
"""

import asyncio
import logging
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Mapping, MutableMapping
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn
from cryptography import x509
from cryptography.x509.oid import NameOID
from uvicorn.protocols.http.h11_impl import H11Protocol

from host.revoked import RevocationList, Unrevoked
from host.settings import Settings, SettingsError
from host.stopping import EXIT_CANNOT_START

if TYPE_CHECKING:
    # The two methods the mixin extends; at run time it stands in front of whichever protocol class is installed.
    _Base = H11Protocol
else:
    _Base = object

EXIT_OK = 0
FIRST_REQUEST_S = 10.0       # a connection that has sent no request by then is closed; a handshake on an ESP32 takes 0.6 s
STREAM_GRACE_S = 1.0         # at a stop, a running answer (a download, an event stream) gets this long, then is cut
STOP_LIMIT_S = 3             # uvicorn cancels what still runs; whole seconds by its interface
BACKLOG = 2048               # connections that wait for accept; Linux caps it at net.core.somaxconn (4096)
NAME_CACHE = 4096            # certificates whose name is remembered: parsing costs 0.1 ms, a look-up 1 us
TLS_BUFFER_BYTES = 32 << 10   # of a connection: two TLS records; with asyncio's 256 KiB 2,000 devices take 630 MB, with this 260
VERIFY_NO_TIME = 0x200000    # X509_V_FLAG_NO_CHECK_TIME (OpenSSL x509_vfy.h); Python's ssl has no name for it

SSLProtocol.max_size = TLS_BUFFER_BYTES    # there is no other way to tell it
Scope = MutableMapping[str, Any]
log = logging.getLogger(__name__)


class TlsSettings(Settings):
    """What a TLS server needs.

    Attributes:
        cert_file: PEM chain that the server shows, leaf first, then the issuing CA.
        key_file: PEM private key of the leaf.
        ca_file: PEM bundle that client certificates are verified against: root and issuing CA (clients send the leaf only).
        require_client: False lets a client without a certificate through to the application, which then sees no name.
        accept_expired: True admits an expired but correctly signed client certificate, so that a device that slept can renew
            it. For the enrolment server only.
        crl_file: CRL of the issuing CA; revoked client certificates are refused at every request. None: nobody is asked.
    """

    cert_file: Path
    key_file: Path
    ca_file: Path
    require_client: bool = True
    accept_expired: bool = False
    crl_file: Path | None = None


def server_context(tls: TlsSettings) -> ssl.SSLContext:
    """Make the server's TLS context.

    No tickets: a resumed session skips the certificate check and lets a revoked or expired client back in. Python cannot
    switch off OpenSSL's other way, the TLS 1.2 session cache, so the protocol below cuts resumed connections.

    Raises:
        SettingsError: a file is missing, unreadable or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    _load(context, tls.cert_file, tls.key_file, tls.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED if tls.require_client else ssl.CERT_OPTIONAL
    if tls.accept_expired:
        context.verify_flags |= ssl.VerifyFlags(VERIFY_NO_TIME)
    return context


def client_context(ca_file: Path, cert_file: Path | None = None, key_file: Path | None = None) -> ssl.SSLContext:
    """Make the TLS context of a host-side client (console, release tools, ingest): verifies the server and its name.

    Raises:
        SettingsError: a file is missing, unreadable or not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, cert_file, key_file, ca_file)
    return context


@lru_cache(maxsize=NAME_CACHE)
def common_name(cert_der: bytes) -> str | None:
    """Tell the name in a certificate whose subject is exactly one CN; None for every other subject."""
    try:
        attributes = list(x509.load_der_x509_certificate(cert_der).subject)
    except ValueError:
        return None
    if len(attributes) != 1 or attributes[0].oid != NameOID.COMMON_NAME:
        return None
    value = attributes[0].value
    return value if isinstance(value, str) and value else None


def peer_certificate(scope: Mapping[str, Any]) -> bytes | None:
    """Tell the verified client certificate (DER) of an ASGI request; None without TLS or without a certificate."""
    der = (scope.get("extensions") or {}).get("tls", {}).get("client_cert_der")
    return der if isinstance(der, bytes) else None


def peer_name(scope: Mapping[str, Any]) -> str | None:
    """Tell who sent an ASGI request: the CN of the verified client certificate, None when there is none."""
    der = peer_certificate(scope)
    return None if der is None else common_name(der)


class _PeerCertificate(_Base):
    """Adds client certificate and `abort` to each request's scope; ends connections that resume, never ask or never end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(FIRST_REQUEST_S, self._cut_if_silent)
        extensions: dict[str, object] = {"abort": transport.abort}   # for answers that nobody takes
        ssl_object = transport.get_extra_info("ssl_object")
        if ssl_object is not None:
            if ssl_object.session_reused:
                transport.abort()   # OpenSSL drops the session of a connection that ends so: the next try is a full handshake
                return
            extensions["tls"] = {
                "client_cert_der": ssl_object.getpeercert(binary_form=True), "tls_version": ssl_object.version()}
        app = self.app

        async def with_extensions(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {}).update(extensions)
            await app(scope, receive, send)

        self.app = with_extensions

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(STREAM_GRACE_S, self.transport.abort)

    def _cut_if_silent(self) -> None:
        if self.cycle is None:
            self.transport.abort()


class H11Tls(_PeerCertificate, H11Protocol):
    """The protocol for plain uvicorn (pure Python parser)."""


def protocol_class() -> type[asyncio.Protocol]:
    """Choose the HTTP protocol: httptools when it is installed (faster), else h11."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol  # noqa: PLC0415  an optional dependency
    except ImportError:
        return H11Tls
    return type("HttpToolsTls", (_PeerCertificate, HttpToolsProtocol), {})


class Server(uvicorn.Server):
    """uvicorn's server that ends with a return, not by raising the signal again: a stop by SIGTERM is a success."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit   # the second signal does not wait any more
        self.should_exit = True


def make_server(app: Callable[..., Any], tls: TlsSettings | None) -> Server:
    """Make a server that is not started; run it with `server.run(sockets=[listen(host, port)])`.

    Raises:
        SettingsError: a TLS file is unusable.
    """
    if tls is not None and tls.crl_file is not None:
        app = Unrevoked(app, RevocationList(tls.crl_file, tls.ca_file))
    config = uvicorn.Config(
        app, http=protocol_class(), ws="none", log_config=None, log_level="warning", access_log=False,
        proxy_headers=False,      # a header must never change who the peer is
        server_header=False, timeout_graceful_shutdown=STOP_LIMIT_S,
    )
    context = None if tls is None else server_context(tls)
    config.load()
    config.ssl = context
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 takes a free one.

    The protocol number is given explicitly: asyncio sets TCP_NODELAY only on sockets that name TCP, and without it each answer
    waits 40 ms for the client's delayed acknowledgement (measured: 23 requests/s on one connection in place of 1,300).

    Raises:
        SettingsError: the address is in use or not ours.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError("port", f"{host}:{port} ({error.strerror})", "a free port of this machine") from None
    return listener


def serve(app: Callable[..., Any], host: str, port: int, tls: TlsSettings | None) -> int:
    """Run an ASGI application until SIGTERM or SIGINT.

    Returns:
        Exit code for the process: 0 after a stop, EXIT_CANNOT_START when the port or a file is unusable (one line is logged).
    """
    try:
        server = make_server(app, tls)
        listener = listen(host, port)
    except SettingsError as error:
        log.error("cannot start: %s", error)   # one line, no traceback: it is the user's to mend
        return EXIT_CANNOT_START
    with listener:
        server.run(sockets=[listener])
    return EXIT_OK


def _load(context: ssl.SSLContext, cert_file: Path | None, key_file: Path | None, ca_file: Path) -> None:
    try:
        context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        raise SettingsError("tls.ca_file", f"{ca_file} ({error})", "a PEM file of CA certificates") from None
    if cert_file is None:
        return
    try:
        context.load_cert_chain(cert_file, key_file)
    except OSError as error:
        raise SettingsError("tls.cert_file", f"{cert_file} with {key_file} ({error})", "a PEM chain and its key") from None
