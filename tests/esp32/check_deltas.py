"""Deltas on a chip: from flash to flash, a bundle's in the file system, an image's from one partition to the other."""

from hashlib import sha256

from tests.esp32.rig import IMAGE_S, UPDATE_S, roll_out, runs, show, until

TIME_OFFSET = 24 + 8 + 80   # in an image: behind its head, its first segment's head, and the descriptor's version and name
HASH_BYTES = 32


def built_at_another_time(app):
    """An image with two unlike digits of its build time swapped: the XOR of its bytes is as it was, its hash is not."""
    changed = bytearray(app)
    first = changed[TIME_OFFSET]
    other = next(at for at in range(TIME_OFFSET, TIME_OFFSET + 8) if changed[at] != first)
    changed[TIME_OFFSET], changed[other] = changed[other], first
    changed[-HASH_BYTES:] = sha256(changed[:-HASH_BYTES]).digest()
    return bytes(changed)


def staged_bytes(board, release, timeout_s):
    """What the device received for a release, by its own word."""
    said = ""
    while not said.startswith(release + " "):
        said = board.console("LOG", timeout_s, event="staged")["detail"]
    return int(said.split()[-2])


def test_delta_is_too_much_for_a_chip(born, field, ingest, bundle, parts):
    until(lambda: born.ring().first_unacked() > 0)
    old = field.sign_release(bundle, "1.0.0", 1)[1]
    files = {**bundle, "marker.mpy": b"new"}
    began = born.seconds()
    newer = roll_out(field, files, "1.1.0", 2, bases={"artifact": [old]})
    received = staged_bytes(born, "1.1.0", UPDATE_S)
    until(lambda: runs(field, "1.1.0"), UPDATE_S)
    show(f"\nbundle: {received:,} of {len(newer):,} bytes received, "
         f"confirmed {born.seconds() - began:.0f} s after the rollout's start")
    assert received < len(newer) / 20

    stock = parts.stock.app
    assert sha256(stock[:-HASH_BYTES]).digest() == stock[-HASH_BYTES:]
    image = built_at_another_time(stock)
    field.upload(stock)
    began = born.seconds()
    newest = roll_out(field, {**files, "marker.mpy": b"newer"}, "1.2.0", 3, image, {"artifact": [newer], "image": [stock]})
    received = staged_bytes(born, "1.2.0", IMAGE_S)
    until(lambda: runs(field, "1.2.0"), IMAGE_S)
    show(f"image and bundle: {received:,} of {len(image) + len(newest):,} bytes received, "
         f"confirmed {born.seconds() - began:.0f} s after the rollout's start")
    assert received < len(image) / 20
    assert image in born.path.read_bytes()
    assert set(range(max(ingest.records))) <= set(ingest.records)
