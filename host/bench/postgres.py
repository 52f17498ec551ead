"""A PostgreSQL cluster of a bench's own, in a temporary folder: as it comes, so that a commit is on the disk.

Where we are root it runs as a user without rights, since PostgreSQL refuses root.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from host.sim.processes import Program, die_with_parent

USER = "tenfold"
READY_S = 120.0
_QUICK_START = ("listen_addresses=", "max_connections=20")


def programs() -> Path | None:
    """Find PostgreSQL's own programs; Debian keeps them out of PATH. None where there are none, or no driver for them."""
    found = shutil.which("postgres")
    installed = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return installed[-1].resolve().parent if installed and find_spec("psycopg") else None


@dataclass(frozen=True)
class Cluster:
    """A cluster that is made; `program` starts it."""

    folder: Path
    bin: Path

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@/postgres?host={self.folder}"

    @property
    def conninfo(self) -> str:
        """For psycopg without SQLAlchemy."""
        return f"host={self.folder} user={USER} dbname=postgres"

    def program(self, log: Path) -> Program:
        """What starts it, for a supervisor; as nobody where we are root."""
        options = [part for setting in _QUICK_START for part in ("-c", setting)]
        argv = [str(self.bin / "postgres"), "-D", str(self.folder / "data"), "-k", str(self.folder), *options]
        return Program("database", (*_as_nobody(), *argv), self.folder, log)

    def answers(self) -> bool:
        """Whether it takes connections."""
        asked = [str(self.bin / "pg_isready"), "-q", "-h", str(self.folder), "-U", USER, "-d", "postgres"]
        return not subprocess.run(asked, check=False).returncode

    def postmaster(self) -> int:
        """Its process id.

        Raises:
            OSError: it does not run.
        """
        return int((self.folder / "data/postmaster.pid").read_text(encoding="ascii").split()[0])

    def processes(self) -> list[int]:
        """All its processes, the postmaster first; none when it does not run."""
        try:
            first = self.postmaster()
            children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii").split()
        except OSError:
            return []
        return [first, *map(int, children)]

    def limit_files(self, size: int | None) -> None:
        """Let none of its processes write beyond a size in any file, nor those that it will fork; None: as at its start.

        The soft limit alone, by a process of the same user: whose own it is may lift it again, without any right.
        """
        limited: set[int] = set()
        while fresh := [pid for pid in self.processes() if pid not in limited]:   # what was forked meanwhile, too
            for pid in fresh:   # one that has ended is no fault
                asked = [*_as_nobody(), "prlimit", f"--pid={pid}", f"--fsize={'unlimited' if size is None else size}:"]
                subprocess.run(asked, check=False, stderr=subprocess.DEVNULL)
            limited.update(fresh)


def make(folder: Path, where: Path) -> Cluster:
    """Make an empty cluster in a folder that is there; a socket's path has 107 characters at most."""
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    wanted = ["-D", str(folder / "data"), "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C"]
    subprocess.run([*_as_nobody(), str(where / "initdb"), *wanted], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return Cluster(folder, where)


@contextmanager
def running(folder: Path, where: Path) -> Iterator[Cluster]:
    """Make a cluster and run it; it is gone at the end.

    Raises:
        RuntimeError: it does not start.
    """
    cluster = make(folder, where)
    program = cluster.program(folder / "log")
    with (folder / "log").open("wb") as log, subprocess.Popen(
            program.argv, cwd=folder, stdout=log, stderr=log, preexec_fn=die_with_parent) as process:   # noqa: PLW1509
        try:
            end = time.monotonic() + READY_S
            while not cluster.answers():
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"PostgreSQL does not start: {(folder / 'log').read_text(errors='replace')[-500:]}")
                time.sleep(0.1)
            yield cluster
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def _as_nobody() -> list[str]:
    """What runs a program as a user without rights where we are root, and ends it with its parent: the kernel forgets that else."""
    if os.geteuid():
        return []
    nobody = pwd.getpwnam("nobody")
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--pdeathsig", "KILL"]
