"""The operators' client of the update server: one method an endpoint, mutual TLS, errors with the server's codes.

Decides nothing and keeps nothing; the command line, the console and the demo stand on it.
"""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from host.tls import client_context

TIMEOUT_S = 30.0   # an upload writes up to 4 MiB durably, publishing verifies as much; everything else takes milliseconds
UNREACHABLE = "ota.unreachable"
Json = dict[str, Any]


class OtaError(Exception):
    """The server refused or was not reached.

    Attributes:
        code: the server's, see ota/SPEC.md; UNREACHABLE when there was no answer.
        status: HTTP status; 0 when there was no answer.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.status, self.code, self.message = status, code, message


class OtaClient:
    """Calls the operators' API.

    Args:
        http: a client whose base URL is the server's; `connect` makes one.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    @classmethod
    def connect(cls, url: str, ca_file: Path, cert_file: Path, key_file: Path) -> Self:
        """Make a client with an operator's certificate.

        Args:
            url: e.g. "https://localhost:8443".

        Raises:
            SettingsError: a file is unusable.
        """
        context = client_context(ca_file, cert_file, key_file)
        return cls(httpx.Client(base_url=url, verify=context, timeout=TIMEOUT_S, trust_env=False))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def healthy(self) -> bool:
        """Tell whether the server answers."""
        try:
            return bool(self._call("GET", "/healthz"))
        except OtaError:
            return False

    def upload(self, content: bytes) -> str:
        """Bring a bundle or an image to the server; no device can fetch it before a release that names it is published.

        Returns:
            Its SHA-256 in hex.
        """
        name = hashlib.sha256(content).hexdigest()
        self._call("PUT", f"/admin/artifacts/{name}", content=content)
        return name

    def publish(self, manifest: bytes, artifact: bytes, image: bytes | None = None, deltas: Sequence[bytes] = (), *,
                allow_stranded: bool = False) -> Json:
        """Upload the parts of a signed release, then publish it; doing so again changes nothing.

        Args:
            manifest: the signed envelope.
            artifact: the bundle.
            image: the chip's image, if the manifest names one.
            deltas: those that the manifest names.
        """
        body: Json = {"manifest": _text(manifest), "artifact": self.upload(artifact), "allow_stranded": allow_stranded}
        if image is not None:
            body["image"] = self.upload(image)
        if deltas:
            body["deltas"] = [self.upload(delta) for delta in deltas]
        return self._call("POST", "/admin/releases", body)

    def releases(self) -> list[Json]:
        """List published releases, oldest first."""
        return list(self._call("GET", "/admin/releases")["releases"])

    def add_root(self, root: bytes) -> Json:
        """Add the next signed root of the chain."""
        return self._call("POST", "/admin/roots", {"root": _text(root)})

    def start_rollout(self, manifest: str, *, start: bool = True, **policy: Any) -> Json:
        """Add a rollout of a published release.

        Args:
            manifest: its SHA-256 in hex.
            start: False leaves it a draft.
            policy: fields of `ota.rules.values.Policy`; the server's defaults stand in for the others.
        """
        return self._call("POST", "/admin/rollouts", {"manifest": manifest, "start": start} | policy)

    def rollouts(self) -> list[Json]:
        """List rollouts, newest first."""
        return list(self._call("GET", "/admin/rollouts")["rollouts"])

    def rollout(self, ident: str) -> Json:
        """Show a rollout: stages, gate, history, attempts."""
        return self._call("GET", f"/admin/rollouts/{ident}")

    def command(self, ident: str, command: str, reason: str = "") -> Json:
        """Give a rollout a command: start, pause, resume or abort."""
        return self._call("POST", f"/admin/rollouts/{ident}/{command}", {"reason": reason})

    def devices(self, page: int = 200) -> Iterator[Json]:
        """Go through all devices, in order of their ids."""
        after: str | None = ""
        while after is not None:
            answer = self._call("GET", "/admin/devices", params={"after": after, "limit": str(page)})
            yield from answer["devices"]
            after = answer["next"]

    def explain(self, device: str) -> Json:
        """Tell why a device is or is not offered a release."""
        return self._call("GET", f"/admin/devices/{device}/explain")

    def add_config(self, body: str, note: str = "") -> str:
        """Keep a configuration; tells its name. The server checks it as a device will."""
        return str(self._call("POST", "/admin/configs", {"body": body, "note": note})["name"])

    def order_config(self, name: str, devices: Sequence[str], model: str | None = None, reason: str = "") -> Json:
        """Have devices, or all of a model, run a configuration that is kept."""
        return self._call("POST", f"/admin/configs/{name}/order", {"devices": list(devices), "model": model, "reason": reason})

    def configs(self) -> Json:
        """List configurations with their counts, and the last orders."""
        return self._call("GET", "/admin/configs")

    def config_body(self, name: str) -> str:
        """Read a configuration."""
        return str(self._call("GET", f"/admin/configs/{name}")["body"])

    def device_config(self, device: str) -> Json:
        """Tell what configuration a device runs and should, and its history."""
        return self._call("GET", f"/admin/devices/{device}/config")

    def forgive(self, device: str) -> Json:
        """Forget a device's failures, so that it is offered everything again."""
        return self._call("POST", f"/admin/devices/{device}/forgive")

    def versions(self) -> list[Json]:
        """List the metrics by firmware version."""
        return list(self._call("GET", "/admin/versions")["versions"])

    def _call(
        self, method: str, path: str, body: Json | None = None, params: dict[str, str] | None = None, content: bytes | None = None,
    ) -> Json:
        try:
            answer = self._http.request(method, path, json=body, params=params, content=content)
        except httpx.HTTPError as error:
            raise OtaError(0, UNREACHABLE, f"{self._http.base_url}: {error}") from None
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise OtaError(answer.status_code, "ota.answer", f"{method} {path}: got {answer.status_code} without a JSON object")
        if answer.is_error:
            raise OtaError(answer.status_code, str(found.get("code", "ota.answer")), str(found.get("message", "")))
        return found


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
