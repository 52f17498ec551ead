"""The manifest: what a release is, signed offline. Which device should run it now is the direction's to say.

A release is ordered by its counter; its name is for people. Its artifact is a bundle (bundle.py); some releases bring an image
too, an interpreter for the chip. Both are named by their SHA-256, a manifest by that of its whole envelope. Deltas (delta.py) are
shorter ways to either, each from one older bundle or image; what comes of one is checked as if it had been fetched.
"""

import json

from node.compat import Any, const
from node.errors import CallerError, FormatError, PeerError
from node.wire import root as roots
from node.wire import signed
from node.wire.fields import is_model, is_release, parse_object, want_bool, want_dict, want_hex, want_int, want_list, want_type
from node.wire.limits import MAX_I31

MAX_MODELS = const(16)
MAX_ARTIFACT_BYTES = const(4194304)   # an OTA slot of an 8 MiB flash is smaller
MIN_IMAGE_BYTES = const(1048576)   # MicroPython for ESP32 has 1.6 MB: less is no image
MAX_DELTAS = const(4)   # to a bundle, and as many to an image: 190 bytes each of the 2048 of an envelope


def build(release: str, counter: int, models: list[str], from_counters: tuple[int, int], stone: bool, mpy: int,
          artifact: tuple[str, int], image: tuple[str, int] | None = None,
          deltas: dict[str, list[tuple[str, int, str, int]]] | None = None) -> bytes:
    """Build a manifest's payload.

    Args:
        from_counters: Lowest and highest counter of a device that may install it.
        stone: A stepping stone: older devices must pass through it.
        mpy: Version of the .mpy format that the files need.
        artifact: SHA-256 in hex and size in bytes of the bundle. image: the same of the chip's image, if it is part of it.
        deltas: to "artifact" and to "image": SHA-256 and size of what it starts from, SHA-256 and size of the delta.

    Raises:
        CallerError: `manifest.invalid`: what parse would refuse.
    """
    body: dict[str, Any] = {
        "type": "manifest", "release": release, "counter": counter, "models": models, "from": list(from_counters), "stone": stone,
        "mpy": mpy, "artifact": {"sha256": artifact[0], "size": artifact[1]}}
    if image is not None:
        body["image"] = {"sha256": image[0], "size": image[1]}
    for part, ways in (deltas or {}).items():
        body[part]["deltas"] = [{"from": way[0], "base": way[1], "sha256": way[2], "size": way[3]} for way in ways]
    payload = json.dumps(body).encode()
    try:
        parse(payload)
    except FormatError as error:
        raise CallerError("manifest.invalid", str(error))
    return payload


def parse(payload: bytes) -> dict[str, Any]:
    """Return release, counter, models, from, stone, mpy, artifact and image (None when absent) of a payload, each checked.

    Artifact and image have sha256, size and deltas, a list of {"from", "base", "sha256", "size"}, empty when there are none.

    Raises:
        FormatError: `manifest.<key>`.
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
        "artifact": _content(want_dict(obj, "artifact", "manifest"), 1),
        "image": _content(want_dict(obj, "image", "manifest"), MIN_IMAGE_BYTES) if "image" in obj else None,
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


def _content(obj: dict[str, Any], least: int) -> dict[str, Any]:
    content = _named(obj, least, MAX_ARTIFACT_BYTES)
    ways = want_list(obj, "deltas", "manifest", 1, MAX_DELTAS) if "deltas" in obj else []
    content["deltas"] = [_delta(want_dict({"deltas": way}, "deltas", "manifest"), content["size"]) for way in ways]
    return content


def _delta(obj: dict[str, Any], size: int) -> dict[str, Any]:
    delta = _named(obj, 1, size)
    delta["from"] = want_hex(obj, "from", "manifest", 32)
    delta["base"] = want_int(obj, "base", "manifest", 1, MAX_ARTIFACT_BYTES)
    return delta


def _named(obj: dict[str, Any], least: int, most: int) -> dict[str, Any]:
    return {"sha256": want_hex(obj, "sha256", "manifest", 32), "size": want_int(obj, "size", "manifest", least, most)}
