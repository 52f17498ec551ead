"""Typed settings: one small frozen model per part, read from a TOML or JSON file and the environment.

Decides how a wrong setting is told: `SettingsError` names the key, what it got and what was expected. Holds no settings of
its own and no secrets: a model names key files, never keys.
"""

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError


class Settings(BaseModel):
    """Base of every part's settings: unknown keys are refused, values are never changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SettingsError(Exception):
    """A setting is wrong; the caller (the user) can mend it.

    Attributes:
        key: dotted name of the setting, or the file's path when the file itself is unusable.
        got: what stands there now, as text.
        expected: what would be accepted.
    """

    def __init__(self, key: str, got: str, expected: str) -> None:
        super().__init__(f"setting {key}: got {got}, expected {expected}")
        self.key, self.got, self.expected = key, got, expected


M = TypeVar("M", bound=Settings)


def load(model: type[M], path: Path | None = None, *, env_prefix: str = "", env: Mapping[str, str] | None = None) -> M:
    """Read one part's settings.

    Args:
        model: the part's settings class.
        path: TOML or JSON file by its ending; None uses defaults and environment only.
        env_prefix: e.g. "TENFOLD_OTA_"; TENFOLD_OTA_PORT then overrides `port`. Empty: the environment is not read.
        env: environment to read; None means the process's own.

    Raises:
        SettingsError: file missing or unreadable, unknown key, or a value of the wrong kind. The first fault found is told.
    """
    values: dict[str, object] = {} if path is None else _read(path)
    if env_prefix:
        source = os.environ if env is None else env
        values |= {
            name: source[env_prefix + name.upper()] for name in model.model_fields if env_prefix + name.upper() in source
        }
    return validated(model, values)


def validated(model: type[M], values: Mapping[str, object], within: str = "") -> M:
    """Make a model of values that were read before; `within` names the table they stand in, for the error.

    Raises:
        SettingsError: unknown key, or a value of the wrong kind. The first fault found is told.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in fault["loc"]) or model.__name__
        got = "nothing" if fault["type"] == "missing" else repr(fault.get("input"))
        raise SettingsError(f"{within}.{key}" if within else key, got, _expected(model, key, fault["msg"])) from None


def _read(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(str(path), f"an unreadable file ({error})", "a TOML or JSON file in UTF-8") from None
    try:
        parsed = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise SettingsError(str(path), f"a file that does not parse ({error})", "valid TOML or JSON") from None
    if not isinstance(parsed, dict):
        raise SettingsError(str(path), type(parsed).__name__, "a table of settings")
    return parsed


def _expected(model: type[Settings], key: str, message: str) -> str:
    """Tell what a key wants: pydantic's words, and the known keys when the key itself is unknown."""
    if message == "Extra inputs are not permitted":
        return "one of " + ", ".join(sorted(model.model_fields))
    return message[0].lower() + message[1:] if message else f"a value for {key}"
