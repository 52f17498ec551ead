"""Backup while ingest writes, restore, and a check that finds what is broken: by the commands that an operator has."""

import json
import sqlite3
import tarfile
from pathlib import Path
from threading import Event, Thread

import pytest
from typer.testing import CliRunner

from host.cli.root import app
from host.db import open_engine
from host.store.backup import backup, restore
from host.store.check import check
from host.store.classes import Classes
from host.store.compact import compact
from host.store.maintenance import MaintenanceError
from host.store.parts import PAGE_BYTES, Part, parts_of
from host.store.queries import Queries
from host.store.rolling import roll
from tests.ingest.records import DEVICE, OTHER
from tests.store.days_of import NOW, START, fill, history
from tests.store.test_compact import answers


def command(*words):
    return CliRunner().invoke(app, list(words))


@pytest.fixture
def kept(engine):
    fill(engine, *history())
    roll(engine, NOW)
    compact(engine, NOW, Classes())
    roll(engine, NOW)
    return engine


def test_a_backup_taken_while_ingest_writes_is_whole(kept, tmp_path):
    before, stop = answers(kept)["all"], Event()

    def ingest():
        for seed in range(200):
            if stop.is_set():
                return
            fill(kept, *history(seed=seed, days=1, device=OTHER, boot=seed + 1, first_seq=0))

    writer = Thread(target=ingest)
    writer.start()
    try:
        backup(kept, tmp_path / "b.tar")
    finally:
        stop.set()
        writer.join()
    url = f"sqlite:///{tmp_path}/restored.db"
    restore(url, tmp_path / "b.tar")
    restored = open_engine(url)
    assert answers(restored)["all"] == before
    assert check(restored) == []
    restored.dispose()


def test_the_commands_of_an_operator(engine, tmp_path):
    url = str(engine.url)
    fill(engine, *history())
    before = Queries(engine).series(DEVICE, None, START, NOW, 100_000)
    assert "days of devices summed up" in command("telemetry", "rollup", "--database", url).output
    done = json.loads(command("telemetry", "compact", "--database", url, "--vacuum", "--json").output)
    assert done["batches"] > 0
    assert Queries(engine).series(DEVICE, None, START, NOW, 100_000) == before
    assert command("telemetry", "retention", "--database", url, "--dry-run").output == "nothing is beyond its bounds\n"
    assert command("telemetry", "backup", str(tmp_path / "b.tar"), "--database", url).exit_code == 0
    new = f"sqlite:///{tmp_path}/new.db"
    result = command("telemetry", "restore", str(tmp_path / "b.tar"), "--database", new)
    assert (result.output, result.exit_code) == ("restored and sound\n", 0)
    result = command("db", "check", "--database", new)
    assert (result.output, result.exit_code) == ("sound\n", 0)


def test_a_restore_overwrites_nothing(kept, tmp_path):
    backup(kept, tmp_path / "b.tar")
    with pytest.raises(MaintenanceError, match="there already"):
        restore(str(kept.url), tmp_path / "b.tar")
    with pytest.raises(MaintenanceError, match="there already"):
        backup(kept, tmp_path / "b.tar")


def test_a_cut_or_foreign_backup_leaves_nothing_behind(kept, tmp_path):
    whole = tmp_path / "b.tar"
    backup(kept, whole)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(whole.read_bytes()[:20_000])
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as tar:
        tar.add(whole, "../outside.db")
    target = tmp_path / "in"
    target.mkdir()
    for file in (cut, evil):
        with pytest.raises(MaintenanceError):
            restore(f"sqlite:///{target}/new.db", file)
        assert list(target.iterdir()) == []
    assert not (tmp_path / "outside.db").exists()


def harm_sums(path, parts):
    path.execute("UPDATE progress SET readings = readings + 1")


def harm_run(path, parts):
    path.execute("UPDATE run SET last_seq = last_seq + 3")


def harm_rollup(path, parts):
    path.execute("UPDATE rollup SET total = total + 1")


def harm_day(path, parts):
    path.execute("UPDATE packed_day SET version = version + 1")


def harm_column(path, parts):
    with sqlite3.connect(parts) as file:
        (body,) = file.execute("SELECT body FROM day_column WHERE series = 3").fetchone()
        file.execute("UPDATE day_column SET body = ? WHERE series = 3", (body[:-1] + bytes((body[-1] ^ 1,)),))


def harm_file(path, parts):
    raw = bytearray(Path(parts).read_bytes())
    raw[PAGE_BYTES:PAGE_BYTES + 64] = bytes(64)
    Path(parts).write_bytes(raw)


@pytest.mark.parametrize(("harm", "told"), [
    (harm_sums, "progress counts"), (harm_run, "run"), (harm_rollup, "sums to"), (harm_day, "readings in its columns"),
    (harm_column, "does not decode"), (harm_file, "part 2026-02.all"),
], ids=lambda value: getattr(value, "__name__", ""))
def test_a_check_finds_what_is_broken(kept, harm, told):
    assert check(kept) == []
    url, part = str(kept.url), parts_of(kept).path(Part("2026-02", "all"))
    kept.dispose()
    with sqlite3.connect(kept.url.database) as main:
        harm(main, part)
    result = command("db", "check", "--database", url, "--json")
    said = json.loads(result.output)
    assert (result.exit_code, said["sound"]) == (1, False)
    assert any(told in one for one in said["findings"]), said
