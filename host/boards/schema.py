"""The JSON schema of a board's profile, for editors and others' tools; ours read profile.py, which it is made of."""

import json

from host.boards.profile import Board


def text() -> str:
    """What firmware/image/board.schema.json holds."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Board.model_json_schema()}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
