"""Bundles: what is in them, the same bytes every time, faults told by file."""

import shutil
import subprocess
from pathlib import Path

import pytest

from node.wire import manifest
from ota.release.bundle import BundleError, compile_sources, compile_tree, manifest_for
from ota.release.verify import ReleaseError, split_artifact

MICROPYTHON = shutil.which("micropython", path=str(Path(__file__).parents[2] / ".venv/bin")) or shutil.which("micropython")


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    for name in ("main.py", "boot.py", "stub.py", "lib/node/__init__.py", "lib/node/wire/x.py", "board/unix/led.py",
                 "board/unix/rom.py", "image/manifest.py", "umqtt/simple.py"):
        path = tmp_path / "firmware" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"WHERE = '{name}'\n")
    return tmp_path / "firmware"


def test_what_is_never_updated_is_not_in_a_bundle(firmware: Path) -> None:
    files = compile_tree(firmware, firmware / "umqtt/simple.py")
    assert list(files) == ["board/unix/led.mpy", "main.mpy", "node/__init__.mpy", "node/wire/x.mpy", "umqtt/simple.mpy"]


def test_the_same_sources_give_the_same_bytes_wherever_they_lie(firmware: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(firmware, tmp_path / "elsewhere")
    files = compile_tree(firmware, firmware / "umqtt/simple.py")
    assert compile_tree(moved, moved / "umqtt/simple.py") == files
    assert b"elsewhere" not in b"".join(files.values())
    assert b"node/wire/x.py" in files["node/wire/x.mpy"]   # the name in tracebacks


def test_an_overlay_replaces_and_adds(firmware: Path) -> None:
    before = compile_tree(firmware, firmware / "umqtt/simple.py")
    after = compile_tree(firmware, firmware / "umqtt/simple.py", {"node/wire/x.py": b"raise ValueError\n", "node/y.py": b""})
    assert set(after) - set(before) == {"node/y.mpy"}
    assert after["node/wire/x.mpy"] != before["node/wire/x.mpy"]
    assert after["main.mpy"] == before["main.mpy"]


def test_all_faults_are_told_at_once_with_their_files() -> None:
    with pytest.raises(BundleError) as caught:
        compile_sources({"node/a.py": b"def f(:\n", "node/b.py": b"x = 1\n", "node/c.py": b"\n return 1\n"})
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["node/a.py", "node/c.py"]
    assert "line 1" in lines[0]
    assert "SyntaxError" in lines[0]


def test_missing_sources_are_named(firmware: Path) -> None:
    with pytest.raises(BundleError, match=r"umqtt/other\.py: No such file"):
        compile_tree(firmware, firmware / "umqtt/other.py")
    (firmware / "main.py").unlink()
    with pytest.raises(BundleError, match=r"main\.py: no such file"):
        compile_tree(firmware, firmware / "umqtt/simple.py")


@pytest.mark.skipif(MICROPYTHON is None, reason="micropython is not installed")
def test_a_bundle_runs_on_micropython(tmp_path: Path) -> None:
    for path, data in compile_sources({"main.py": b"import node.x\nprint(node.x.f(20))\n",
                                       "node/x.py": b"def f(n):\n    return 2 * n + 2\n"}).items():
        target = tmp_path / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
    assert MICROPYTHON is not None
    done = subprocess.run([MICROPYTHON, "-c", "import main"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout == "42\n"


def test_the_manifest_names_every_file_and_the_artifact_is_their_concatenation() -> None:
    files = {"node/b.mpy": b"bb", "main.mpy": b"aaa"}
    payload, artifact = manifest_for(files, "1.2.0", 2, ["hall"], (0, 1), stone=True)
    found = manifest.parse(payload)
    assert artifact == b"aaabb"
    assert (found["counter"], found["from"], found["stone"], found["mpy"]) == (2, [0, 1], True, 6)
    assert split_artifact(artifact, found["artifact"]["files"]) == files
    with pytest.raises(ReleaseError, match=r"main\.mpy"):
        split_artifact(b"xaabb", found["artifact"]["files"])


@pytest.mark.parametrize(("files", "words"), [
    ({"../etc/x.mpy": b"1"}, "manifest.path"), ({"release.json": b"{}"}, "manifest.path"), ({}, "manifest.files"),
    ({"main.mpy": bytes(5 << 20)}, "manifest.size"),
])
def test_what_a_device_would_refuse_is_not_built(files: dict[str, bytes], words: str) -> None:
    with pytest.raises(BundleError, match=words):
        manifest_for(files, "1.2.0", 2, ["hall"], (0, 1))
