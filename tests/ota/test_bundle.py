"""Bundles: what is in them, the same bytes every time, faults told by file."""

import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from node.wire import bundle, manifest, signed
from ota.release.bundle import BundleError, compile_sources, compile_tree, manifest_for
from ota.release.sign import envelope
from ota.release.verify import ReleaseError, verify_release
from tests.ota.support import Keys

IMAGE = bytes(manifest.MIN_IMAGE_BYTES)
MICROPYTHON = shutil.which("micropython", path=str(Path(__file__).parents[2] / ".venv/bin")) or shutil.which("micropython")


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    for name in ("main.py", "boot.py", "stub.py", "lib/node/__init__.py", "lib/node/wire/x.py", "board/unix/led.py",
                 "board/unix/rom.py", "lib/node/wire/bundle.py", "image/manifest.py", "umqtt/simple.py"):
        path = tmp_path / "firmware" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"WHERE = '{name}'\n")
    (tmp_path / "firmware" / "main.py").write_text("from board.unix import led\nfrom node.wire import x\nrun(led, x)\n")
    return tmp_path / "firmware"


def test_what_is_never_updated_is_not_in_a_bundle(firmware: Path) -> None:
    files = compile_tree(firmware, firmware / "umqtt/simple.py")
    texts = [b"board/unix/led.py", b"node/wire/x.py", b"umqtt/simple.py"]
    assert sorted(text for data in files.values() for text in texts if text in data) == texts
    assert len(files) == 4
    assert {"main.mpy", "umqtt/simple.mpy"} < set(files)


def test_the_same_sources_give_the_same_bytes_wherever_they_lie(firmware: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(firmware, tmp_path / "elsewhere")
    files = compile_tree(firmware, firmware / "umqtt/simple.py")
    assert compile_tree(moved, moved / "umqtt/simple.py") == files
    assert b"elsewhere" not in b"".join(files.values())
    assert b"node/wire/x.py" in b"".join(files.values())   # its text, not its place


def test_an_overlay_replaces_and_adds(firmware: Path) -> None:
    before = compile_tree(firmware, firmware / "umqtt/simple.py")
    after = compile_tree(firmware, firmware / "umqtt/simple.py", {"node/wire/x.py": b"from node import y\nraise ValueError(y)\n",
                                                                "node/y.py": b""})
    assert len(set(after) - set(before)) == 1
    (changed,) = [name for name, data in before.items() if after[name] != data]
    assert b"node/wire/x.py" in before[changed]


def test_what_no_device_reaches_is_left_out(firmware: Path) -> None:
    files = compile_tree(firmware, firmware / "umqtt/simple.py", {"node/wire/server_half.py": b"WHERE = 'nowhere'\n"})
    assert "node/wire/server_half.mpy" not in files


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


def test_the_manifest_names_the_bundle_and_the_image() -> None:
    files = {"node/b.mpy": b"bb", "main.mpy": b"aaa"}
    payload, artifact = manifest_for(files, "1.2.0", 2, ["hall"], (0, 1), stone=True, image=IMAGE)
    found = manifest.parse(payload)
    assert bundle.parse(artifact) == files
    assert (found["counter"], found["from"], found["stone"], found["mpy"]) == (2, [0, 1], True, 6)
    assert found["artifact"] == {"sha256": sha256(artifact).hexdigest(), "size": len(artifact), "deltas": []}
    assert found["image"] == {"sha256": sha256(IMAGE).hexdigest(), "size": len(IMAGE), "deltas": []}


@pytest.mark.parametrize(("files", "image", "words"), [
    ({"../etc/x.mpy": b"1"}, None, "bundle.path"), ({}, None, "bundle.files"), ({"main.mpy": bytes(40_000)}, None, "bundle.size"),
    ({"main.mpy": b"1"}, IMAGE[1:], "manifest.size"),
])
def test_what_a_device_would_refuse_is_not_built(files: dict[str, bytes], image: bytes | None, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        manifest_for(files, "1.2.0", 2, ["hall"], (0, 1), image=image)


def test_a_release_is_published_with_just_the_parts_that_its_manifest_names(tmp_path: Path) -> None:
    signing = Keys(tmp_path / "keys")

    def refusal(artifact: bytes, image: bytes | None, named_image: bytes | None = None, named: bytes | None = None) -> str | None:
        payload = manifest.build("1.2.0", 2, ["hall"], (0, 1), False, 6, naming(artifact if named is None else named),
                                 None if named_image is None else naming(named_image))
        try:
            verify_release(envelope(signed.MANIFEST, payload, [signing.release_key]), artifact, signing.root, image)
        except ReleaseError as error:
            return error.code
        return None

    whole = bundle.build({"main.mpy": b"aaa"})
    assert refusal(whole, None) is None
    assert refusal(whole, IMAGE, IMAGE) is None
    assert refusal(whole, None, IMAGE) == "release.image"
    assert refusal(whole, IMAGE) == "release.image"
    assert refusal(whole, IMAGE[:-1] + b"x", IMAGE) == "release.image"
    assert refusal(whole + b"x", None, named=whole) == "release.artifact"
    assert refusal(whole[:-1] + b"x", None, named=whole) == "release.artifact"
    assert refusal(whole[:-1], None) == "bundle.short"


def naming(content: bytes) -> tuple[str, int]:
    return sha256(content).hexdigest(), len(content)
