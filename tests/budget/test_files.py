"""Wear of the file system by small files, counted on littlefs as the device mounts it."""

from collections import Counter

from littlefs import LittleFS
from littlefs.context import UserContext

from host.budget import budget as rules
from provisioning.line import image

SIZE = 0x70000
ROUNDS = 1000
FILES = {"/state/boot_count": 7, "/state/resets": 4, "/boot.json": 70, "/state/time": 10}   # bytes
OTHERS = 20   # small files beside them


class Worn(UserContext):
    def __init__(self, size):
        super().__init__(size)
        self.wear = Counter()

    def erase(self, cfg, block):
        self.wear[block] += 1
        return super().erase(cfg, block)


def test_small_files_wear_more_than_the_budget_says():
    worn = Worn(SIZE)
    fs = LittleFS(worn, mount=False, block_size=image.SECTOR_BYTES, block_count=SIZE // image.SECTOR_BYTES,
                  read_size=image.IO_BYTES, prog_size=image.IO_BYTES, cache_size=image.CACHE_BYTES,
                  lookahead_size=image.IO_BYTES, block_cycles=image.BLOCK_CYCLES, disk_version=image.DISK_VERSION)
    fs.format()
    fs.mount()
    fs.makedirs("/state")
    for i in range(OTHERS):
        replace(fs, f"/state/{i}", 60)
    worn.wear.clear()
    for _ in range(ROUNDS):
        for path, size in FILES.items():
            replace(fs, path, size)
    replaced = ROUNDS * len(FILES)
    assert sum(worn.wear.values()) / replaced <= rules.ERASES_A_FILE
    assert max(worn.wear.values()) / replaced <= rules.ERASES_A_FILE / rules.FOLDER_BLOCKS


def replace(fs, path, size):
    with fs.open(path + ".tmp", "wb") as file:
        file.write(b"7" * size)
    fs.rename(path + ".tmp", path)
