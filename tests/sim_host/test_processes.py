"""Children are started again when they die, stay down while held, and never outlive their parent."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from host.sim.processes import Child, ProcessError, Program, stop_all

SLEEPER = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = (sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)")


def child(folder: Path, argv: tuple[str, ...], port: int | None = None) -> Child:
    return Child(Program("one", argv, folder, folder / "one.log", port))


async def until(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def test_killed_child_is_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        one = child(tmp_path, SLEEPER)
        await one.start()
        before = one.pid
        one.kill()
        await until(lambda: one.pid not in (None, before))
        assert one.restarts == 1
        await one.stop()
        assert one.pid is None

    asyncio.run(story())


def test_held_child_stays_down_until_released(tmp_path: Path) -> None:
    async def story() -> None:
        one = child(tmp_path, SLEEPER)
        await one.start()
        one.hold()
        await until(lambda: one.pid is None)
        await asyncio.sleep(0.5)   # longer than the first restart gap: it must not come back by itself
        assert one.pid is None
        one.release()
        await until(lambda: one.pid is not None)
        await one.stop()

    asyncio.run(story())


def test_child_that_ignores_sigterm_is_stopped_by_force(tmp_path: Path) -> None:
    async def story() -> None:
        children = [child(tmp_path, STUBBORN), child(tmp_path, SLEEPER)]
        for one in children:
            await one.start()
        pids = [one.pid for one in children]
        await stop_all(children)
        assert not any(is_alive(pid) for pid in pids if pid)

    asyncio.run(story())


def test_program_that_cannot_start_is_told_by_name(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(ProcessError, match="no-such-program"):
            await child(tmp_path, ("no-such-program",)).start()

    asyncio.run(story())


def test_program_that_dies_at_start_shows_its_last_words(tmp_path: Path) -> None:
    async def story() -> None:
        one = child(tmp_path, (sys.executable, "-c", "raise SystemExit('port is taken')"), port=9)   # nobody listens on 9
        with pytest.raises(ProcessError, match="port is taken"):
            await one.start()
        await one.stop()

    asyncio.run(story())


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    asyncio.run(until(lambda: not is_alive(pid)))


PARENT = """
import asyncio, sys
from pathlib import Path
from host.sim.processes import Child, Program
async def story():
    folder = Path(sys.argv[1])
    one = Child(Program("one", (sys.executable, "-c", "import time; time.sleep(60)"), folder, folder / "one.log"))
    await one.start()
    print(one.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(story())
"""
