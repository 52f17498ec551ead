"""The operators' client of the update server: one method an endpoint, mutual TLS, errors with the server's codes.

Decides nothing and keeps nothing; the command line, the console and the demo stand on it.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
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
    def connect(cls, url: str, ca_file: Path, cert_file: Path, key_file: Path, token: str | None = None) -> Self:
        """Make a client with an operator's certificate.

        Args:
            url: e.g. "https://localhost:8443".
            token: replaces what the certificate may do.

        Raises:
            SettingsError: a file is unusable.
        """
        context = client_context(ca_file, cert_file, key_file)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return cls(httpx.Client(base_url=url, verify=context, timeout=TIMEOUT_S, trust_env=False, headers=headers))

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

    def publish(
        self, manifest: bytes, artifact: bytes, image: bytes | None = None, deltas: Sequence[bytes] = (), *,
        allow_stranded: bool = False, reason: str = "",
    ) -> Json:
        """Upload the parts of a signed release, then publish it; doing so again changes nothing.

        Args:
            manifest: the signed envelope.
            artifact: the bundle.
            image: the chip's image, if the manifest names one.
            deltas: those that the manifest names.
            allow_stranded: even if versions that were seen could not reach it; needs a reason.
        """
        body: Json = {"manifest": _text(manifest), "artifact": self.upload(artifact), "allow_stranded": allow_stranded,
                      "reason": reason}
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
        """Give a rollout a command: start, pause, resume, abort, or approve what another asked for."""
        return self._call("POST", f"/admin/rollouts/{ident}/{command}", {"reason": reason})

    def rollback(self, ident: str, manifest: str, reason: str = "", **policy: Any) -> Json:
        """Lead devices back from a rollout's release, by a newer release with older content.

        Args:
            manifest: of that release, published: its SHA-256 in hex.
            policy: as for `start_rollout`; the defaults are quick.
        """
        return self._call("POST", f"/admin/rollouts/{ident}/rollback", {"manifest": manifest, "reason": reason} | policy)

    def metrics(self, page: int = 500) -> Iterator[Json]:
        """Go through what all devices last told of themselves, in order of their ids."""
        return self._paged("/admin/metrics/devices", "devices", "after", page)

    def metric_totals(self) -> list[Json]:
        """List what check-ins added up to, by version and site."""
        return list(self._call("GET", "/admin/metrics/totals")["totals"])

    def links_until(self) -> int | None:
        """Tell up to when a monitor told of links, Unix seconds; None while none does."""
        until_s = self._call("GET", "/admin/metrics/links")["until_s"]
        return None if until_s is None else int(until_s)

    def tell_links(self, from_s: int, until_s: int, rows: Sequence[Mapping[str, str | int]]) -> None:
        """Tell how links did in a window, by model, counter and cohort."""
        self._call("POST", "/admin/metrics/links", {"from_s": from_s, "until_s": until_s, "rows": list(rows)})

    def end_links(self) -> None:
        """Tell that no monitor tells of links any more."""
        self._call("DELETE", "/admin/metrics/links")

    def devices(self, page: int = 200) -> Iterator[Json]:
        """Go through all devices, in order of their ids."""
        return self._paged("/admin/devices", "devices", "after", page)

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

    def whoami(self) -> Json:
        """Tell who the server takes us for, and what we may do."""
        return self._call("GET", "/admin/whoami")

    def add_token(self, role: str, models: Sequence[str], days: float, note: str = "") -> Json:
        """Make a token; its `token` is told this once."""
        return self._call("POST", "/admin/tokens", {"role": role, "models": list(models), "days": days, "note": note})

    def tokens(self) -> list[Json]:
        """List tokens, newest first, without what they are."""
        return list(self._call("GET", "/admin/tokens")["tokens"])

    def revoke_token(self, ident: str) -> Json:
        """End a token."""
        return self._call("POST", f"/admin/tokens/{ident}/revoke")

    def audit(self, page: int = 500) -> Iterator[Json]:
        """Go through the audit log, newest first."""
        return self._paged("/admin/audit", "rows", "before", page)

    def webhooks(self) -> list[Json]:
        """List webhooks and how far each has got."""
        return list(self._call("GET", "/admin/webhooks")["webhooks"])

    def label(
        self, devices: Sequence[str], *, model: str | None = None, tag: Sequence[str] = (), untag: Sequence[str] = (),
        site: str | None = None,
    ) -> Json:
        """Change the tags or the site of devices, or of all of a model."""
        return self._call("POST", "/admin/labels", {
            "devices": list(devices), "model": model, "tag": list(tag), "untag": list(untag), "site": site})

    def set_zone(self, site: str, zone: str) -> Json:
        """Set a site's time zone, an IANA name."""
        return self._call("PUT", f"/admin/sites/{site}", {"zone": zone})

    def labels(self) -> Json:
        """List sites and tags with the number of devices of each, and the last orders."""
        return self._call("GET", "/admin/labels")

    def history(self, device: str, limit: int = 100) -> Iterator[Json]:
        """Go through what happened to a device, the newest first.

        Args:
            limit: as many as this at most.
        """
        return islice(self._paged(f"/admin/devices/{device}/history", "history", "before", min(limit, 500)), limit)

    def versions(self) -> list[Json]:
        """List the metrics by firmware version."""
        return list(self._call("GET", "/admin/versions")["versions"])

    def release(self, manifest: str) -> Json:
        """Show a published release with its history."""
        return self._call("GET", f"/admin/releases/{manifest}")

    def retire(self, manifest: str, reason: str, *, allow_stranded: bool = False) -> Json:
        """Withdraw one release; tells it with `aborted` rollouts and `stranded` versions."""
        return self._call("POST", f"/admin/releases/{manifest}/retire", {"reason": reason, "allow_stranded": allow_stranded})

    def roots(self) -> list[Json]:
        """List the root chain, version 1 first."""
        return list(self._call("GET", "/admin/roots")["roots"])

    def audit_paths(self) -> Json:
        """Tell the path of every version that was seen to the newest release, and what is wrong with releases."""
        return self._call("GET", "/admin/archive/audit")

    def objects(self, page: int = 1_000) -> Iterator[Json]:
        """Go through the archive's objects, in order of their names: name and size_bytes each."""
        return self._paged("/admin/archive/objects", "objects", "after", page)

    def object(self, name: str) -> bytes:
        """Fetch one object; its bytes are the caller's to check against its name."""
        answer = self._asked("GET", f"/admin/archive/objects/{name}")
        if answer.is_error:
            self._checked(answer, f"GET object {name}")
        return answer.content

    def _call(
        self, method: str, path: str, body: Json | None = None, params: dict[str, str] | None = None, content: bytes | None = None,
    ) -> Json:
        return self._checked(self._asked(method, path, json=body, params=params, content=content), f"{method} {path}")

    def _paged(self, path: str, rows: str, cursor: str, page: int) -> Iterator[Json]:
        """Go through a list that is answered in pages; `cursor` names the parameter that takes an answer's `next`."""
        params = {"limit": str(page)}
        while True:
            answer = self._call("GET", path, params=params)
            yield from answer[rows]
            if answer["next"] is None:
                return
            params[cursor] = str(answer["next"])

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise OtaError(0, UNREACHABLE, f"{self._http.base_url}: {error}") from None

    @staticmethod
    def _checked(answer: httpx.Response, asked: str) -> Json:
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise OtaError(answer.status_code, "ota.answer", f"{asked}: got {answer.status_code} without a JSON object")
        if answer.is_error:
            raise OtaError(answer.status_code, str(found.get("code", "ota.answer")), str(found.get("message", "")))
        return found


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
