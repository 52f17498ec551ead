"""Deltas at the desk and on the server: what is built turns the old into the new, is small, and is refused when it does not."""

import random
import struct
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import FormatError
from node.wire import delta as delta_format
from ota.release import delta
from ota.release.patch import Delta, apply
from ota.release.verify import ReleaseError, verify_release
from tests.ota.support import DEVICE, IMAGE, Keys, Plant, code, directed, fleet
from tests.sim.applications import application
from tests.sim.deltas import between

OLD_IMAGE = application(1_300_000, 1)


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=6))
def test_delta_makes_exactly_the_new_bytes_whatever_they_are(old: bytes, new: bytes, cuts: list[int]) -> None:
    new += b"".join(old[at:at + 300] for at in cuts)
    if new:
        assert apply(old, delta.make(old, new), len(new)) == new


def test_image_with_a_few_changed_modules_is_a_twentieth_at_most_and_the_same_delta_each_time() -> None:
    new = application(1_300_000, 1, changed=[*range(3000, 3030), 5000, 5003, 5010])
    made = delta.make(OLD_IMAGE, new)
    assert apply(OLD_IMAGE, made, len(new)) == new
    assert len(made) <= len(new) // 20
    assert delta.make(OLD_IMAGE, new) == made


def test_bytes_that_moved_cost_next_to_nothing() -> None:
    chance = random.Random(1)
    files = [chance.randbytes(4000) for _ in range(20)]
    moved = files[:]
    chance.shuffle(moved)
    assert len(delta.make(b"".join(files), b"".join(moved))) < 300


def test_delta_that_saves_little_is_left_out_and_none_comes_twice() -> None:
    chance = random.Random(2)
    old, new = chance.randbytes(5000), chance.randbytes(5000)
    near = new[:2000] + b"?" + new[2001:]
    assert [each.base for each in delta.to(new, [old, near, near, new])] == [sha256(each).hexdigest() for each in (near, new)]


def test_delta_bomb_makes_no_more_than_was_asked_for() -> None:
    old = b"x" * 100
    bomb = bytearray(delta.make(old, bytes(1000)))
    with pytest.raises(FormatError, match="made from"):
        apply(old, bytes(bomb), 999)
    bomb[8:12] = struct.pack("<I", 999)
    with pytest.raises(FormatError, match="1 bytes too many"):
        apply(old, bytes(bomb), 999)


def test_trailing_and_missing_bytes_are_refused() -> None:
    old, new = b"old" * 100, b"new" * 100
    made = delta.make(old, new)
    for wrong in (made + b"x", *(made[:end] for end in range(len(made)))):
        with pytest.raises(FormatError):
            apply(old, wrong, len(new))


def signed(keys: Keys, deltas: dict[str, list[Delta]], image: bytes | None = None) -> tuple[bytes, bytes]:
    return keys.release(2, image=image, deltas=deltas)


def test_verification_applies_each_delta(server: Plant) -> None:
    keys = server.keys
    old, new = keys.release(1)[1], keys.release(2)[1]
    good = Delta.of(old, delta.make(old, new))
    raw, artifact = signed(keys, {"artifact": [good]})
    bases = {good.base: old}
    assert [way.base for way in verify_release(raw, artifact, keys.root, None, [good.content], bases.get).deltas] == [good.base]

    def refusal(content: bytes, brought: list[bytes], base: bytes = old) -> str:
        raw, artifact = signed(keys, {"artifact": [Delta.of(base, content)]})
        with pytest.raises(ReleaseError) as caught:
            verify_release(raw, artifact, keys.root, None, brought, bases.get)
        return caught.value.code

    assert refusal(good.content, []) == "release.delta"
    assert refusal(good.content, [good.content, b"another"]) == "release.delta"
    assert refusal(good.content, [good.content], base=new) == "release.base"
    for wrong in (between(old, new[:-1] + b"?"), between(old, new + b"?"), delta_format.MAGIC, good.content + b"x"):
        assert refusal(wrong, [wrong]) == "release.delta"


def test_published_delta_is_shown_and_fetched_and_its_base_must_be_there(server: Plant) -> None:
    keys = server.keys
    old = keys.release(1)[1]
    made = Delta.of(old, delta.make(old, keys.release(2)[1]))
    raw, artifact = signed(keys, {"artifact": [made]})
    assert server.upload(made.content).status_code == 201
    assert code(server.get(f"/v1/artifacts/{made.sha256}", DEVICE)) == (404, "http.404")
    assert code(server.publish(raw, artifact, deltas=[made.sha256])) == (409, "release.base")
    server.upload(old)
    assert code(server.publish(raw, artifact)) == (422, "release.delta")
    shown = server.publish(raw, artifact, deltas=[made.sha256]).json()
    assert shown["deltas"] == [
        {"target": "artifact", "base": made.base, "delta": made.sha256, "size_bytes": len(made.content)}]
    assert server.publish(raw, artifact, deltas=[made.sha256]).json() == shown
    assert server.get("/admin/releases").json()["releases"][-1]["deltas"] == shown["deltas"]
    assert code(server.get(f"/v1/artifacts/{made.sha256}", DEVICE)) == (403, "artifact.not_directed")
    device = directed(server, shown["manifest"])
    assert server.get(f"/v1/artifacts/{made.sha256}", device.ident).content == made.content


def test_bytes_of_a_whole_bundle_are_told_where_a_delta_leads_and_no_stone_lies_between(server: Plant) -> None:
    old_raw, old = server.keys.release(1)
    made = Delta.of(old, delta.make(old, server.keys.release(2)[1]))
    assert server.publish(old_raw, old).status_code == 201
    server.upload(made.content)
    (device,) = fleet(server, 1)
    device.check_in()
    server.pass_time(1)
    manifest = server.publish(*signed(server.keys, {"artifact": [made]}), deltas=[made.sha256]).json()["manifest"]
    server.rollout(manifest)
    (told,) = server.get(f"/admin/devices/{device.ident}/explain").json()["rollouts"]
    assert [step["down_bytes"] for step in told["path"]] == [len(made.content)]
    (version,) = server.get("/admin/archive/audit").json()["versions"]
    assert (version["hops"], version["bytes"]) == (1, len(made.content))


def test_delta_that_was_never_uploaded_is_asked_for(server: Plant) -> None:
    old = server.keys.release(1)[1]
    made = Delta.of(old, delta.make(old, server.keys.release(2)[1]))
    server.upload(old)
    assert code(server.publish(*signed(server.keys, {"artifact": [made]}), deltas=[made.sha256])) == (409, "release.missing")


def test_images_have_deltas_of_their_own(server: Plant) -> None:
    old = IMAGE[:-1] + b"?"
    made = Delta.of(old, delta.make(old, IMAGE))
    server.upload(old)
    server.upload(made.content)
    raw, artifact = signed(server.keys, {"image": [made]}, IMAGE)
    shown = server.publish(raw, artifact, IMAGE, deltas=[made.sha256]).json()
    assert [each["target"] for each in shown["deltas"]] == ["image"]
