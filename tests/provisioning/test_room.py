"""Whether a device has room for the next release beside the one that runs and the factory's."""

from pathlib import Path

import pytest

from host.cli import release
from provisioning.line import room
from provisioning.line.image import ImageError

FIRMWARE = Path(__file__).parents[2] / "firmware"
LAYOUTS = FIRMWARE / "image"
MIB = 1 << 20
FILE_BYTES = 32_000   # a device imports none that is larger


def bundle(size: int) -> dict[str, bytes]:
    return {f"m{at:07}.mpy": bytes(min(FILE_BYTES, size - at)) for at in range(0, size, FILE_BYTES)}


def test_release_is_said_to_fit_where_the_third_one_does_not() -> None:
    # 112 blocks: three of 120,000 take 90, and what else lies there all others; a chip with 29 free ones took no such third one
    assert [room.least_flash(LAYOUTS, FIRMWARE, bundle(size)) for size in (100_000, 120_000)] == [4 * MIB, 8 * MIB]


def test_release_that_no_board_has_room_for_is_built() -> None:
    with pytest.raises(ImageError, match="no board of ours"):
        room.least_flash(LAYOUTS, FIRMWARE, bundle(3 * MIB))


def test_release_that_small_boards_could_not_follow_is_built_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:
    def build(config: list[Path] | None) -> str:
        release.build(tmp_path / "out", "1.1.0", 2, ["hall"], image=None, firmware=FIRMWARE, config=config)
        return capsys.readouterr().err

    assert "no room for a third such release" in build(None)
    assert build([LAYOUTS / "site.json"]) == ""
