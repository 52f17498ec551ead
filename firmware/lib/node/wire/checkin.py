"""The check-in: what a device tells the update server once per period, and what it is answered.

JSON over HTTPS with the client certificate. Unknown keys are ignored on both sides, so that either may be newer; wrong types
are refused by name. The direction inside the answer is a signed envelope, verified by direction.py.
"""

import binascii
import json

from node.compat import Any, const
from node.errors import FormatError
from node.wire.fields import is_model, is_release, parse_object, want_bool, want_dict, want_hex, want_int, want_text
from node.wire.identity import want_device
from node.wire.limits import CONFIG_NAME_BYTES, DIRECTION, MAX_CONFIG_BYTES, MAX_I31, MAX_U32, MAX_U53, NONCE_BYTES
from node.wire.limits import MAX_BYTES as MAX_SIGNED_BYTES
from node.wire.metrics import METRICS, RSSI, RSSI_LEAST, RSSI_MOST

VERSION = const(1)
MAX_REQUEST_BYTES = const(4096)
MAX_RESPONSE_BYTES = const(8192)
MAX_REASON = const(120)   # characters, for people
MAX_PERIOD_S = const(604800)   # a week: no answer may silence a device for longer
SLOTS = ("factory", "a", "b")


def encode_request(request: dict[str, Any]) -> bytes:
    """Build a check-in from the keys that parse_request returns; `v` is added."""
    body = dict(request)
    body["v"] = VERSION
    return json.dumps(body).encode()


def parse_request(raw: bytes) -> dict[str, Any]:
    """Check a check-in.

    Returns:
        v, device, model, release, counter, manifest (hex or ""), boot, nonce (hex), slot, trial, failed (None or a dict of
        counter, manifest, reason), root, seq (the direction floor), metrics (those of METRICS and RSSI that were sent), config
        (name of the delivered configuration that it runs on, or ""), config_trial, config_failed (None or a dict of name, reason).

    Raises:
        FormatError: `checkin.size`, `checkin.json`, `checkin.object` or `checkin.<key>`.
    """
    obj = parse_object(raw, "checkin", MAX_REQUEST_BYTES)
    want_int(obj, "v", "checkin", VERSION, VERSION)
    if not is_model(obj.get("model")):
        raise FormatError("checkin.model", "expected 1..16 of a-z, 0-9, _ and -")
    if not is_release(obj.get("release")):
        raise FormatError("checkin.release", "expected three numbers with dots")
    if obj.get("slot") not in SLOTS:
        raise FormatError("checkin.slot", f"expected one of {', '.join(SLOTS)}")
    failed = None
    if obj.get("failed") is not None:
        body = want_dict(obj, "failed", "checkin")
        failed = {
            "counter": want_int(body, "counter", "checkin", 0, MAX_I31),
            "manifest": _manifest(body),
            "reason": want_text(body, "reason", "checkin", MAX_REASON),
        }
    sent = want_dict(obj, "metrics", "checkin")
    metrics = {name: want_int(sent, name, "checkin", 0, MAX_U53) for name in METRICS if name in sent}
    if RSSI in sent:
        metrics[RSSI] = want_int(sent, RSSI, "checkin", RSSI_LEAST, RSSI_MOST)
    config_failed = None
    if obj.get("config_failed") is not None:
        body = want_dict(obj, "config_failed", "checkin")
        config_failed = {"name": _config(body, "name"), "reason": want_text(body, "reason", "checkin", MAX_REASON)}
    return {
        "v": VERSION,
        "device": want_device(obj, "checkin"),
        "model": obj["model"],
        "release": obj["release"],
        "counter": want_int(obj, "counter", "checkin", 0, MAX_I31),
        "manifest": _manifest(obj),
        "boot": want_int(obj, "boot", "checkin", 0, MAX_U32),
        "nonce": want_hex(obj, "nonce", "checkin", NONCE_BYTES),
        "slot": obj["slot"],
        "trial": want_bool(obj, "trial", "checkin"),
        "failed": failed,
        "root": want_int(obj, "root", "checkin", 0, MAX_I31),
        "seq": want_int(obj, "seq", "checkin", 0, MAX_I31),
        "metrics": metrics,
        "config": _config(obj, "config") if "config" in obj else "",
        "config_trial": want_bool(obj, "config_trial", "checkin") if "config_trial" in obj else False,
        "config_failed": config_failed,
    }


def encode_response(response: dict[str, Any]) -> bytes:
    """Build an answer from now_s, period_s, direction (envelope bytes or None) and reason; `v` is added.

    `config`, if it is there, is a configuration's (name, bytes); the bytes are plain ASCII.
    """
    body = dict(response)
    body["v"] = VERSION
    if body["direction"] is not None:
        body["direction"] = binascii.b2a_base64(body["direction"]).decode().strip()
    if "config" in body:
        body["config"] = {"name": body["config"][0], "body": body["config"][1].decode()}
    return json.dumps(body).encode()


def parse_response(raw: bytes) -> dict[str, Any]:
    """Check an answer.

    Returns:
        v, now_s (Unix seconds), period_s (until the next check-in), direction (envelope bytes or None), reason, config (None, or a
        configuration's (name, bytes)).

    Raises:
        FormatError: `checkin.size`, `checkin.json`, `checkin.object` or `checkin.<key>`.
    """
    obj = parse_object(raw, "checkin", MAX_RESPONSE_BYTES)
    want_int(obj, "v", "checkin", VERSION, VERSION)
    direction = None
    if obj.get("direction") is not None:
        text = want_text(obj, "direction", "checkin", MAX_SIGNED_BYTES[DIRECTION] * 4 // 3 + 4)
        try:
            direction = binascii.a2b_base64(text)
        except ValueError:
            raise FormatError("checkin.direction", "not base64")
    config = None
    if obj.get("config") is not None:
        body = want_dict(obj, "config", "checkin")
        config = (want_hex(body, "name", "checkin", CONFIG_NAME_BYTES),
                  want_text(body, "body", "checkin", MAX_CONFIG_BYTES).encode())
    return {
        "v": VERSION,
        "now_s": want_int(obj, "now_s", "checkin", 1, MAX_U32),
        "period_s": want_int(obj, "period_s", "checkin", 1, MAX_PERIOD_S),
        "direction": direction,
        "reason": want_text(obj, "reason", "checkin", MAX_REASON),
        "config": config,
    }


def _config(obj: dict[str, Any], key: str) -> str:
    return "" if obj.get(key) == "" else want_hex(obj, key, "checkin", CONFIG_NAME_BYTES)


def _manifest(obj: dict[str, Any]) -> str:
    return "" if obj.get("manifest") == "" else want_hex(obj, "manifest", "checkin", 32)
