"""Many rows at once: what SQLite does with a statement a row, PostgreSQL does with one for all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, BigInteger, Boolean, Column, Engine, Float, LargeBinary, MetaData, Table, Text, select

from host.db import open_engine
from host.rows import insert_new, upsert

METADATA = MetaData()
THING = Table(
    "thing", METADATA,
    Column("name", Text, primary_key=True), Column("number", BigInteger), Column("share", Float), Column("on", Boolean),
    Column("raw", LargeBinary), Column("body", JSON), Column("times", BigInteger, nullable=False),
)
NASTY: list[dict[str, Any]] = [
    {"name": 'a "b", {c}\\', "number": 2**62, "share": 0.1, "on": True, "raw": bytes(range(256)), "body": [[1], []], "times": 1},
    {"name": "NULL", "number": None, "share": None, "on": None, "raw": None, "body": {"k": [None, "é"]}, "times": 2},
    {"name": "", "number": -1, "share": -0.0, "on": False, "raw": b"", "body": "text", "times": 3},
]


@pytest.fixture(params=["sqlite", "postgresql"])
def things(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    engine = open_engine(url)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def kept(engine: Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(select(THING).order_by(THING.c.times)).mappings()]
    return [row | {"raw": None if row["raw"] is None else bytes(row["raw"])} for row in found]


def test_values_come_back_as_they_were_written(things: Engine) -> None:
    with things.begin() as connection:
        assert insert_new(connection, THING, NASTY) == 3
    assert kept(things) == NASTY


def test_only_new_rows_are_written_and_counted(things: Engine) -> None:
    with things.begin() as connection:
        assert insert_new(connection, THING, NASTY[:2]) == 2
        assert insert_new(connection, THING, [row | {"number": 7} for row in NASTY]) == 1
        assert insert_new(connection, THING, []) == 0
    assert [row["number"] for row in kept(things)] == [2**62, None, 7]


def test_rows_that_are_there_are_replaced_or_added_to(things: Engine) -> None:
    with things.begin() as connection:
        upsert(connection, THING, NASTY[:2])
        upsert(connection, THING, [row | {"number": 7, "times": 10} for row in NASTY], add=["times"])
        upsert(connection, THING, [])
    assert [(row["number"], row["times"]) for row in kept(things)] == [(7, 10), (7, 11), (7, 12)]
