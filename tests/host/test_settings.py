"""A wrong setting is told with its key, what it got and what was expected."""

from pathlib import Path

import pytest
from pydantic import Field

from host.settings import Settings, SettingsError, load


class Sample(Settings):
    port: int = Field(8000, ge=1, le=65535)
    name: str = "x"


def written(folder: Path, text: str, name: str = "a.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_file_and_environment_in_this_order(tmp_path: Path) -> None:
    path = written(tmp_path, "port = 1\nname = 'file'")
    assert load(Sample) == Sample()
    assert load(Sample, path, env_prefix="T_", env={"T_PORT": "2"}) == Sample(port=2, name="file")


@pytest.mark.parametrize(
    ("text", "key", "got", "expected"),
    [
        ("port = 'abc'", "port", "'abc'", "integer"),
        ("port = 70000", "port", "70000", "65535"),
        ("prot = 1", "prot", "1", "one of name, port"),
    ],
)
def test_wrong_value_names_key_got_and_expected(tmp_path: Path, text: str, key: str, got: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(Sample, written(tmp_path, text))
    assert (caught.value.key, caught.value.got) == (key, got)
    assert expected in caught.value.expected


@pytest.mark.parametrize(("name", "text"), [("a.toml", "port ="), ("a.json", "{"), ("a.json", "[1]")])
def test_file_that_is_no_table_is_told_by_path(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load(Sample, written(tmp_path, text, name))


def test_missing_file_is_told_by_path(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"gone\.toml"):
        load(Sample, tmp_path / "gone.toml")
