"""Who a request comes from: a device or an operator, by the client certificate of the connection or the one that a proxy passes on.

Decides names, and for operators the role: the certificate's by the settings, or the token's by its row. A token replaces what the
certificate may do, it does not add to it. What the role is good for is `rules.access`'s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from host.forwarded import ForwardedCertificates, ForwardedError, forwarded
from host.tls import peer_name
from node.wire.identity import is_device_id
from ota.rules.access import Role
from ota.server.errors import ApiError
from ota.server.settings import OtaSettings
from ota.store import tokens
from ota.store.session import reading, writing

OPERATOR = "op."
SERVICE = "svc."
TOKEN = "token."        # noqa: S105  before a token's ident, where history tells who did something
TOKEN_FORM = "tenfold"  # noqa: S105  before a token's parts: a scanner for leaked secrets can know it
BEARER = "bearer "


@dataclass(frozen=True)
class Person:
    """Who makes an operator's call.

    Attributes:
        name: as history keeps it: the certificate's, or "token." and the token's ident.
        certificate: the one of the connection.
        people: all names that stand behind the call: of the certificate, and of who gave the token.
        models: that the token is for; empty is all.
    """

    name: str
    certificate: str
    role: Role
    people: frozenset[str]
    models: tuple[str, ...] = ()

    @property
    def has_token(self) -> bool:
        return self.name.startswith(TOKEN)


def peer(scope: Mapping[str, Any], settings: OtaSettings, certificates: ForwardedCertificates | None, now_s: float) -> str:
    """Tell whose certificate stands behind a request.

    Raises:
        ApiError: 401 when there is none; 403 when a header names one that does not come from a known proxy, or is not good.
    """
    name, told = peer_name(scope), forwarded(scope["headers"])
    if certificates is None or name not in settings.proxies:
        if told:
            header = told[0][0].decode()
            raise ApiError(403, "proxy.untrusted", f"header {header} from {name or 'nobody'}, who is not one of `proxies`")
        if name is None:
            raise ApiError(401, "tls.certificate", "a client certificate with a single CN is needed")
        return name
    if not told:
        raise ApiError(401, "tls.certificate", f"proxy {name} passes no client certificate on")
    try:
        return certificates.name(told, now_s)
    except ForwardedError as error:
        raise ApiError(403, "proxy.certificate", str(error)) from None


def device_name(scope: Mapping[str, Any], settings: OtaSettings, certificates: ForwardedCertificates | None, now_s: float) -> str:
    """Tell which device sends a request.

    Raises:
        ApiError: as `peer`, and 403 when it is not a device's.
    """
    name = peer(scope, settings, certificates, now_s)
    if not is_device_id(name):
        raise ApiError(403, "tls.device", f"{name} is not a device")
    return name


def bearer(headers: list[tuple[bytes, bytes]]) -> str | None:
    """Take the token out of a request's headers; None when there is none.

    Raises:
        ApiError: 401 when there is an `Authorization` that is not just one token.
    """
    found = [value.decode("latin-1") for key, value in headers if key == b"authorization"]
    if not found:
        return None
    if len(found) > 1 or not found[0].lower().startswith(BEARER):
        raise ApiError(401, "token.form", "expected one header `Authorization: Bearer TOKEN`")
    return found[0][len(BEARER):].strip()


def by_certificate(name: str, roles: Mapping[str, Role]) -> Person:
    """Tell what an operator's certificate is good for: its role in the settings, or looking.

    Raises:
        ApiError: 403 when it is not an operator's.
    """
    if not name.startswith(OPERATOR):
        raise ApiError(403, "tls.operator", f"{name} is not an operator")
    return Person(name, name, roles.get(name, Role.VIEWER), frozenset((name,)))


def by_token(engine: Engine, name: str, token: str, now_s: float) -> Person:
    """Tell what a token is good for, and note that it was used.

    Args:
        name: of the certificate that the connection came with.

    Raises:
        ApiError: 403 when the certificate is not an operator's or a service's, 401 when the token is not good.
    """
    if not name.startswith((OPERATOR, SERVICE)):
        raise ApiError(403, "tls.operator", f"{name} is neither an operator nor a service; a token does not change that")
    form, _, rest = token.partition("_")
    ident, _, secret = rest.partition("_")
    with reading(engine) as connection:
        row = tokens.good(connection, ident, secret, now_s) if form == TOKEN_FORM else None
    if row is None:
        raise ApiError(401, "token.refused", "the token is unknown, has ended or was revoked")
    if row["used_s"] is None or now_s - row["used_s"] > tokens.USED_EVERY_S:
        with writing(engine) as connection:
            tokens.used(connection, ident, now_s)
    return Person(TOKEN + ident, name, Role(row["role"]), frozenset((name, row["added_by"])), tuple(row["models"]))
