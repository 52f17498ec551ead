"""The archive never hands out a byte that is not the right one, and never half of an object."""

import hashlib
import os
import stat
from pathlib import Path

import pytest

from ota.archive.folder import Archive, ArchiveError, MismatchError, MissingError


def test_what_is_put_is_got_by_its_hash(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "a" / "b")
    name = archive.put(b"firmware")
    assert name == hashlib.sha256(b"firmware").hexdigest()
    assert archive.get(name) == b"firmware"
    assert Archive(tmp_path / "a" / "b").get(name) == b"firmware"


def test_objects_are_read_only_and_nothing_else_is_left(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    name = archive.put(b"firmware")
    assert archive.put(b"firmware") == name
    (found,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert stat.S_IMODE(found.stat().st_mode) == 0o444


def test_a_damaged_object_is_refused_and_can_be_put_right(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    name = archive.put(b"firmware")
    path = tmp_path / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(b"firmwarf")
    with pytest.raises(ArchiveError, match=f"{name}: damaged"):
        archive.get(name)
    archive.put(b"firmware")
    assert archive.get(name) == b"firmware"


@pytest.mark.parametrize("name", ["", "0" * 64, "../../etc/passwd", "A" * 64, "0" * 63 + "\n"])
def test_names_that_are_no_objects(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingError):
        Archive(tmp_path).get(name)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63 + "\n"])
def test_no_object_arrives_under_a_name_that_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingError):
        Archive(tmp_path / "archive").receive(name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = Archive(tmp_path)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArchiveError, match="No space left"):
        archive.put(b"firmware")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveError, match=r"archive .*file/x"):
        Archive(tmp_path / "file" / "x")


def test_what_arrives_in_pieces_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    archive, name = Archive(tmp_path), hashlib.sha256(b"firmware").hexdigest()
    with archive.receive(name) as incoming:
        for piece in (b"firm", b"", b"ware"):
            incoming.write(piece)
            with pytest.raises(MissingError):
                archive.get(name)
        incoming.keep()
    assert (archive.get(name), incoming.size_bytes) == (b"firmware", 8)
    assert archive.put(b"firmware") == name
    (found,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert stat.S_IMODE(found.stat().st_mode) == 0o444


def test_pieces_that_make_another_object_leave_nothing(tmp_path: Path) -> None:
    archive, name = Archive(tmp_path), hashlib.sha256(b"firmware").hexdigest()
    with archive.receive(name) as incoming:
        incoming.write(b"firmwarf")
        with pytest.raises(MismatchError, match=f"got 8 bytes with SHA-256 .*, expected {name}"):
            incoming.keep()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_object_that_stops_arriving_leaves_nothing(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    with archive.receive(hashlib.sha256(b"firmware").hexdigest()) as incoming:
        incoming.write(b"firm")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_damaged_object_is_put_right_by_a_second_arrival(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    name = archive.put(b"firmware")
    path = tmp_path / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(b"firmwarf")
    with archive.receive(name) as incoming:
        incoming.write(b"firmware")
        incoming.keep()
    assert archive.get(name) == b"firmware"
