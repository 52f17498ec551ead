"""A private key in a hardware security module (an HSM, a smart card, SoftHSM), by PKCS#11: P-256, and RSA for secure boot.

Decides how such a key is named (a `pkcs11:` URI, RFC 7512) and where its PIN may come from: a file or the environment, never the
URI, which stands on command lines and in settings. The key stays in the module, which is handed digests. Makes no keys: the
module's own tools do.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from pkcs11 import MGF, Attribute, KeyType, Mechanism, ObjectClass, Session, SignMixin, lib
from pkcs11.exceptions import UserAlreadyLoggedIn

from node.compat import sha256
from ota.release.keys import HSM_SCHEME, KeyFileError, first_line, secret

PIN_ENV = "TENFOLD_PKCS11_PIN"
PIN_FILE_ENV = "TENFOLD_PKCS11_PIN_FILE"
P256_PARAMS = bytes.fromhex("06082a8648ce3d030107")   # the curve's object identifier in DER
POINT_BYTES = 65
SALT_BYTES = 32   # of RSA-PSS in secure boot v2 (ESP-IDF, "Secure Boot v2", signature block)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_PREHASHED = ec.ECDSA(Prehashed(hashes.SHA256()))
_CHECKED = sha256(b"tenfold: does the private key belong to the public one?")


@dataclass(frozen=True)
class Name:
    """A key's name: which module, which token, which object.

    Attributes:
        uri: as it was written, for messages; it holds no secret.
        token, serial, label, ident: what token and key are looked up by, as far as the URI tells.
        pin_file: where the URI says that the PIN lies.
    """

    uri: str
    module: str
    token: str | None
    serial: bytes | None
    label: str | None
    ident: bytes | None
    pin_file: Path | None


def parse(uri: str) -> Name:
    """Read a URI such as `pkcs11:token=plant;object=release?module-path=/usr/lib/softhsm/libsofthsm2.so`.

    Known are token, serial, object, id, type=private, module-path and pin-source; anything else is refused, not passed over.

    Raises:
        KeyFileError: malformed, an unknown attribute, one twice, a PIN in it, or no module or no object.
    """
    path, _, query = uri.removeprefix(HSM_SCHEME).partition("?")
    found: dict[str, str] = {}
    for part in [each for each in path.split(";") + query.split("&") if each]:
        name, equals, value = part.partition("=")
        if name == "pin-value":
            raise KeyFileError(f"{HSM_SCHEME}…: got a PIN in the URI, expected it in {PIN_FILE_ENV} or {PIN_ENV}")
        if name not in ("token", "serial", "object", "id", "type", "module-path", "pin-source") or not equals or name in found:
            raise KeyFileError(f"{uri}: got {part!r}, expected token, serial, object, id, module-path and pin-source, each once")
        found[name] = value
    module = unquote(found.get("module-path", ""))
    if not module or found.get("type", "private") != "private" or not {"object", "id"} & set(found):
        raise KeyFileError(f"{uri}: expected a private key by object= or id=, and ?module-path= of the module's library")
    text = {name: unquote(value) for name, value in found.items()}
    source = text.get("pin-source", "").removeprefix("file:")
    raw = {name: unquote_to_bytes(value) for name, value in found.items()}
    return Name(uri, module, text.get("token"), raw.get("serial"), text.get("object"), raw.get("id"),
                Path(source) if source else None)


def pin(name: Name, env: Mapping[str, str] | None = None) -> str | None:
    """Find a key's PIN: in the file that its URI or PIN_FILE_ENV names, or in PIN_ENV. None: the token asks for none.

    Raises:
        KeyFileError: the file is unreadable or empty, or the PIN is no text.
    """
    raw = first_line(name.pin_file, "pin-source") if name.pin_file else secret(PIN_FILE_ENV, PIN_ENV, env)
    try:
        return None if raw is None else raw.decode()
    except UnicodeDecodeError:
        raise KeyFileError(f"{name.uri}: got a PIN that is not UTF-8") from None


def open_key(uri: str, env: Mapping[str, str] | None = None) -> "HsmKey":
    """Open a key and make sure that it signs as its public key says.

    Raises:
        KeyFileError: the URI, the module, the token, the PIN or the key is not in order.
    """
    name = parse(uri)
    return HsmKey(name, pin(name, env))


class Held:
    """An object in a token, and the session that reaches it. Thread-safe: a session does one thing at a time.

    A token that was pulled or restarted fails the call under way; the next one opens a new session.
    """

    def __init__(self, name: Name, pin: str | None) -> None:
        self._name, self._pin = name, pin
        self._lock = threading.Lock()
        self._session: Session | None = None

    def kind(self) -> KeyType:
        """Tell what kind of key it is.

        Raises:
            KeyFileError: the token fails.
        """
        with self._in_session() as session:
            return session.get_key(ObjectClass.PUBLIC_KEY, None, self._name.label, self._name.ident).key_type

    def _sign(self, kind: KeyType, data: bytes, mechanism: Mechanism, parameters: tuple[object, ...] | None = None) -> bytes:
        with self._in_session() as session:
            key = session.get_key(ObjectClass.PRIVATE_KEY, kind, self._name.label, self._name.ident)
            if not isinstance(key, SignMixin):
                raise KeyFileError(f"{self._name.uri}: got a key that cannot sign")
            return key.sign(data, mechanism=mechanism, mechanism_param=parameters)

    def _other(self) -> KeyFileError:
        return KeyFileError(f"{self._name.uri}: the private key does not belong to the public key of that name")

    @contextmanager
    def _in_session(self) -> Iterator[Session]:
        """Give a session that is logged in; what fails in it ends it and is told as the key's fault."""
        with self._lock:
            try:
                if self._session is None:
                    self._session = self._connect()
                yield self._session
            except RuntimeError as error:   # the library's base of all its errors; a module that does not load is a bare one
                self._session = None
                hint = "" if self._pin else f"; no PIN in {PIN_FILE_ENV} or {PIN_ENV}"
                raise KeyFileError(f"{self._name.uri}: {type(error).__name__} {error}".rstrip() + hint) from None

    def _connect(self) -> Session:
        token = lib(self._name.module).get_token(token_label=self._name.token, token_serial=self._name.serial)
        try:
            return token.open(user_pin=self._pin)
        except UserAlreadyLoggedIn:   # by another key of this process: PKCS#11 logs in an application, not a session
            return token.open()


class HsmKey(Held):
    """A P-256 key in a token; a `host.ecdsa.Signer`."""

    def __init__(self, name: Name, pin: str | None) -> None:
        super().__init__(name, pin)
        with self._in_session() as session:
            self._public = self._read_public(session)
        try:
            self._public.verify(self.sign(_CHECKED, _PREHASHED), _CHECKED, _PREHASHED)
        except InvalidSignature:
            raise self._other() from None

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Give the public key, as the token told it when the key was opened."""
        return self._public

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Have a SHA-256 digest signed: the signature in DER.

        Raises:
            KeyFileError: the token fails.
        """
        if not isinstance(signature_algorithm.algorithm, Prehashed):
            raise ValueError("sign: got data to hash, expected a digest")
        raw = self._sign(KeyType.EC, data, Mechanism.ECDSA)   # r || s
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))

    def _read_public(self, session: Session) -> ec.EllipticCurvePublicKey:
        key = session.get_key(ObjectClass.PUBLIC_KEY, KeyType.EC, self._name.label, self._name.ident)
        if key[Attribute.EC_PARAMS] != P256_PARAMS:
            raise KeyFileError(f"{self._name.uri}: got a key of another curve, expected P-256")
        raw = bytes(key[Attribute.EC_POINT])[-POINT_BYTES:]   # an OCTET STRING in DER; some modules give the point bare
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
        except ValueError:
            raise KeyFileError(f"{self._name.uri}: got a public key that is no point of P-256") from None


class HsmRsaKey(Held):
    """An RSA key in a token that signs as the ROM's secure boot v2 wants it: PSS with SHA-256 and a salt of 32 bytes."""

    def __init__(self, name: Name, pin: str | None) -> None:
        super().__init__(name, pin)
        with self._in_session() as session:
            key = session.get_key(ObjectClass.PUBLIC_KEY, KeyType.RSA, name.label, name.ident)
            number, exponent = (int.from_bytes(key[one], "big") for one in (Attribute.MODULUS, Attribute.PUBLIC_EXPONENT))
        self._public = rsa.RSAPublicNumbers(exponent, number).public_key()
        try:
            self._public.verify(self.sign_pss(_CHECKED), _CHECKED, padding.PSS(padding.MGF1(hashes.SHA256()), SALT_BYTES),
                                Prehashed(hashes.SHA256()))
        except InvalidSignature:
            raise self._other() from None

    def public_key(self) -> rsa.RSAPublicKey:
        """Give the public key, as the token told it when the key was opened."""
        return self._public

    def sign_pss(self, digest: bytes) -> bytes:
        """Have a SHA-256 digest signed.

        Raises:
            KeyFileError: the token fails.
        """
        return self._sign(KeyType.RSA, digest, Mechanism.RSA_PKCS_PSS, (Mechanism.SHA256, MGF.SHA256, SALT_BYTES))


def sign_boot(uri: str, digests: Sequence[bytes], env: Mapping[str, str] | None = None) -> tuple[PublicKey, list[bytes]]:
    """Have SHA-256 digests signed as secure boot v2 wants it, by the kind of key that the token has.

    Returns:
        The public key, and the signatures: RSA-PSS as they are, ECDSA in DER.

    Raises:
        KeyFileError: as `open_key`, or the key is of neither kind.
    """
    name = parse(uri)
    code = pin(name, env)
    kind = Held(name, code).kind()
    if kind is KeyType.RSA:
        key = HsmRsaKey(name, code)
        return key.public_key(), [key.sign_pss(digest) for digest in digests]
    if kind is KeyType.EC:
        other = HsmKey(name, code)
        return other.public_key(), [other.sign(digest, _PREHASHED) for digest in digests]
    raise KeyFileError(f"{uri}: got a key of another kind, expected RSA or P-256")
