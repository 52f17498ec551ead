"""A package that is not the one we know, a cache that rotted, and a bench without the network."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import requests

from provisioning.line import fetch
from provisioning.line.fetch import FetchError, fetch_sdist_file

SOURCE = b"answer = 42\n"


class Registry:
    """Stands for the package registry: serves one archive, or is out of reach."""

    archive: bytes | None = None

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_project_page(self, _name: str, timeout: float) -> "Registry":
        if self.archive is None:
            raise requests.ConnectionError(f"offline after {timeout} s")
        return self

    @property
    def packages(self) -> list["Registry"]:
        return [self]

    version = "1.0"
    package_type = "sdist"

    def download_package(self, _package: object, path: Path, **_: object) -> None:
        assert self.archive is not None
        path.write_bytes(self.archive)


def made(member: str = "thing-1.0/pkg/mod.py", data: bytes = SOURCE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> type[Registry]:
    class Here(Registry):
        archive = made()

    monkeypatch.setattr(fetch, "PyPISimple", Here)
    return Here


def got(registry: type[Registry], dest: Path, sha256: str | None = None, version: str = "1.0", member: str = "pkg/mod.py") -> Path:
    wanted = sha256 or hashlib.sha256(registry.archive or b"").hexdigest()
    return fetch_sdist_file("thing", version, wanted, member, dest)


def test_file_arrives_and_a_second_fetch_needs_no_network(registry: type[Registry], tmp_path: Path) -> None:
    dest = tmp_path / "out" / "mod.py"
    sha256 = hashlib.sha256(registry.archive or b"").hexdigest()
    assert got(registry, dest).read_bytes() == SOURCE
    registry.archive = None
    dest.write_bytes(b"edited by hand")
    assert got(registry, dest, sha256).read_bytes() == SOURCE
    assert sorted(path.name for path in dest.parent.iterdir()) == ["mod.py", "thing-1.0.tar.gz"]


def test_package_with_another_hash_is_refused_and_leaves_nothing(registry: type[Registry], tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=f"SHA-256 is .*, expected {'0' * 64}"):
        got(registry, tmp_path / "mod.py", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_rotten_cache_is_fetched_again(registry: type[Registry], tmp_path: Path) -> None:
    (tmp_path / "thing-1.0.tar.gz").write_bytes(b"rotten")
    assert got(registry, tmp_path / "mod.py").read_bytes() == SOURCE


def test_bench_without_network_is_told_what_helps(registry: type[Registry], tmp_path: Path) -> None:
    registry.archive = None
    with pytest.raises(FetchError, match=r"thing 1\.0: the package registry cannot be reached .* ab at .*thing-1\.0\.tar\.gz"):
        got(registry, tmp_path / "mod.py", "ab")


def test_unknown_version_is_named(registry: type[Registry], tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"thing 9\.9: the registry has no such source package"):
        got(registry, tmp_path / "mod.py", "ab", version="9.9")


def test_missing_and_oversized_members_are_refused(registry: type[Registry], tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"no file pkg/other\.py"):
        got(registry, tmp_path / "mod.py", member="pkg/other.py")
    registry.archive = made(data=bytes(fetch.MAX_MEMBER_BYTES + 1))
    with pytest.raises(FetchError, match="of at most 1048576 bytes"):
        got(registry, tmp_path / "big" / "mod.py")
