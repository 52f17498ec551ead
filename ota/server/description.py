"""The OpenAPI description of both APIs, as `/admin/openapi.json` gives it.

What FastAPI finds in the handlers' types is taken as it is. Here stands what it cannot see: the form of every error, the bodies
that handlers take by hand, the device API with its plain handlers, and who is asked for what. SPEC.md is the contract; this is for
machines.
"""

from typing import Any

from fastapi import FastAPI

from node.wire import checkin, limits
from node.wire.metrics import METRICS, RSSI, RSSI_LEAST, RSSI_MOST
from ota.rules.access import NEEDS
from ota.server import admin_api

Json = dict[str, Any]
HASH: Json = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
BYTES: Json = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
ERROR: Json = {"description": "An error", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
ERROR_BODY: Json = {"type": "object", "required": ["code", "message"], "additionalProperties": False, "properties": {
    "code": {"type": "string"}, "message": {"type": "string"}}}
SECURITY: Json = {
    "certificate": {"type": "mutualTLS", "description": "a client certificate of the fleet's CA"},
    "token": {"type": "http", "scheme": "bearer", "description": "beside a certificate; see ota/SPEC.md, Tokens"}}
FASTAPIS_ERRORS = ("HTTPValidationError", "ValidationError")   # not what this server answers


def install(app: FastAPI) -> None:
    """Have an application describe itself, in the way that FastAPI names for it; made when it is first asked for."""
    made: Json = {}
    found = app.openapi

    def describe() -> Json:
        if not made:
            made.update(_complete(found()))
        return made

    app.openapi = describe   # type: ignore[method-assign]


def _complete(description: Json) -> Json:
    parts = description.setdefault("components", {})
    schemas = {name: each for name, each in parts.get("schemas", {}).items() if name not in FASTAPIS_ERRORS}
    parts["schemas"] = schemas | {"Error": ERROR_BODY}
    parts["securitySchemes"] = SECURITY
    paths = description["paths"] = description["paths"] | _device_paths()
    for path, methods in paths.items():
        for method, operation in methods.items():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = ERROR
            need = NEEDS.get((method.upper(), path))
            operation["security"] = [{"certificate": []}]
            if need is not None:
                operation["description"] = f"Needs {need.role}."
                if not need.certificate:
                    operation["security"].append({"certificate": [], "token": []})
    paths["/admin/artifacts/{name}"]["put"]["requestBody"] = {"required": True, "content": BYTES}
    paths["/admin/rollouts"]["post"]["requestBody"] = {"required": True, "content": {"application/json": {"schema": _rollout()}}}
    return description


def _rollout() -> Json:
    policy = admin_api.POLICY.json_schema()
    own = {"manifest": HASH, "start": {"type": "boolean", "default": True}}
    return policy | {"title": "RolloutBody", "required": ["manifest"], "properties": own | policy["properties"]}


def _device_paths() -> Json:
    name = {"name": "name", "in": "path", "required": True, "schema": HASH}
    version = {"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
    span = {"type": "string", "pattern": "^bytes=[0-9]+-[0-9]*$"}
    one_range = {"name": "Range", "in": "header", "required": False, "schema": span}
    envelope: Json = {"200": {"description": "The signed envelope", "content": BYTES}}
    whole = {"200": {"description": "The whole", "content": BYTES}, "206": {"description": "The range", "content": BYTES},
             "304": {"description": "Unchanged"}}
    body = {"required": True, "content": {"application/json": {"schema": _checkin()}}}
    answer = {"200": {"description": "What the device is told", "content": {"application/json": {"schema": {"type": "object"}}}}}
    return {
        "/v1/checkin": {"post": {"summary": "Check In", "operationId": "check_in", "requestBody": body, "responses": answer}},
        "/v1/manifests/{name}": {"get": {
            "summary": "Get Manifest", "operationId": "get_manifest", "parameters": [name], "responses": dict(envelope)}},
        "/v1/artifacts/{name}": {"get": {
            "summary": "Get Artifact", "operationId": "get_artifact", "parameters": [name, one_range], "responses": whole}},
        "/v1/roots/{version}": {"get": {
            "summary": "Get Root", "operationId": "get_root", "parameters": [version], "responses": dict(envelope)}},
    }


def _checkin() -> Json:
    """Describe a check-in; `node.wire.checkin` is what checks one."""
    def number(highest: int) -> Json:
        return {"type": "integer", "minimum": 0, "maximum": highest}

    i31, reason = number(limits.MAX_I31), {"type": "string", "maxLength": checkin.MAX_REASON}
    manifest = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}
    config = {"type": "string", "pattern": f"^([0-9a-f]{{{2 * limits.CONFIG_NAME_BYTES}}})?$"}
    failed = {"type": ["object", "null"], "required": ["counter", "manifest", "reason"], "properties": {
        "counter": i31, "manifest": manifest, "reason": reason}}
    members: Json = {
        "v": {"const": checkin.VERSION}, "device": {"type": "string", "pattern": "^[a-z0-9_]{1,16}-[0-9a-f]{12}$"},
        "model": {"type": "string", "pattern": "^[a-z0-9_-]{1,16}$"},
        "release": {"type": "string", "pattern": r"^[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}$"}, "counter": i31, "manifest": manifest,
        "boot": number(limits.MAX_U32), "nonce": {"type": "string", "pattern": f"^[0-9a-f]{{{2 * limits.NONCE_BYTES}}}$"},
        "slot": {"enum": list(checkin.SLOTS)}, "trial": {"type": "boolean"}, "failed": failed, "root": i31, "seq": i31,
        "metrics": {"type": "object", "properties": {name: number(limits.MAX_U53) for name in METRICS} | {
            RSSI: {"type": "integer", "minimum": RSSI_LEAST, "maximum": RSSI_MOST}}},
    }
    later = {"config": config, "config_trial": {"type": "boolean"}, "config_failed": {
        "type": ["object", "null"], "required": ["name", "reason"], "properties": {"name": config, "reason": reason}}}
    return {"type": "object", "required": [name for name in members if name != "failed"], "properties": members | later}
