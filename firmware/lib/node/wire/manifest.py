"""The manifest: what a release is, signed offline. Which device should run it now is the direction's to say.

A release is ordered by its counter; its name is for people. Its artifact is the plain concatenation of its files in the
listed order. A manifest is named by the SHA-256 of its whole envelope.
"""

import json

from node.compat import Any, const
from node.errors import CallerError, FormatError, PeerError
from node.wire import root as roots
from node.wire import signed
from node.wire.fields import (
    DIGITS,
    LOWER,
    MAX_I31,
    is_hex,
    is_model,
    is_release,
    only,
    parse_object,
    want_bool,
    want_dict,
    want_hex,
    want_int,
    want_list,
    want_type,
)

MAX_FILES = const(128)
MAX_PATH = const(64)   # characters
MAX_MODELS = const(16)
MAX_ARTIFACT_BYTES = const(4194304)   # an OTA slot of an 8 MiB flash is smaller
MARKER = "release.json"   # written by the device when a slot is complete; a release must not bring its own
_STEM = LOWER + DIGITS + "_"


def build(release: str, counter: int, models: list[str], from_counters: tuple[int, int], stone: bool, mpy: int,
          artifact_sha256: str, files: list[tuple[str, int, str]]) -> bytes:
    """Build a manifest's payload.

    Args:
        from_counters: Lowest and highest counter of a device that may install it.
        stone: A stepping stone: older devices must pass through it.
        mpy: Version of the .mpy format that the files need.
        files: (path, size in bytes, SHA-256 in hex), in the order of the artifact.

    Raises:
        CallerError: `manifest.invalid`: what parse would refuse.
    """
    artifact = {"sha256": artifact_sha256, "size": sum(size for _, size, _ in files), "files": [list(row) for row in files]}
    payload = json.dumps({"type": "manifest", "release": release, "counter": counter, "models": models,
                          "from": list(from_counters), "stone": stone, "mpy": mpy, "artifact": artifact}).encode()
    try:
        parse(payload)
    except FormatError as error:
        raise CallerError("manifest.invalid", str(error))
    return payload


def parse(payload: bytes) -> dict[str, Any]:
    """Return release, counter, models, from, stone, mpy and artifact of a manifest's payload, each checked.

    Raises:
        FormatError: `manifest.<key>`; `manifest.path` for a file's name.
    """
    obj = parse_object(payload, "manifest", signed.MAX_BYTES[signed.MANIFEST])
    want_type(obj, "manifest")
    if not is_release(obj.get("release")):
        raise FormatError("manifest.release", "expected three numbers with dots")
    models = want_list(obj, "models", "manifest", 1, MAX_MODELS)
    if not all(is_model(model) for model in models):
        raise FormatError("manifest.models", "expected names of a-z, 0-9, _ and -")
    low, high = want_list(obj, "from", "manifest", 2, 2)
    span = {"from": low, "to": high}
    return {
        "type": "manifest",
        "release": obj["release"],
        "counter": want_int(obj, "counter", "manifest", 1, MAX_I31),
        "models": models,
        "from": [want_int(span, "from", "manifest", 0, MAX_I31), want_int(span, "to", "manifest", low, MAX_I31)],
        "stone": want_bool(obj, "stone", "manifest"),
        "mpy": want_int(obj, "mpy", "manifest", 1, 255),
        "artifact": _artifact(want_dict(obj, "artifact", "manifest")),
    }


def load(raw: bytes, root: dict[str, Any]) -> dict[str, Any]:
    """Verify a manifest under the root's release role and return it parsed.

    Raises:
        FormatError: `signed.*` or `manifest.<key>`.
        SignatureError: `signature.threshold`.
        PeerError: `manifest.counter`: below the root's floor.
    """
    keys, threshold = roots.role(root, "release")
    manifest = parse(signed.verify(raw, signed.MANIFEST, keys, threshold))
    if manifest["counter"] < root["min_counter"]:
        raise PeerError("manifest.counter", f"got {manifest['counter']}, the root's floor is {root['min_counter']}")
    return manifest


def check_install(manifest: dict[str, Any], model: str, counter_now: int, floor: int, mpy: int) -> None:
    """Refuse a release that this device must not install.

    Args:
        counter_now: Of the release that runs.
        floor: Highest counter ever confirmed here; nothing below it comes back.
        mpy: Version of the .mpy format that the interpreter reads.

    Raises:
        PeerError: `manifest.model`, `manifest.counter`, `manifest.from` or `manifest.mpy`.
    """
    counter = manifest["counter"]
    if model not in manifest["models"]:
        raise PeerError("manifest.model", f"for {', '.join(manifest['models'])}, this is {model}")
    if counter <= counter_now or counter < floor:
        raise PeerError("manifest.counter", f"got {counter}, running {counter_now}, floor {floor}")
    low, high = manifest["from"]
    if not low <= counter_now <= high:
        raise PeerError("manifest.from", f"installs over {low}..{high}, running {counter_now}")
    if manifest["mpy"] != mpy:
        raise PeerError("manifest.mpy", f"needs .mpy version {manifest['mpy']}, the interpreter reads {mpy}")


def is_path(path: Any) -> bool:
    """Say whether a file's name is `[a-z0-9_]+(/[a-z0-9_]+)*.(mpy|json)`: no way out of a slot, no marker."""
    if type(path) is not str or len(path) > MAX_PATH or path == MARKER:
        return False
    stem, dot, suffix = path.partition(".")
    return dot == "." and suffix in ("mpy", "json") and all(part and only(part, _STEM) for part in stem.split("/"))


def _artifact(obj: dict[str, Any]) -> dict[str, Any]:
    listed = want_list(obj, "files", "manifest", 1, MAX_FILES)
    files: list[tuple[str, int, str]] = []
    total = 0
    seen = set()
    for row in listed:
        if type(row) is not list or len(row) != 3 or type(row[1]) is not int or row[1] < 0 or not is_hex(row[2], 32):
            raise FormatError("manifest.files", f"got {str(row)[:60]}, expected [path, size, sha256]")
        if not is_path(row[0]) or row[0] in seen:
            raise FormatError("manifest.path", f"got {str(row[0])[:MAX_PATH]}")
        seen.add(row[0])
        total += row[1]
        files.append((row[0], row[1], row[2]))
    size = want_int(obj, "size", "manifest", 1, MAX_ARTIFACT_BYTES)
    if total != size:
        raise FormatError("manifest.size", f"files sum to {total}, size says {size}")
    return {"sha256": want_hex(obj, "sha256", "manifest", 32), "size": size, "files": files}
