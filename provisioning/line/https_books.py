"""The ledger of a station that is not beside it: asked at the enrolment server, over mutual TLS (provisioning/SPEC.md).

Decides what an answer means: nobody there, 5xx or 429 is a ledger that is away; a refusal keeps the server's code; whatever else it
may be is not our server's. The station's key is its TLS key, too. Every request may be made again.
"""

import re
import time
from pathlib import Path
from typing import Any, Self

import httpx

from host.ecdsa import point
from host.tls import client_context
from node.errors import FormatError
from node.wire.fields import parse_object, want_bool, want_hex, want_int, want_text
from node.wire.identity import PUBLIC_KEY_BYTES
from node.wire.limits import MAX_U32
from provisioning.errors import ProvisioningError
from provisioning.line.books import AwayError, Born, Terms
from provisioning.pki import load_key
from provisioning.rules.quota import ACCEPTED, Lot, Reason

SCHEME = "https://"
PATH = "/line/v1"
TIMEOUT_S = 10.0          # for a connection, and for each piece of an answer; the server's own work takes milliseconds
DEADLINE_S = 20.0         # for a whole answer, however slowly it comes: a board stands at its port meanwhile
REUSE_S = 2.0             # a connection that was idle for longer is not taken again: the server ends one after 5 s
MAX_ANSWER_BYTES = 4096   # the longest is a refusal of about 300
CODE = re.compile(r"[a-z]{1,16}\.[a-z_]{1,32}")


class HttpsBooks:
    """The ledger behind a server; methods may be called from several threads at once.

    Args:
        http: a client whose base URL is the server's; `connect` makes one.
        key: the station's public key in hex, which all lots that it sees were opened for.
    """

    def __init__(self, http: httpx.Client, key: str) -> None:
        self._http, self._key = http, key

    @classmethod
    def connect(cls, url: str, root_file: Path, cert_file: Path, key_file: Path) -> Self:
        """Make a client that shows a station's certificate. Its connections end with the process.

        Args:
            url: of the enrolment server, e.g. "https://enrol.plant.example:8444".
            root_file: PEM certificate of the root that must have issued the server's.

        Raises:
            ProvisioningError: "line.server": the URL is none of a server.
            SettingsError, PkiError: a file is missing or not what it should be.
        """
        key = load_key(key_file)
        context = client_context(root_file, cert_file, key_file)
        limits = httpx.Limits(keepalive_expiry=REUSE_S)
        try:
            if not url.startswith(SCHEME) or not httpx.URL(url).host:
                raise httpx.InvalidURL("no host")
            client = httpx.Client(base_url=url, verify=context, timeout=TIMEOUT_S, limits=limits, trust_env=False,
                                  headers={"Accept-Encoding": "identity"})
        except httpx.InvalidURL as error:
            raise ProvisioningError("line.server", f"ledger: got {url!r} ({error}), expected {SCHEME}host:port of the enrolment "
                                                   "server") from None
        return cls(client, point(key.public_key()).hex())

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def terms(self, lot: str) -> Terms:
        """What the lot admits; raises as `Books.terms`, and as the server refuses."""
        said = self._call("GET", f"/lots/{lot}")
        try:
            return Terms(
                Lot(want_text(said, "lot", "line", 32), self._key, want_int(said, "quota", "line"),
                    want_int(said, "expires", "line", 0, MAX_U32), want_bool(said, "revoked", "line"),
                    want_bool(said, "closed", "line")),
                want_int(said, "births", "line"))
        except FormatError as error:
            raise self._strange(str(error)) from None

    def born(self, device: str, now_s: int) -> Born | None:
        """How a device of this station's lots was born; raises as `Books.born`, and as the server refuses."""
        said = self._call("GET", f"/births/{device}")
        try:
            if said.get("key", "") is None:
                return None
            return Born(want_hex(said, "key", "line", PUBLIC_KEY_BYTES), want_bool(said, "may_change", "line"))
        except FormatError as error:
            raise self._strange(str(error)) from None

    def append(self, lot: str, raw: bytes, now_s: int) -> Reason:
        """Enter a birth; raises as `Books.append`, and as the server refuses. What time it is, the server knows by itself."""
        said = self._call("POST", f"/lots/{lot}/births", raw)
        accepted = {reason.value: reason for reason in ACCEPTED}
        if said.get("code") not in accepted:
            raise self._strange(f"{said.get('code')!r} for a birth")
        return accepted[said["code"]]

    def _call(self, method: str, path: str, content: bytes | None = None) -> dict[str, Any]:
        try:
            with self._http.stream(method, PATH + path, content=content) as answer:
                raw = self._read(answer)
        except httpx.HTTPError as error:
            raise AwayError(f"{self._http.base_url}: {error or type(error).__name__}") from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise AwayError(f"{self._http.base_url}: answers {answer.status_code}")
        try:
            said = parse_object(raw, "line", MAX_ANSWER_BYTES)
        except FormatError as error:
            raise self._strange(f"{answer.status_code}, {error}") from None
        if answer.status_code == 200:
            return said
        code = said.get("code")
        if not isinstance(code, str) or not CODE.fullmatch(code):
            raise self._strange(f"{answer.status_code} without a code")
        raise ProvisioningError(code, str(said.get("message", "")))

    def _read(self, answer: httpx.Response) -> bytes:
        deadline_s, read = time.monotonic() + DEADLINE_S, bytearray()
        for piece in answer.iter_raw():
            read += piece
            if len(read) > MAX_ANSWER_BYTES or time.monotonic() > deadline_s:
                raise AwayError(f"{self._http.base_url}: got {len(read)} bytes and no end of it, expected a short answer at once")
        return bytes(read)

    def _strange(self, got: str) -> ProvisioningError:
        return ProvisioningError("line.server", f"{self._http.base_url}: got {got}, expected an enrolment server of this release")
