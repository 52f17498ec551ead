"""Archives that travel: the same bytes each time, and nothing kept of a tar in which anything at all is not as it was written."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.wire import signed
from node.wire.manifest import MAX_ARTIFACT_BYTES
from ota.archive import tar
from ota.archive.contents import Contents, read
from ota.archive.folder import Archive, ArchiveError, MismatchError
from ota.release import keys, sign
from ota.release.keys import public65
from ota.release.verify import ReleaseError
from tests.ota.support import IMAGE, Keys


@pytest.fixture
def archive(tmp_path: Path, signing: Keys) -> Archive:
    """Three releases under a root; the third brings an image."""
    made = Archive(tmp_path / "archive")
    made.put(signing.root_raw)
    for counter in (2, 3, 4):
        fill(made, *signing.release(counter, image=IMAGE if counter == 4 else None))
    made.put(IMAGE)
    return made


def fill(archive: Archive, *objects: bytes) -> None:
    for each in objects:
        archive.put(each)


def exported(archive: Archive) -> bytes:
    found = read(archive)
    assert not found.faults
    out = io.BytesIO()
    tar.write(out, found.chain, found.releases, archive.get)
    return out.getvalue()


def taken(raw: bytes, signing: Keys, folder: Path) -> Contents:
    """Import a tar into a new folder; gives what is there then."""
    file = io.BytesIO(raw)
    arrived = tar.verify(file, [signing.root_raw])
    target = Archive(folder)
    tar.keep(file, arrived, target)
    return read(target)


def refused(raw: bytes, signing: Keys) -> str:
    with pytest.raises(ReleaseError) as caught:
        tar.verify(io.BytesIO(raw), [signing.root_raw])
    return caught.value.code


def files(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as opened:
        return {each.name: opened.extractfile(each).read() for each in opened}


def packed(content: dict[str, bytes]) -> bytes:
    """A tar of ours with other files, in order."""
    out = io.BytesIO()
    for name in sorted(content):
        out.write(tar._header(name, len(content[name])) + content[name] + bytes(-len(content[name]) % 512))
    return out.getvalue() + bytes(1024)


def test_what_is_exported_is_what_is_imported(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    raw = exported(archive)
    found = taken(raw, signing, tmp_path / "new")
    assert [each.body["counter"] for each in found.releases] == [2, 3, 4]
    assert found.findings == []
    assert exported(Archive(tmp_path / "new")) == raw


def test_the_same_content_gives_the_same_bytes_whatever_came_first(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    other = Archive(tmp_path / "other")
    for name, _ in sorted(archive.objects(), reverse=True):
        other.put(archive.get(name))
    assert exported(other) == exported(archive)


def test_any_tar_program_can_read_it(archive: Archive) -> None:
    content = files(exported(archive))
    assert len([name for name in content if name.startswith("manifests/")]) == 3
    assert all(hashlib.sha256(data).hexdigest() == name[6:] for name, data in content.items() if name.startswith("parts/"))


def test_what_nobody_signed_is_not_exported(archive: Archive) -> None:
    stray = archive.put(b"uploaded, never published")
    assert stray.encode() not in exported(archive)


# Attacks by import.

MEMBER: dict[str, Callable[[tarfile.TarInfo], None]] = {
    "path traversal": lambda info: setattr(info, "name", "../../etc/cron.d/x"),
    "absolute path": lambda info: setattr(info, "name", "/etc/passwd"),
    "path traversal in a good folder": lambda info: setattr(info, "name", "parts/../../x"),
    "foreign name": lambda info: setattr(info, "name", "parts/readme.txt"),
    "upper case": lambda info: setattr(info, "name", "parts/" + "A" * 64),
    "symlink": lambda info: (setattr(info, "type", tarfile.SYMTYPE), setattr(info, "linkname", "/etc/passwd")),
    "hard link": lambda info: (setattr(info, "type", tarfile.LNKTYPE), setattr(info, "linkname", "/etc/passwd")),
    "device": lambda info: setattr(info, "type", tarfile.CHRTYPE),
    "pipe": lambda info: setattr(info, "type", tarfile.FIFOTYPE),
    "folder": lambda info: setattr(info, "type", tarfile.DIRTYPE),
    "set-uid": lambda info: setattr(info, "mode", 0o4755),
    "owner": lambda info: setattr(info, "uid", 1000),
    "time": lambda info: setattr(info, "mtime", 1),
    "pax header": lambda info: setattr(info, "pax_headers", {"comment": "x"}),
    "oversized": lambda info: setattr(info, "size", MAX_ARTIFACT_BYTES + 1),
    "oversized by far": lambda info: setattr(info, "size", 8**11 - 1),
    "empty": lambda info: setattr(info, "size", 0),
}


@pytest.mark.parametrize("change", MEMBER.values(), ids=MEMBER)
def test_a_foreign_member_is_refused(archive: Archive, signing: Keys, change: Callable[[tarfile.TarInfo], None]) -> None:
    info = tarfile.TarInfo("parts/" + "f" * 64)   # the last of the parts, so that its place is right
    info.size, info.mode = 5, 0o444
    change(info)
    header = info.tobuf(tarfile.PAX_FORMAT if info.pax_headers else tarfile.USTAR_FORMAT)
    content = files(exported(archive))
    roots = {name: content.pop(name) for name in list(content) if name.startswith("roots/")}
    raw = packed(content)[:-1024] + header + b"bytes".ljust(512, b"\0") + packed(roots)
    assert refused(raw, signing) == "archive.member"


def test_a_part_that_no_manifest_names_is_refused(archive: Archive, signing: Keys) -> None:
    content = files(exported(archive)) | {"parts/" + hashlib.sha256(b"bytes").hexdigest(): b"bytes"}
    assert refused(packed(content), signing) == "archive.part"


def test_a_part_that_is_missing_is_refused(archive: Archive, signing: Keys) -> None:
    content = files(exported(archive))
    content.pop(next(name for name in content if name.startswith("parts/")))
    assert refused(packed(content), signing) == "archive.part"


@pytest.mark.parametrize("folder", ["parts", "manifests"])
def test_a_damaged_member_is_refused(archive: Archive, signing: Keys, folder: str) -> None:
    content = files(exported(archive))
    name = next(name for name in content if name.startswith(folder))
    content[name] = content[name][:-1] + bytes([content[name][-1] ^ 1])
    assert refused(packed(content), signing) == "archive.part"


def test_a_truncated_tar_is_refused_wherever_it_was_cut(archive: Archive, signing: Keys) -> None:
    raw = exported(archive)
    for length in [*range(0, len(raw), 4096), *range(len(raw) - 1024, len(raw), 100), 511, 512, 513]:
        assert refused(raw[:length], signing) == "archive.tar", length


@settings(max_examples=60)
@given(st.data())
def test_no_flipped_byte_is_kept(signing: Keys, data: st.DataObject) -> None:
    raw = SMALL.setdefault("raw", small(signing))
    at, mask = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(1, 255))
    assert refused(raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1:], signing)


SMALL: dict[str, bytes] = {}


def small(signing: Keys) -> bytes:
    raw, artifact = signing.release(2)
    content = {f"manifests/{hashlib.sha256(raw).hexdigest()}": raw, f"parts/{hashlib.sha256(artifact).hexdigest()}": artifact,
               "roots/000001": signing.root_raw}
    tar.verify(io.BytesIO(packed(content)), [signing.root_raw])
    return packed(content)


def test_bytes_after_the_end_are_refused(archive: Archive, signing: Keys) -> None:
    assert refused(exported(archive) + b"x", signing) == "archive.tar"
    assert refused(exported(archive) + bytes(512), signing) == "archive.tar"


def test_bytes_in_the_padding_are_refused(signing: Keys) -> None:
    raw = small(signing)
    end = 512 + len(next(iter(files(raw).values())))   # of the first member
    assert end % 512
    assert refused(raw[:end] + b"x" + raw[end + 1:], signing) == "archive.tar"


def test_a_member_that_comes_twice_or_out_of_order_is_refused(archive: Archive, signing: Keys) -> None:
    raw = exported(archive)
    first = raw[:512 + 512 * -(-len(next(iter(files(raw).values()))) // 512)]
    assert refused(first + raw, signing) == "archive.member"


def test_endless_members_are_refused(archive: Archive, signing: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_MEMBERS", 4)
    assert refused(exported(archive), signing) == "archive.tar"


def test_a_tar_of_another_fleet_is_refused(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    with pytest.raises(ReleaseError, match="trusted is"):
        tar.verify(io.BytesIO(exported(archive)), [other.root_raw])
    mixed = files(exported(archive)) | {"roots/000001": other.root_raw}
    with pytest.raises(ReleaseError, match="valid signatures"):
        tar.verify(io.BytesIO(packed(mixed)), [other.root_raw])


def test_a_tar_that_changes_after_it_was_verified_keeps_no_wrong_object(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    raw = bytearray(exported(archive))
    arrived = tar.verify(io.BytesIO(raw), [signing.root_raw])
    member = next(iter(arrived.parts.values()))
    raw[member.offset] ^= 1
    with pytest.raises(MismatchError):
        tar.keep(io.BytesIO(raw), arrived, Archive(tmp_path / "new"))
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]


# Roots in the tar.

def second_root(signing: Keys, version: int = 2, **changes: object) -> bytes:
    roles = {name: ([bytes.fromhex(key) for key in body["keys"]], 1) for name, body in signing.root["roles"].items()}
    signers = changes.pop("signers", [signing.root_key])
    return sign.next_root(version, roles | changes, signers)


def test_releases_of_a_key_that_was_rotated_out_travel_too(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    key = keys.generate(tmp_path / "new.pem")
    archive.put(second_root(signing, release=([public65(key)], 1)))
    raw, artifact = signing.release(5)
    fill(archive, sign.envelope(signed.MANIFEST, signed.split(raw, signed.MANIFEST)[1], [key]), artifact)
    found = taken(exported(archive), signing, tmp_path / "new")
    assert [(each.body["counter"], each.root) for each in found.releases] == [(2, 1), (3, 1), (4, 1), (5, 2)]


def test_a_root_that_skips_a_version_is_refused(archive: Archive, signing: Keys) -> None:
    content = files(exported(archive))
    third = second_root(signing, version=3)
    assert refused(packed(content | {"roots/000003": third}), signing) == "archive.root"
    assert refused(packed(content | {"roots/000002": third}), signing) == "archive.root"


def test_a_root_with_only_one_of_the_two_thresholds_is_refused(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    key = keys.generate(tmp_path / "new.pem")
    for signers in ([signing.root_key], [key]):
        bad = second_root(signing, root=([public65(key)], 1), signers=signers)
        assert refused(packed(files(exported(archive)) | {"roots/000002": bad}), signing) == "signature.threshold"


def test_roots_that_fork_from_those_that_are_there_are_refused(archive: Archive, signing: Keys) -> None:
    content = files(exported(archive)) | {"roots/000002": second_root(signing)}
    with pytest.raises(ReleaseError, match="root 2: got one with SHA-256"):
        tar.verify(io.BytesIO(packed(content)), [signing.root_raw, second_root(signing)])


# What is told of a folder.

def kinds(archive: Archive, pinned: bytes | None = None) -> list[tuple[str, str]]:
    return [(each.kind, each.name) for each in read(archive, pinned).findings]


def damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / "archive" / name[:2] / name[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_damaged_missing_and_unnamed_objects_are_told_apart(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    first, second, _ = (each.parts[0].sha256 for each in read(archive).releases)
    damaged(tmp_path, first)
    (tmp_path / "archive" / second[:2] / second[2:]).unlink()
    stray = archive.put(b"uploaded, never published")
    assert sorted(kinds(archive)) == sorted([
        ("damaged", first), ("missing", first), ("missing", second), ("unnamed", stray)])
    with pytest.raises(ArchiveError, match="damaged"):
        archive.get(first)


def test_a_manifest_that_no_root_vouches_for_is_told(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    raw, artifact = Keys(tmp_path / "other").release(9)
    name, part = archive.put(raw), archive.put(artifact)
    assert kinds(archive) == [("manifest", name), ("unnamed", part)]


def test_a_root_that_does_not_belong_to_the_chain_is_told(archive: Archive, signing: Keys, tmp_path: Path) -> None:
    name = archive.put(second_root(signing, version=3))
    assert kinds(archive) == [("root", name)]
    other = Keys(tmp_path / "other").root_raw
    archive.put(other)
    assert len(read(archive).chain) == 0   # two first roots: nobody here can tell which is ours
    assert ("root", hashlib.sha256(other).hexdigest()) in kinds(archive, signing.root_raw)
    assert len(read(archive, signing.root_raw).releases) == 3


def test_links_and_files_of_other_names_are_foreign(archive: Archive, tmp_path: Path) -> None:
    name = next(iter(archive.objects()))[0]
    (tmp_path / "archive" / name[:2] / "readme.txt").write_text("")
    (tmp_path / "archive" / "notes").write_text("")
    link = tmp_path / "archive" / name[:2] / ("0" * 62)
    link.symlink_to("/etc/passwd")
    (tmp_path / "archive" / "ab").mkdir(exist_ok=True)
    assert {path.name for path in archive.foreign()} == {"readme.txt", "notes", link.name}
    assert name[:2] + link.name not in [each for each, _ in archive.objects()]
    assert archive.size(name[:2] + link.name) is None
