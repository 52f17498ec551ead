"""`tenfold archive` and `tenfold release retire`, on folders and against the real server over TLS."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ota.archive.folder import Archive
from ota.client import OtaError
from ota.release import delta, keys, sign
from ota.release.keys import public65
from ota.release.patch import Delta
from ota.release.roots import key_name
from provisioning.pki import FleetPki
from tests.cli.test_release_desk import tenfold
from tests.ota.support import IMAGE, Keys, as_device, check_in, operator, until

Run = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, signing: Keys) -> Path:
    """An archive with two releases, the second with an image and with a delta from the first."""
    archive = Archive(tmp_path / "kept")
    first = signing.release(2)
    made = Delta.of(first[1], delta.make(first[1], signing.release(3)[1]))
    for each in (signing.root_raw, *first, *signing.release(3, image=IMAGE, deltas={"artifact": [made]}), IMAGE, made.content):
        archive.put(each)
    return tmp_path / "kept"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> int:
        capsys.readouterr()
        return tenfold(monkeypatch, *map(str, arguments))
    return command


@pytest.fixture
def at(port: int, certificates: FleetPki) -> tuple[str, ...]:
    """The options that reach the server."""
    return ("--server", f"https://localhost:{port}", "--ca", str(certificates.ca_file),
            "--cert", str(certificates.cert("op.release")), "--key", str(certificates.key("op.release")))


def said(capsys: pytest.CaptureFixture[str]):
    return json.loads(capsys.readouterr().out)


def test_a_folder_is_listed_and_shown(folder: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("archive", "list", "--folder", folder, "--json") == 0
    rows = said(capsys)
    assert [(row["release"], row["counter"], row["state"]) for row in rows] == [("1.2.0", 2, "usable"), ("1.3.0", 3, "usable")]
    assert run("archive", "show", rows[1]["manifest"][:12], "--folder", folder, "--json") == 0
    shown = said(capsys)
    assert [part["kind"] for part in shown["parts"]] == ["artifact", "deltas", "image"]
    assert shown["parts"][2]["size"] == len(IMAGE)
    assert len(shown["signed_by"]) == 1
    assert run("archive", "show", "ffff", "--folder", folder) == 2
    for command in (("list",), ("show", rows[0]["manifest"])):
        assert run("archive", *command, "--folder", folder) == 0
        assert "1.2.0" in capsys.readouterr().out


def test_verify_tells_what_is_wrong_and_ends_with_1(folder: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("archive", "verify", "--folder", folder) == 0
    (folder / ".new-half").write_bytes(b"half")   # of an upload that was cut off: nobody's fault
    assert run("archive", "verify", "--folder", folder) == 0
    assert "unfinished: .new-half" in capsys.readouterr().out
    (folder / "ab").mkdir(exist_ok=True)
    (folder / "ab" / "link").symlink_to("/etc/passwd")
    assert run("archive", "verify", "--folder", folder, "--json") == 1
    assert said(capsys)["findings"][-1] == {"kind": "foreign", "name": "ab/link", "words": "no object, by its name or its kind"}


def test_verify_is_told_which_root_is_trusted(folder: Path, run: Run, signing: Keys, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    assert run("archive", "verify", "--folder", folder, "--root", signing.folder / "root.bin") == 0
    assert run("archive", "verify", "--folder", folder, "--root", other.folder / "root.bin") == 1


def test_an_archive_moves_to_an_empty_folder_by_a_tar(
    folder: Path, run: Run, signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    target, root = tmp_path / "target", signing.folder / "root.bin"
    assert run("archive", "export", tmp_path / "all.tar", "--folder", folder) == 0
    assert run("archive", "export", tmp_path / "all.tar", "--folder", folder) == 2   # never overwrites
    assert run("archive", "import", tmp_path / "all.tar", "--folder", target) == 2
    assert "--root tells which root is trusted" in capsys.readouterr().err
    assert run("archive", "import", tmp_path / "all.tar", "--folder", target, "--root", root) == 0
    assert run("archive", "import", tmp_path / "all.tar", "--folder", target) == 0   # again; its root is known now
    assert list(Archive(target).objects()) == list(Archive(folder).objects())
    assert run("archive", "export", tmp_path / "again.tar", "--folder", target) == 0
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "all.tar").read_bytes()


def test_a_truncated_tar_leaves_an_archive_as_it_was(
    folder: Path, run: Run, signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("archive", "export", tmp_path / "all.tar", "--folder", folder) == 0
    raw = (tmp_path / "all.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(raw[:-5000])
    assert run("archive", "import", tmp_path / "cut.tar", "--folder", tmp_path / "new", "--root", signing.folder / "root.bin") == 2
    assert "cut off or damaged" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_one_release_travels_alone(
    folder: Path, run: Run, signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    run("archive", "list", "--folder", folder, "--json")
    first, second = (row["manifest"] for row in said(capsys))
    path = folder / first[:2] / first[2:]
    path.chmod(0o644)
    path.write_bytes(b"?")   # damage to another release does not hold it up, but nothing whole leaves a damaged archive
    assert run("archive", "export", tmp_path / "all.tar", "--folder", folder) == 2
    assert not (tmp_path / "all.tar").exists()
    assert run("archive", "export", tmp_path / "one.tar", "--folder", folder, "--release", second) == 0
    assert run("archive", "import", tmp_path / "one.tar", "--folder", tmp_path / "new", "--root", signing.folder / "root.bin") == 0
    assert len(list(Archive(tmp_path / "new").objects())) == 5   # root, manifest, bundle, delta, image


def test_a_tar_of_another_chain_is_not_mixed_in(folder: Path, run: Run, tmp_path: Path) -> None:
    other = Keys(tmp_path / "other")
    theirs = Archive(tmp_path / "theirs")
    for each in (other.root_raw, *other.release(2)):
        theirs.put(each)
    assert run("archive", "export", tmp_path / "theirs.tar", "--folder", tmp_path / "theirs") == 0
    before = list(Archive(folder).objects())
    assert run("archive", "import", tmp_path / "theirs.tar", "--folder", folder) == 2
    assert list(Archive(folder).objects()) == before


def test_strays_are_told_but_do_not_hold_an_export_up(folder: Path, run: Run, tmp_path: Path) -> None:
    Archive(folder).put(Keys(tmp_path / "other").release(9)[0])
    assert run("archive", "verify", "--folder", folder) == 1
    assert run("archive", "export", tmp_path / "all.tar", "--folder", folder) == 0


def test_neither_folder_nor_server_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("archive", "list") == 2
    assert "--folder" in capsys.readouterr().err


# Against the server.

def test_an_archive_moves_to_a_server_and_back(
    folder: Path, run: Run, at: tuple[str, ...], signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    key = keys.generate(tmp_path / "new.pem")
    roles = {name: ([bytes.fromhex(each) for each in body["keys"]], 1) for name, body in signing.root["roles"].items()}
    Archive(folder).put(sign.next_root(2, roles | {"release": (roles["release"][0] + [public65(key)], 1)}, [signing.root_key]))
    assert run("archive", "export", tmp_path / "all.tar", "--folder", folder) == 0
    assert run("archive", "import", tmp_path / "all.tar", *at) == 0
    assert run("archive", "import", tmp_path / "all.tar", *at) == 0
    assert run("archive", "list", *at, "--json") == 0
    rows = said(capsys)
    assert [(row["release"], row["state"]) for row in rows] == [("1.2.0", "usable"), ("1.3.0", "usable")]
    assert run("archive", "show", rows[0]["manifest"][:16], *at, "--json") == 0
    assert [each["event"] for each in said(capsys)["history"]] == ["publish"]
    assert run("archive", "verify", *at, "--json") == 0
    assert said(capsys)["findings"] == []
    assert run("archive", "export", tmp_path / "back.tar", *at) == 0
    assert (tmp_path / "back.tar").read_bytes() == (tmp_path / "all.tar").read_bytes()
    assert run("archive", "export", tmp_path / "one.tar", *at, "--release", rows[0]["manifest"]) == 0
    assert run("archive", "export", tmp_path / "same.tar", "--folder", folder, "--release", rows[0]["manifest"]) == 0
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "same.tar").read_bytes()


def test_a_release_that_a_root_withdrew_is_not_published_again(
    folder: Path, run: Run, at: tuple[str, ...], signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    roles = {name: ([bytes.fromhex(each) for each in body["keys"]], 1) for name, body in signing.root["roles"].items()}
    Archive(folder).put(sign.next_root(2, roles, [signing.root_key], min_counter=3))
    assert run("archive", "list", "--folder", folder, "--json") == 0
    assert [row["state"] for row in said(capsys)] == ["withdrawn by root 2", "usable"]
    assert run("archive", "export", tmp_path / "all.tar", "--folder", folder) == 0
    assert run("archive", "import", tmp_path / "all.tar", *at) == 0
    assert "not published, a root withdrew it: 1.2.0" in capsys.readouterr().out


def test_damage_on_the_server_is_told_over_the_network(
    run: Run, at: tuple[str, ...], signing: Keys, port: int, certificates: FleetPki, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with operator(port, certificates) as client:
        name = client.publish(*signing.release(2))["artifact"]
        path = tmp_path / "archive" / name[:2] / name[2:]
        path.chmod(0o644)
        path.write_bytes(b"?")
        with pytest.raises(OtaError, match=r"archive\.damaged"):
            client.object(name)
    assert run("archive", "verify", *at, "--json") == 1
    assert {each["kind"] for each in said(capsys)["findings"]} == {"damaged", "missing"}


def test_the_audit_ends_with_1_where_a_version_has_no_path(
    run: Run, at: tuple[str, ...], signing: Keys, port: int, certificates: FleetPki, capsys: pytest.CaptureFixture[str],
) -> None:
    with operator(port, certificates) as client, as_device(port, certificates) as device:
        check_in(device, "1" * 32)
        until(lambda: [each["counter"] for each in client.versions()], [1])
        stone = client.publish(*signing.release(3, stone=True))["manifest"]
        client.publish(*signing.release(4, low=3))
        assert run("archive", "audit", *at) == 0
        assert "1.3.0 (3) → 1.4.0 (4)" in capsys.readouterr().out
        assert run("release", "retire", stone, *at, "--reason", "wears out the flash") == 2
        assert "release.stranded: release 1.3.0 is on the only path of" in capsys.readouterr().err
        assert run("release", "retire", stone, *at, "--reason", "wears out the flash", "--allow-stranded") == 0
        assert "left behind: hall at counter 1, 1 devices" in capsys.readouterr().out
        assert run("archive", "audit", *at, "--json") == 1
        assert [each["path"] for each in said(capsys)["versions"]] == [None]
        assert run("archive", "list", *at, "--json") == 0
        assert [row["state"] for row in said(capsys)] == ["retired", "usable"]


def test_a_root_is_published_from_the_folder_of_the_desk(
    run: Run, at: tuple[str, ...], signing: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk/root.bin").write_bytes(signing.root_raw)
    gone, key = key_name(public65(signing.release_key)), signing.folder / "root.key"
    assert run("keys", "revoke", tmp_path / "desk", gone, "--min-counter", "3", "--key", key) == 0
    assert run("keys", "publish", tmp_path / "desk/root-2.bin", *at) == 0
    assert "root 2 is in force; releases below counter 3 are withdrawn" in capsys.readouterr().out
    assert run("keys", "publish", tmp_path / "desk/root-2.bin", *at) == 2


def test_objects_are_for_operators_and_paged(port: int, certificates: FleetPki, signing: Keys) -> None:
    with operator(port, certificates, "op.console") as client:
        with operator(port, certificates) as writer:
            writer.publish(*signing.release(2))
        assert len(list(client.objects(page=1))) == 3
        assert client.object(client.roots()[0]["object"]) == signing.root_raw
        with pytest.raises(OtaError, match=r"http\.404"):
            client.object("0" * 64)
    with as_device(port, certificates) as device:
        assert device.get("/admin/archive/objects").json()["code"] == "tls.operator"
