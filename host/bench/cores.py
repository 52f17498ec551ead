"""How much CPU a machine has for us beside all else that runs, measured by using it. Decides nothing with it."""

import os
import subprocess
import sys

SPIN_S = 5.0
_SPIN = """
import sys, time
end_s = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end_s:
    pass
print(time.process_time())
"""


def spare() -> float:
    """Cores that processes of our priority get now."""
    command = [sys.executable, "-c", _SPIN, str(SPIN_S)]
    spinning = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(os.cpu_count() or 1)]
    return sum(float(each.communicate()[0]) for each in spinning) / SPIN_S
